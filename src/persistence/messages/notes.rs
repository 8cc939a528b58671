//! What may be asked of Persistence about notes.

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use super::StoreError;
use crate::notes::{
    Author, Members, NewNote, NoteChange, NoteEdit, NoteError, NoteEvent, NotePage, NoteQuery,
    Role, Shared, SharedNote,
};
use crate::protocol::{Epoch, EventId, NoteId, Slot, Timestamp, UserId};

/// Gets the answer to a question about notes.
pub type NoteReply<T> = oneshot::Sender<Result<T, NoteError>>;

impl From<StoreError> for NoteError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => NoteError::Overloaded,
            StoreError::Database(_) | StoreError::Closed | StoreError::Moved => {
                NoteError::Unavailable
            }
        }
    }
}

/// What to do to a note.
#[derive(Clone, Debug)]
pub enum NoteWrite {
    /// Create it.
    Create(NewNote),
    /// Set fields of it.
    Update(NoteEdit),
    /// Delete it.
    Delete {
        /// Which.
        id: NoteId,
        /// Who deletes it.
        by: Author,
        /// The time.
        now: Timestamp,
    },
}

impl NoteWrite {
    /// Which note.
    pub fn note(&self) -> &NoteId {
        match self {
            NoteWrite::Create(new) => &new.id,
            NoteWrite::Update(edit) => &edit.id,
            NoteWrite::Delete { id, .. } => id,
        }
    }
}

/// Changes a note and keeps the event that tells of it, in one transaction. Counts as one event
/// in [`Waiting`](super::Waiting).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WriteNote {
    /// What to do.
    pub write: NoteWrite,
    /// The name of the event that tells of it.
    pub event: EventId,
    /// What a note's fields may hold, in bytes.
    pub bytes_max: usize,
    /// The epoch of the turn it was decided in, where other nodes write too.
    pub at: Option<Epoch>,
    /// Answered once durable.
    pub reply: NoteReply<NoteChange>,
}

/// Gives a user access to a note, or another role.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ShareNote {
    /// Which.
    pub id: NoteId,
    /// With whom.
    pub member: UserId,
    /// What they may do.
    pub role: Role,
    /// The time.
    pub now: Timestamp,
    /// As of [`WriteNote`].
    pub at: Option<Epoch>,
    /// Answered once durable.
    pub reply: NoteReply<Shared>,
}

/// Takes a member's access to a note away.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UnshareNote {
    /// Which.
    pub id: NoteId,
    /// Whose access.
    pub member: UserId,
    /// As of [`WriteNote`].
    pub at: Option<Epoch>,
    /// Says whether there was any, once durable.
    pub reply: NoteReply<bool>,
}

/// Refuses from now on what is decided about notes of these slots at lower epochs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FenceNotes {
    /// The slots, each with the epoch of its turns.
    pub turns: Vec<(Slot, Epoch)>,
    /// Answered once durable.
    pub reply: NoteReply<()>,
}

/// Forgets events of notes, because they are in every log. Not answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SettleNotes(pub Vec<EventId>);

/// Reads a note, on a reader of its own, as all questions below: what was answered before is
/// seen.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadNote {
    /// Which.
    pub id: NoteId,
    /// For whom.
    pub user: UserId,
    /// Gets the note.
    pub reply: NoteReply<SharedNote>,
}

/// Reads a page of a user's notes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListNotes {
    /// Which.
    pub query: NoteQuery,
    /// Stop after the note that passes this many bytes; at least one note is read.
    pub bytes_max: usize,
    /// Gets the page.
    pub reply: NoteReply<NotePage>,
}

/// Reads who may see a note.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadMembers {
    /// Which.
    pub id: NoteId,
    /// Gets them.
    pub reply: NoteReply<Members>,
}

/// Reads events of notes that nobody settled, oldest first.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadUnsettled {
    /// At most this many.
    pub limit: usize,
    /// Gets them.
    pub reply: NoteReply<Vec<NoteEvent>>,
}

/// Everything others ask of Persistence about notes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the recipient of the message it is named after")]
pub struct NotesPort {
    pub write: Recipient<WriteNote>,
    pub share: Recipient<ShareNote>,
    pub unshare: Recipient<UnshareNote>,
    pub fence: Recipient<FenceNotes>,
    pub settle: Recipient<SettleNotes>,
    pub read: Recipient<ReadNote>,
    pub list: Recipient<ListNotes>,
    pub members: Recipient<ReadMembers>,
    pub unsettled: Recipient<ReadUnsettled>,
}
