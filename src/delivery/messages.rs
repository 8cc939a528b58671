//! What may be asked of ReliableDelivery, and what it answers.

mod slots;
mod traces;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use crate::cluster::View;
use crate::dialect::DialectKind;
use crate::persistence::messages::DuplicateKey;
use crate::protocol::{
    Accounts, Ack, Audience, ConnectionId, Epoch, EventContent, EventError, EventId, NodeNumber,
    OfflinePolicy, Push, Seq, SessionId, SessionRequest, Timestamp, UserId,
};
use crate::registry::messages::Orders;

pub use self::slots::SlotOrder;
pub use self::traces::{DeliveryTrace, DropReason};
pub use self::watch::{
    Census, CloseRecord, FullSyncOrder, ListCloses, OrderFullSync, TakeCensus, WatchPort,
};

/// Why a publish was not taken. Nothing was stored, unless the answer itself got lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The event breaks the contract.
    #[error(transparent)]
    Invalid(#[from] EventError),
    /// Its `event_id` or idempotency key was used before for another body.
    #[error("this event_id or idempotency key was used for another event")]
    Conflict,
    /// Too much is waiting to be stored; try again in a moment.
    #[error("the hub is overloaded")]
    Overloaded,
    /// The database is away or the hub is stopping; publish again with the same `event_id`.
    #[error("the event could not be stored")]
    Unavailable,
    /// The user's slot is changing nodes; nothing was stored. Publish again in a moment.
    #[error("the user's node is changing")]
    Moved,
    /// The host's authorisation hook said no.
    #[error("not allowed to publish this event")]
    Forbidden,
}

/// One event on its way in.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose log.
    pub user: UserId,
    /// What is published.
    pub content: Arc<EventContent>,
    /// How a repetition is recognised.
    pub duplicate: DuplicateKey,
    /// Whether it is for live sessions only and never stored.
    pub ephemeral: bool,
    /// For how long the answer waits until every live session acked.
    pub wait_acked: Option<Duration>,
    /// Which of the live connections it is not for.
    pub audience: Audience,
}

/// Publishes events of users in this actor's slots; answered in order, once all are durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// The events.
    pub events: Vec<Submission>,
    /// Gets one result per event.
    pub reply: oneshot::Sender<Vec<Result<Receipt, PublishError>>>,
}

/// What a publisher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The event's name.
    pub event_id: EventId,
    /// Its place; none for an ephemeral event.
    pub seq: Option<Seq>,
    /// Connections and sessions that were live.
    pub live: u32,
    /// Sessions that had no connection.
    pub offline: u32,
    /// Whether this event was published before.
    pub duplicate: bool,
    /// Who acked while the answer waited, if it was asked to.
    pub acked: Option<WaitOutcome>,
}

/// Who acked within the time a publisher waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitOutcome {
    /// These sessions acked.
    pub acked: Vec<SessionId>,
    /// These did not.
    pub unacked: Vec<SessionId>,
}

/// Attaches an authenticated connection to its user. What the client is told (`auth_ok` and
/// what it is owed) goes through the registry, in order; `reply` is for the connection's actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// Who the token speaks for.
    pub user: UserId,
    /// The connection.
    pub connection: ConnectionId,
    /// The registry that holds it.
    pub registry: Recipient<Orders>,
    /// How it spells.
    pub dialect: DialectKind,
    /// What it wants to be.
    pub kind: AttachKind,
    /// Gets the outcome.
    pub reply: oneshot::Sender<Attached>,
}

/// What a connection wants to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachKind {
    /// Gets events while connected, acks nothing.
    Plain {
        /// What it is told once attached.
        greeting: Push,
        /// What its token is limited to.
        accounts: Accounts,
    },
    /// Acks events; its session outlives it.
    Reliable {
        /// Which session; never [`SessionRequest::Plain`].
        session: SessionRequest,
        /// A fresh name, for when a new session is wanted or the wanted name is another user's.
        fresh: SessionId,
        /// What becomes of events while it is away; none keeps the session's, or the default.
        offline: Option<OfflinePolicy>,
        /// What a new session gets when `offline` is none.
        offline_default: OfflinePolicy,
        /// Whether `need_full_sync` holds until the client says the sync is done.
        confirm_sync: bool,
        /// What its token is limited to.
        accounts: Accounts,
    },
    /// Is what it was, on a node that has taken its slot over. It is told nothing: a session that
    /// must do a full sync, or is gone, is closed instead, and hears of it when it comes back.
    Again {
        /// Its session; none for a plain connection.
        session: Option<SessionId>,
        /// What its token is limited to.
        accounts: Accounts,
    },
}

/// What became of an [`Attach`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Attached; a reliable connection learns its session.
    Attached {
        /// The session; none for a plain connection.
        session: Option<SessionId>,
    },
    /// The user has too many connections.
    TooManyConnections,
    /// The database is away, or too much is waiting.
    Unavailable,
}

/// Says that a connection is gone. If the message is lost, the registry's
/// [`Unreachable`] makes up for it at the next delivery.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Detach {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub connection: ConnectionId,
}

/// Says that these connections no longer exist.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Unreachable(pub Vec<(UserId, ConnectionId)>);

