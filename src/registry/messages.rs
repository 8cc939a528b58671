//! What may be asked of a SessionRegistry.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::dialect::EventFrames;
use crate::protocol::{CloseCode, ConnectionId, NoteId, Push, Slot, UserId};

/// Things to do with connections of one worker, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Orders(pub Vec<Order>);

/// One thing to do.
#[derive(Debug)]
pub enum Order {
    /// Hands one event, encoded once per dialect, to connections.
    FanOut {
        /// Whose connections they are.
        user: UserId,
        /// The event.
        frames: Arc<EventFrames>,
        /// Only who joined this room gets it.
        room: Option<NoteId>,
        /// Who gets it.
        targets: Vec<ConnectionId>,
        /// A redelivery is not queued behind frames that already waited for a slow reader.
        kind: SendKind,
    },
    /// Says something to one connection.
    Say {
        /// Who.
        connection: ConnectionId,
        /// What.
        push: Push,
    },
    /// Hands a frame of a room to connections.
    Room {
        /// The frame.
        frame: Bytes,
        /// Who gets it.
        targets: Vec<ConnectionId>,
        /// What it is about.
        kind: RoomFrame,
    },
    /// Takes note that a connection was turned out of a room, and tells it.
    LeaveRoom {
        /// Who.
        connection: ConnectionId,
        /// Which room.
        note: NoteId,
    },
    /// Says that a connection is attached again: what follows for it is in order.
    Resumed {
        /// Which.
        connection: ConnectionId,
    },
    /// Ends one connection.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        code: CloseCode,
    },
}

/// Whether an event goes out for the first time on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendKind {
    /// It does.
    First,
    /// It was sent before and not acked.
    Redelivery,
}

/// What a frame of a room is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoomFrame {
    /// Who comes and goes.
    Presence,
    /// Something of the moment: dropped rather than queued behind what waits for its reader.
    Signal,
}

/// Attaches the connections of these slots again: their home is another, or something from it was
/// lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AttachAgain {
    /// Which slots.
    pub slots: Vec<Slot>,
    /// Answered when it is done.
    pub reply: oneshot::Sender<()>,
}

/// Tells every connection to come back, spread evenly over `window`, closes each with 1012, and
/// answers with how many there were.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// How long the closing may take.
    pub window: Duration,
    /// Gets the count when the last one is told.
    pub reply: oneshot::Sender<usize>,
}
