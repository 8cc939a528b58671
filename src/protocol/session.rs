//! What is durable of a session.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Seq, SessionId, Timestamp};

/// What becomes of events published while a session has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflinePolicy {
    /// The session is told to do a full sync when it returns; nothing is kept for it.
    FullSync,
    /// The events stay owed and are sent, in order, when it returns.
    Replay,
}

/// A session as it rests in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its name.
    pub id: SessionId,
    /// Everything at or below this place is settled.
    pub floor: Seq,
    /// Its next `auth_ok` says so.
    pub need_full_sync: bool,
    /// What becomes of events published while it is away.
    pub policy: OfflinePolicy,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it was last attached or detached.
    pub seen_at: Timestamp,
    /// When it last acked anything.
    pub acked_at: Option<Timestamp>,
    /// The accounts its events were picked for; none: all.
    pub accounts: Option<Arc<[Box<str>]>>,
}
