//! What an administrator may ask of ReliableDelivery beside listing and revoking.

use actix::{Message, Recipient};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::protocol::{CloseCode, SessionId, Timestamp, UserId};

/// Counts what this actor has in memory. Looks at every user there: at most once a second.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TakeCensus(pub oneshot::Sender<Census>);

/// What one ReliableDelivery, or all of them, have in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Users in memory.
    pub users: u64,
    /// Sessions with a connection.
    pub sessions_live: u64,
    /// Sessions without one.
    pub sessions_away: u64,
    /// Deliveries sent and not acked.
    pub in_flight: u64,
    /// Deliveries owed, in flight or waiting in the log.
    pub owed: u64,
}

impl std::ops::AddAssign for Census {
    fn add_assign(&mut self, other: Self) {
        self.users += other.users;
        self.sessions_live += other.sessions_live;
        self.sessions_away += other.sessions_away;
        self.in_flight += other.in_flight;
        self.owed += other.owed;
    }
}

/// Lists how a user's connections ended, as far as this actor remembers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListCloses {
    /// Whose.
    pub user: UserId,
    /// Gets the list, latest first.
    pub reply: oneshot::Sender<Vec<CloseRecord>>,
}

/// How one connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseRecord {
    /// When.
    pub at: Timestamp,
    /// Its session; none for a plain connection.
    pub session: Option<SessionId>,
    /// Why the hub ended it; none when the client left or its connection broke.
    pub code: Option<CloseCode>,
}

/// Makes a session do a full sync: what it is owed is dropped, and a live connection is closed
/// (1001) so that its next `auth_ok` says so.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OrderFullSync {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// Gets what became of it.
    pub reply: oneshot::Sender<FullSyncOrder>,
}

/// What became of an [`OrderFullSync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullSyncOrder {
    /// Its next `auth_ok` says so.
    Taken,
    /// The user has no such session.
    Unknown,
    /// The database is away.
    Unavailable,
}

/// The recipients of these messages.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the recipient of the message it is named after")]
pub struct WatchPort {
    pub census: Recipient<TakeCensus>,
    pub closes: Recipient<ListCloses>,
    pub full_sync: Recipient<OrderFullSync>,
}