/// Settles deliveries. Late, repeated and unknown acks are normal and change nothing.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Acks(pub Vec<AckEntry>);

/// What one connection acked.
#[derive(Clone, Debug)]
pub struct AckEntry {
    /// Whose.
    pub user: UserId,
    /// Which connection said so.
    pub connection: ConnectionId,
    /// What it settles.
    pub ack: Ack,
}

/// The client finished the full sync it was told to do.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SyncComplete {
    /// Whose.
    pub user: UserId,
    /// Which connection said so.
    pub connection: ConnectionId,
}

/// Lists a user's sessions, durable and plain.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListSessions {
    /// Whose.
    pub user: UserId,
    /// Gets the list, or nothing when the database is away.
    pub reply: oneshot::Sender<Option<Vec<SessionStatus>>>,
}

/// One session as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// Its name; none for a plain connection.
    pub session: Option<SessionId>,
    /// Its live connection and how that spells.
    pub connection: Option<(ConnectionId, DialectKind)>,
    /// What becomes of events while it is away; none for a plain connection.
    pub policy: Option<OfflinePolicy>,
    /// Whether its next `auth_ok` says so.
    pub need_full_sync: bool,
    /// Everything at or below is settled.
    pub floor: Seq,
    /// How many events it is owed, in flight or waiting in the log.
    pub pending: u64,
    /// How many of those are in flight.
    pub in_flight: usize,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it last acked.
    pub acked_at: Option<Timestamp>,
}

/// Closes a session's connection (4403) and forgets the session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Revoke {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// Gets what became of it.
    pub reply: oneshot::Sender<Revoked>,
}

/// What became of a [`Revoke`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is forgotten.
    Forgotten,
    /// The user has no such session.
    Unknown,
    /// The database is away.
    Unavailable,
}

/// Asks what became of an event, as far as this actor remembers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TraceEvent {
    /// Which.
    pub event: EventId,
    /// Gets a trace per session concerned, in this actor's slots.
    pub reply: oneshot::Sender<Vec<DeliveryTrace>>,
}

/// Lists the users that have a live connection here but no durable session: a broadcast finds
/// the others in the database.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LiveUsers(pub oneshot::Sender<Vec<UserId>>);

/// Hands every changed floor to Persistence, and answers when that is durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FlushFloors(pub oneshot::Sender<()>);

/// Everything the edges ask of one ReliableDelivery.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the recipient of the message it is named after")]
pub struct DeliveryPort {
    pub publish: Recipient<Publish>,
    pub attach: Recipient<Attach>,
    pub detach: Recipient<Detach>,
    pub unreachable: Recipient<Unreachable>,
    pub acks: Recipient<Acks>,
    pub sync_complete: Recipient<SyncComplete>,
    pub list_sessions: Recipient<ListSessions>,
    pub revoke: Recipient<Revoke>,
    pub trace: Recipient<TraceEvent>,
    pub live_users: Recipient<LiveUsers>,
    pub flush_floors: Recipient<FlushFloors>,
    pub slots: Recipient<SlotOrder>,
    pub watch: WatchPort,
}

/// The ReliableDelivery actors, by group of slots: those of this process, and in a cluster one more
/// group for everybody whose slot is elsewhere.
#[derive(Clone, Debug)]
pub struct DeliveryPorts {
    ports: Arc<[DeliveryPort]>,
    view: Option<Arc<View>>,
}

impl DeliveryPorts {
    /// One port per group, in order; at least one.
    pub fn new(ports: Vec<DeliveryPort>) -> Self {
        debug_assert!(!ports.is_empty(), "a hub has at least one group of slots");
        Self { ports: ports.into(), view: None }
    }

    /// These, and `elsewhere` for slots that `view` says are not here.
    #[must_use]
    pub fn and_elsewhere(&self, elsewhere: DeliveryPort, view: Arc<View>) -> Self {
        let ports = self.ports.iter().cloned().chain([elsewhere]).collect();
        Self { ports, view: Some(view) }
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.ports.len()
    }

    /// Whether slots may be elsewhere.
    pub fn is_cluster(&self) -> bool {
        self.view.is_some()
    }

    /// Whose the slot of `user` is, and at which epoch; always the same where there is one node.
    pub fn home_of(&self, user: &UserId) -> (Option<NodeNumber>, Epoch) {
        self.view.as_ref().map_or((None, Epoch(0)), |view| view.owner(user.slot()))
    }

    /// Which group answers for `user`.
    pub fn group_of(&self, user: &UserId) -> usize {
        let slot = user.slot();
        let Some(view) = &self.view else { return slot.group(self.groups()) };
        let here = self.groups() - 1;
        if view.is_here(slot) { slot.group(here) } else { here }
    }

    /// The actor that answers for `user`.
    #[expect(clippy::indexing_slicing, reason = "a group is below the number of groups")]
    pub fn of(&self, user: &UserId) -> &DeliveryPort {
        &self.ports[self.group_of(user)]
    }

    /// Whether none of the actors has ended: one that did, with its thread, does not come back.
    pub fn are_served(&self) -> bool {
        self.ports.iter().all(|port| port.publish.connected())
    }

    /// Every actor, by group.
    pub fn all(&self) -> &[DeliveryPort] {
        &self.ports
    }
}
