//! Events and sessions as rows, and back.
//!
//! JSON text is kept byte for byte.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::sqlite::Sqlite;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::messages::{AppendEvent, DuplicateKey};
use super::schema::{broadcasts, events, sessions};
use crate::protocol::{
    Action, Event, EventContent, EventId, OfflinePolicy, Seq, SessionId, SessionRecord, Timestamp,
    UserId,
};

/// An event on its way into the log.
#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(super) struct NewEventRow<'a> {
    user_id: &'a str,
    seq: i64,
    event_id: String,
    kind: &'a str,
    data: Option<&'a str>,
    account: Option<&'a str>,
    action: Option<&'a str>,
    silent: i32,
    args: Option<&'a str>,
    exclude_session: Option<&'a str>,
    published_at: i64,
    expires_at: Option<i64>,
    fingerprint: Option<&'a str>,
    idempotency_key: Option<&'a str>,
    live: i32,
    offline: i32,
}

impl<'a> NewEventRow<'a> {
    pub(super) fn new(event: &'a AppendEvent, seq: Seq) -> Self {
        let content = &event.content;
        let (fingerprint, key) = marks(&event.duplicate);
        Self {
            user_id: event.user.as_str(),
            seq: seq.0,
            event_id: name(content.id),
            kind: &content.kind,
            data: content.data.as_ref().map(|data| data.get()),
            account: content.account.as_deref(),
            action: content.action.map(action_name),
            silent: i32::from(content.silent),
            args: content.args.as_ref().map(|args| args.get()),
            exclude_session: content.exclude_session.as_ref().map(SessionId::as_str),
            published_at: content.published_at.0,
            expires_at: content.expires_at.map(|at| at.0),
            fingerprint,
            idempotency_key: key,
            live: i32::try_from(event.live).unwrap_or(i32::MAX),
            offline: i32::try_from(event.offline).unwrap_or(i32::MAX),
        }
    }
}

/// Inserts an event into SQLite's log. The statement is the same for all, and so its text is not built
/// for each, which Diesel's own does.
pub(super) struct InsertEvent<'a>(pub(super) &'a NewEventRow<'a>);

impl QueryId for InsertEvent<'_> {
    type QueryId = InsertEvent<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for InsertEvent<'_> {}

impl QueryFragment<Sqlite> for InsertEvent<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let row = self.0;
        out.push_sql(
            "INSERT INTO events (user_id, seq, event_id, kind, data, account, action, silent, args, \
             exclude_session, published_at, expires_at, fingerprint, idempotency_key, live, offline) \
             VALUES (",
        );
        out.push_bind_param::<Text, _>(row.user_id)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&row.seq)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&row.event_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(row.kind)?;
        for text in [&row.data, &row.account, &row.action] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Integer, _>(&row.silent)?;
        for text in [&row.args, &row.exclude_session] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&row.published_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<BigInt>, _>(&row.expires_at)?;
        for text in [&row.fingerprint, &row.idempotency_key] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        for number in [&row.live, &row.offline] {
            out.push_sql(", ");
            out.push_bind_param::<Integer, _>(number)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

/// How a repetition is recognised, as it rests in a row.
pub(super) fn marks(duplicate: &DuplicateKey) -> (Option<&str>, Option<&str>) {
    match duplicate {
        DuplicateKey::Fresh => (None, None),
        DuplicateKey::EventId { fingerprint } => (Some(fingerprint), None),
        DuplicateKey::Key { key, fingerprint } => (Some(fingerprint), Some(key)),
    }
}

/// An event in a user's log.
#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub(super) struct EventRow {
    pub(super) user_id: String,
    pub(super) seq: i64,
    event_id: String,
    kind: String,
    data: Option<String>,
    account: Option<String>,
    action: Option<String>,
    silent: i32,
    args: Option<String>,
    exclude_session: Option<String>,
    published_at: i64,
    expires_at: Option<i64>,
    pub(super) live: i32,
    pub(super) offline: i32,
}

impl EventRow {
    /// The event; none for a row that something else wrote.
    pub(super) fn event(self) -> Option<Event> {
        let content = EventContent {
            id: parse_name(&self.event_id)?,
            kind: self.kind,
            data: raw(self.data)?,
            account: self.account,
            action: self.action.as_deref().and_then(parse_action),
            silent: self.silent != 0,
            args: raw(self.args)?,
            exclude_session: self.exclude_session.as_deref().and_then(|s| SessionId::new(s).ok()),
            published_at: Timestamp(self.published_at),
            expires_at: self.expires_at.map(Timestamp),
        };
        Some(Event::at(Seq(self.seq), Arc::new(content)))
    }
}

