//! What the pending-event table owes its host: everything it decided, as data.

use std::sync::Arc;

use crate::dialect::EventFrames;
use crate::persistence::messages::{AppendEvent, Ticket};
use crate::protocol::{
    CloseCode, ConnectionId, HubEvent, NoteId, Push, Seq, SessionId, SessionRecord, UserId,
};
use crate::registry::messages::SendKind;

use super::messages::{Attached, FullSyncOrder, PublishError, Receipt, Revoked, SessionStatus};

/// One thing to do, in the order given.
#[derive(Debug)]
pub enum Output {
    /// Hand an event to connections.
    FanOut {
        /// Whose they are.
        user: UserId,
        /// The event.
        frames: Arc<EventFrames>,
        /// Only who joined this room gets it.
        room: Option<NoteId>,
        /// Who gets it; never empty.
        targets: Vec<ConnectionId>,
        /// Whether it is sent again.
        kind: SendKind,
    },
    /// Say something to one connection.
    Say {
        /// Who.
        connection: ConnectionId,
        /// What.
        push: Push,
    },
    /// Note that a connection is attached again: what follows for it is in order.
    Resumed {
        /// Which.
        connection: ConnectionId,
    },
    /// End a connection; the table has forgotten it already.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        code: CloseCode,
    },
    /// Append an event; tell the result to `PendingTable::appended`.
    Append(AppendEvent),
    /// Create a session unless its name is taken; tell the result to `PendingTable::claimed`.
    Claim {
        /// Comes back.
        ticket: Ticket,
        /// Who wants it.
        user: UserId,
        /// What to create.
        record: SessionRecord,
    },
    /// Write a session.
    SaveSession {
        /// Whose.
        user: UserId,
        /// What.
        record: SessionRecord,
    },
    /// Forget a session.
    DeleteSession(UserId, SessionId),
    /// Read a user; tell the result to `PendingTable::loaded`.
    LoadUser(UserId),
    /// Read a piece of a log; tell the result to `PendingTable::log_read`.
    ReadLog {
        /// Whose.
        user: UserId,
        /// For whom.
        session: SessionId,
        /// Comes back.
        ticket: Ticket,
        /// What comes after this place.
        after: Seq,
        /// At most this many events.
        events_max: usize,
        /// Stop after the event that passes this many bytes.
        bytes_max: usize,
    },
    /// Tell that something happened; only kinds that are wanted.
    Notice(HubEvent),
    /// Answer what came in under this ticket.
    Answer(Ticket, Answer),
}

/// The answer to one request.
#[derive(Debug)]
pub enum Answer {
    /// To a publish.
    Published(Result<Receipt, PublishError>),
    /// To an attach.
    Attached(Attached),
    /// To a listing; none when the database is away.
    Sessions(Option<Vec<SessionStatus>>),
    /// To a revocation.
    Revoked(Revoked),
    /// To an order of a full sync.
    FullSync(FullSyncOrder),
}
