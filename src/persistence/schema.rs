//! The tables as Diesel knows them: portable types only, the same on both databases but for what says so.

diesel::table! {
    events (user_id, seq) {
        /// In SQLite only: its row. A query that may be Postgres's must say what it selects.
        id -> BigInt,
        user_id -> Text,
        seq -> BigInt,
        event_id -> Text,
        kind -> Text,
        data -> Nullable<Text>,
        account -> Nullable<Text>,
        action -> Nullable<Text>,
        silent -> Integer,
        args -> Nullable<Text>,
        exclude_session -> Nullable<Text>,
        published_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        fingerprint -> Nullable<Text>,
        idempotency_key -> Nullable<Text>,
        live -> Integer,
        offline -> Integer,
    }
}

diesel::table! {
    /// In SQLite only: the index of the log by user.
    event_places (user_id, seq) {
        user_id -> Text,
        seq -> BigInt,
        id -> BigInt,
    }
}

diesel::table! {
    users (user_id) {
        user_id -> Text,
        pruned_seq -> BigInt,
    }
}

diesel::table! {
    sessions (session_id) {
        session_id -> Text,
        user_id -> Text,
        policy -> Text,
        floor -> BigInt,
        need_full_sync -> Integer,
        created_at -> BigInt,
        seen_at -> BigInt,
        acked_at -> Nullable<BigInt>,
        accounts -> Nullable<Text>,
    }
}

diesel::table! {
    broadcasts (event_id) {
        event_id -> Text,
        kind -> Text,
        data -> Nullable<Text>,
        account -> Nullable<Text>,
        action -> Nullable<Text>,
        silent -> Integer,
        args -> Nullable<Text>,
        exclude_session -> Nullable<Text>,
        published_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        fingerprint -> Nullable<Text>,
        idempotency_key -> Nullable<Text>,
        users -> BigInt,
        reached -> Text,
        finished -> Integer,
    }
}

diesel::table! {
    notes (note_id) {
        note_id -> Text,
        owner_id -> Text,
        version -> BigInt,
        fields -> Text,
        field_versions -> Text,
        bytes -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    note_members (note_id, user_id) {
        note_id -> Text,
        user_id -> Text,
        role -> Text,
        added_at -> BigInt,
    }
}

diesel::table! {
    note_events (event_id) {
        event_id -> Text,
        note_id -> Text,
        version -> BigInt,
        kind -> Text,
        data -> Text,
        owner_id -> Text,
        recipients -> Text,
        exclude_session -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::table! {
    dead_letters (letter_id) {
        letter_id -> Text,
        target -> Text,
        kind -> Text,
        body -> Text,
        attempts -> Integer,
        last_error -> Text,
        created_at -> BigInt,
        failed_at -> BigInt,
    }
}

diesel::table! {
    pushes (session_id) {
        session_id -> Text,
        user_id -> Text,
        endpoint -> Text,
        created_at -> BigInt,
        woken_at -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(pushes, sessions);
diesel::allow_tables_to_appear_in_same_query!(events, event_places);