/// A broadcast.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = broadcasts, treat_none_as_default_value = false)]
pub(super) struct BroadcastRow {
    pub(super) event_id: String,
    kind: String,
    data: Option<String>,
    account: Option<String>,
    action: Option<String>,
    silent: i32,
    args: Option<String>,
    exclude_session: Option<String>,
    published_at: i64,
    expires_at: Option<i64>,
    pub(super) fingerprint: Option<String>,
    idempotency_key: Option<String>,
    pub(super) users: i64,
    pub(super) reached: String,
    finished: i32,
}

impl BroadcastRow {
    pub(super) fn new(content: &EventContent, duplicate: &DuplicateKey, users: i64) -> Self {
        let (fingerprint, key) = marks(duplicate);
        Self {
            event_id: name(content.id),
            kind: content.kind.clone(),
            data: content.data.as_ref().map(|data| data.get().to_owned()),
            account: content.account.clone(),
            action: content.action.map(|action| action_name(action).to_owned()),
            silent: i32::from(content.silent),
            args: content.args.as_ref().map(|args| args.get().to_owned()),
            exclude_session: content.exclude_session.as_ref().map(ToString::to_string),
            published_at: content.published_at.0,
            expires_at: content.expires_at.map(|at| at.0),
            fingerprint: fingerprint.map(str::to_owned),
            idempotency_key: key.map(str::to_owned),
            users,
            reached: String::new(),
            finished: 0,
        }
    }

    pub(super) fn content(self) -> Option<EventContent> {
        Some(EventContent {
            id: parse_name(&self.event_id)?,
            kind: self.kind,
            data: raw(self.data)?,
            account: self.account,
            action: self.action.as_deref().and_then(parse_action),
            silent: self.silent != 0,
            args: raw(self.args)?,
            exclude_session: self.exclude_session.as_deref().and_then(|s| SessionId::new(s).ok()),
            published_at: Timestamp(self.published_at),
            expires_at: self.expires_at.map(Timestamp),
        })
    }
}

/// A session.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
pub(super) struct SessionRow {
    session_id: String,
    user_id: String,
    policy: String,
    floor: i64,
    need_full_sync: i32,
    created_at: i64,
    seen_at: i64,
    acked_at: Option<i64>,
    accounts: Option<String>,
}

impl SessionRow {
    pub(super) fn new(user: &UserId, record: &SessionRecord) -> Self {
        Self {
            session_id: record.id.to_string(),
            user_id: user.to_string(),
            policy: policy_name(record.policy).to_owned(),
            floor: record.floor.0,
            need_full_sync: i32::from(record.need_full_sync),
            created_at: record.created_at.0,
            seen_at: record.seen_at.0,
            acked_at: record.acked_at.map(|at| at.0),
            accounts: record
                .accounts
                .as_deref()
                .map(|listed| serde_json::json!(listed).to_string()),
        }
    }

    /// Whose it is, and the session; none if it cannot be read.
    pub(super) fn of_user(self) -> Option<(String, SessionRecord)> {
        let user = self.user_id.clone();
        Some((user, self.record()?))
    }

    pub(super) fn record(self) -> Option<SessionRecord> {
        Some(SessionRecord {
            id: SessionId::new(&self.session_id).ok()?,
            floor: Seq(self.floor),
            need_full_sync: self.need_full_sync != 0,
            policy: parse_policy(&self.policy)?,
            created_at: Timestamp(self.created_at),
            seen_at: Timestamp(self.seen_at),
            acked_at: self.acked_at.map(Timestamp),
            accounts: match self.accounts {
                Some(listed) => Some(serde_json::from_str(&listed).ok()?),
                None => None,
            },
        })
    }
}

/// An event's name as it rests in a row.
pub(super) fn name(event: EventId) -> String {
    event.0.hyphenated().to_string()
}

pub(super) fn parse_name(text: &str) -> Option<EventId> {
    Uuid::parse_str(text).ok().map(EventId)
}

/// `Some(None)` for null; none for text that is not JSON.
fn raw(text: Option<String>) -> Option<Option<Box<RawValue>>> {
    match text {
        None => Some(None),
        Some(text) => RawValue::from_string(text).ok().map(Some),
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::New => "new",
        Action::Update => "update",
        Action::Delete => "delete",
    }
}

fn parse_action(text: &str) -> Option<Action> {
    [Action::New, Action::Update, Action::Delete]
        .into_iter()
        .find(|action| action_name(*action) == text)
}

fn policy_name(policy: OfflinePolicy) -> &'static str {
    match policy {
        OfflinePolicy::FullSync => "full_sync",
        OfflinePolicy::Replay => "replay",
    }
}

fn parse_policy(text: &str) -> Option<OfflinePolicy> {
    [OfflinePolicy::FullSync, OfflinePolicy::Replay]
        .into_iter()
        .find(|policy| policy_name(*policy) == text)
}
