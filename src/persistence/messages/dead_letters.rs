//! What may be asked of Persistence about posts to webhooks that were given up.

use actix::{Message, Recipient};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::StoreError;
use crate::protocol::Timestamp;

/// A post that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The post's name, the same in every attempt.
    pub id: Uuid,
    /// Which webhook it was for, by name.
    pub target: String,
    /// What it is about.
    pub kind: String,
    /// What was posted: JSON.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: String,
    /// When it was to be posted first.
    pub created_at: Timestamp,
    /// When it was last given up.
    pub failed_at: Timestamp,
}

/// Keeps dead letters; one that is kept already stays as it is. Not answered: a failed write is
/// kept and tried again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SaveDeadLetters(pub Vec<DeadLetter>);

/// Notes that a dead letter was tried once more in vain. Not answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FailDeadLetter {
    /// Which.
    pub id: Uuid,
    /// Why.
    pub error: String,
    /// When.
    pub at: Timestamp,
}

/// Forgets a dead letter.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteDeadLetter {
    /// Which.
    pub id: Uuid,
    /// Gets whether there was one.
    pub reply: oneshot::Sender<Result<bool, StoreError>>,
}

/// Reads a dead letter, on a reader of its own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FindDeadLetter {
    /// Which.
    pub id: Uuid,
    /// Gets it, if there is one.
    pub reply: oneshot::Sender<Result<Option<DeadLetter>, StoreError>>,
}

/// Reads a page of dead letters, oldest first, on a reader of its own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListDeadLetters {
    /// What comes after this one; none starts at the oldest.
    pub after: Option<Uuid>,
    /// At most this many.
    pub letters_max: usize,
    /// Stop after the one that passes this many bytes; at least one is read.
    pub bytes_max: usize,
    /// Gets the page.
    pub reply: oneshot::Sender<Result<DeadLetterPage, StoreError>>,
}

/// A page of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters, oldest first.
    pub letters: Vec<DeadLetter>,
    /// Whether there are more.
    pub more: bool,
}

/// Everything others ask of Persistence about dead letters.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the recipient of the message it is named after")]
pub struct DeadLetterPort {
    pub save: Recipient<SaveDeadLetters>,
    pub fail: Recipient<FailDeadLetter>,
    pub delete: Recipient<DeleteDeadLetter>,
    pub find: Recipient<FindDeadLetter>,
    pub list: Recipient<ListDeadLetters>,
}
