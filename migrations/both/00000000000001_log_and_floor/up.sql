-- The log: one row per event and user. An ordinary heap (rowid) table: clustering it by user
-- writes several times as much.
CREATE TABLE events (
    user_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT,
    account TEXT,
    action TEXT,
    silent INTEGER NOT NULL,
    args TEXT,
    exclude_session TEXT,
    published_at BIGINT NOT NULL,
    expires_at BIGINT,
    fingerprint TEXT,
    idempotency_key TEXT,
    live INTEGER NOT NULL,
    offline INTEGER NOT NULL
);
CREATE UNIQUE INDEX events_by_place ON events (user_id, seq);
CREATE UNIQUE INDEX events_by_name ON events (event_id, user_id);
CREATE UNIQUE INDEX events_by_key ON events (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX events_by_age ON events (published_at);

-- How far each log was pruned: with the last event of a log gone, its next place is still known.
CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    pruned_seq BIGINT NOT NULL
);

-- The floor of each session: everything at or below is settled.
CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    floor BIGINT NOT NULL,
    need_full_sync INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    acked_at BIGINT
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_age ON sessions (seen_at);

-- Events for everyone, and how far each was handed out.
CREATE TABLE broadcasts (
    event_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    data TEXT,
    account TEXT,
    action TEXT,
    silent INTEGER NOT NULL,
    args TEXT,
    exclude_session TEXT,
    published_at BIGINT NOT NULL,
    expires_at BIGINT,
    fingerprint TEXT,
    idempotency_key TEXT UNIQUE,
    users BIGINT NOT NULL,
    reached TEXT NOT NULL,
    finished INTEGER NOT NULL
);
CREATE INDEX broadcasts_unfinished ON broadcasts (published_at) WHERE finished = 0;
