//! What may be asked of Persistence about events for everyone.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use super::{DuplicateKey, StoreError};
use crate::protocol::{EventContent, EventId, UserId};

/// Takes an event for every user that has a session. Durable when answered; handed out by
/// [`NextBroadcast`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartBroadcast {
    /// What is published.
    pub content: Arc<EventContent>,
    /// How a repetition is recognised; keys are unique among broadcasts.
    pub duplicate: DuplicateKey,
    /// Users without a session that are told too; part of the count kept for a repetition.
    pub others: u64,
    /// Gets the answer.
    pub reply: oneshot::Sender<Result<BroadcastOutcome, StoreError>>,
}

/// What became of a [`StartBroadcast`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BroadcastOutcome {
    /// It is durable.
    Started {
        /// Its name: not the one it was given, if that publish was taken before elsewhere.
        id: EventId,
        /// How many users it is for, `others` among them.
        users: u64,
    },
    /// It was taken before, with this answer.
    Duplicate {
        /// Its name.
        id: EventId,
        /// The first answer's count.
        users: u64,
    },
    /// The same name or key was used for something else.
    Conflict,
}

/// Asks for the next users of the oldest unfinished broadcast. The same users come again until
/// [`BroadcastProgress`] says they are done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct NextBroadcast {
    /// At most this many users.
    pub users_max: usize,
    /// Gets the users, or none when every broadcast is finished.
    pub reply: oneshot::Sender<Result<Option<BroadcastPart>, StoreError>>,
}

/// Some of the users of a broadcast.
#[derive(Clone, Debug)]
pub struct BroadcastPart {
    /// What is published.
    pub content: Arc<EventContent>,
    /// For whom, by name, rising. Empty: the broadcast has reached everyone.
    pub users: Vec<UserId>,
}

/// Says how far a broadcast came: everyone up to `done`, or everyone at all.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BroadcastProgress {
    /// Which.
    pub event: EventId,
    /// The last user it was published to; none when there are no more.
    pub done: Option<UserId>,
    /// Answered when written.
    pub reply: oneshot::Sender<Result<(), StoreError>>,
}
