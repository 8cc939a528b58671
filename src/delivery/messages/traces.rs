//! What is remembered of a delivery.

use serde::Serialize;

use crate::protocol::{Seq, SessionId, Timestamp, UserId};

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryTrace {
    /// Whose.
    pub user: UserId,
    /// To which session; none for a plain connection.
    pub session: Option<SessionId>,
    /// The event's place.
    pub seq: Option<Seq>,
    /// When its publisher handed it in.
    pub published_at: Timestamp,
    /// When it was durable; none if that was before it was taken from the log.
    pub durable_at: Option<Timestamp>,
    /// When it became owed.
    pub queued_at: Timestamp,
    /// When it was sent, each time.
    pub sent_at: Vec<Timestamp>,
    /// When it was acked.
    pub acked_at: Option<Timestamp>,
    /// When and why it was dropped, if it was.
    pub dropped: Option<(Timestamp, DropReason)>,
}

/// Why a delivery was dropped. The session's next `auth_ok` says `need_full_sync`, except after
/// `Expired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The session was offline and asks for a full sync instead.
    Offline,
    /// Its connection was lost before it acked.
    ConnectionLost,
    /// Every redelivery went unacked.
    GaveUp,
    /// More was owed than is kept.
    TooManyOwed,
    /// Its `ttl_ms` passed.
    Expired,
    /// The session was revoked.
    Revoked,
    /// An administrator asked for a full sync.
    FullSyncOrdered,
}
