//! What keeps notes: a trait a host may implement, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, ready};
use serde_json::value::RawValue;

use super::fields::{FIELDS_MAX, NAME_BYTES_MAX};
use super::{Access, Author, Conflict, Note, NoteFields, Role};
use crate::protocol::{Epoch, EventId, NoteId, SessionId, Slot, Timestamp, UserId};

/// Keeps notes. The hub's own is in its database; an embedding host may supply another, whose
/// rules may be [`create`](super::create), [`update`](super::update) and
/// [`delete`](super::delete) of this module.
pub trait NoteStore: Send + Sync + 'static {
    /// This store, for what is decided at this epoch of a note's slot: it writes nothing once
    /// [`fence`](NoteStore::fence) was asked for a higher one. None from a store that nodes do not
    /// share.
    fn at(&self, epoch: Epoch) -> Option<Arc<dyn NoteStore>> {
        let _ = epoch;
        None
    }

    /// Refuses from now on what is decided about notes of these slots at lower epochs; only a
    /// store that nodes share has to.
    fn fence<'a>(&'a self, turns: Vec<(Slot, Epoch)>) -> BoxFuture<'a, Result<(), NoteError>> {
        let _ = turns;
        ready(Ok(())).boxed()
    }

    /// Creates a note; one that exists already, deleted or not, takes the fields given.
    fn create<'a>(&'a self, new: NewNote) -> BoxFuture<'a, Result<NoteChange, NoteError>>;

    /// Sets fields of a note.
    fn update<'a>(&'a self, edit: NoteEdit) -> BoxFuture<'a, Result<NoteChange, NoteError>>;

    /// Deletes a note of the author's own and leaves a tombstone. Doing it again changes nothing.
    fn delete<'a>(
        &'a self,
        id: NoteId,
        by: Author,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NoteChange, NoteError>>;

    /// Reads a note that `user` may see.
    fn read<'a>(&'a self, id: NoteId, user: UserId)
    -> BoxFuture<'a, Result<SharedNote, NoteError>>;

    /// Reads a page of the notes a user may see, by the time of their last change.
    fn list<'a>(&'a self, query: NoteQuery) -> BoxFuture<'a, Result<NotePage, NoteError>>;

    /// Who may see a note that is not deleted.
    fn members<'a>(&'a self, id: NoteId) -> BoxFuture<'a, Result<Members, NoteError>>;

    /// Lets `member` see or change a note that is not deleted; whether the caller may share it
    /// is decided before.
    fn share<'a>(
        &'a self,
        id: NoteId,
        member: UserId,
        role: Role,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Shared, NoteError>>;

    /// Takes a member's access away, and says whether there was any.
    fn unshare<'a>(&'a self, id: NoteId, member: UserId) -> BoxFuture<'a, Result<bool, NoteError>>;

    /// Forgets these events, because they are in every log they belong to.
    fn settled<'a>(&'a self, events: Vec<EventId>) -> BoxFuture<'a, ()> {
        let _ = events;
        ready(()).boxed()
    }

    /// Events of changes that may not be in every log, oldest first: those not yet given to
    /// [`settled`](NoteStore::settled), also the ones being published right now. Publishing one
    /// again under its id is harmless.
    fn unsettled<'a>(&'a self, limit: usize) -> BoxFuture<'a, Result<Vec<NoteEvent>, NoteError>> {
        let _ = limit;
        ready(Ok(Vec::new())).boxed()
    }
}

/// Why a store did not do what was asked. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// There is no such note, or this user may not do that with it: which one is not said.
    #[error("note not found or access denied")]
    NotFound,
    /// No field is left that a client may set.
    #[error("no valid fields to update")]
    NothingToChange,
    /// The store did not answer, or failed. A write may have been done all the same.
    #[error("the notes are not available")]
    Unavailable,
    /// It is shared with as many users as it may be.
    #[error("a note is shared with at most {members_max} users")]
    TooManyMembers {
        /// How many that are.
        members_max: usize,
    },
    /// Too much is waiting; try again in a moment.
    #[error("the notes have too much waiting")]
    Overloaded,
    /// The note would hold more than is taken.
    #[error(
        "a note takes at most {bytes_max} bytes and {FIELDS_MAX} fields, with names of 1 to \
         {NAME_BYTES_MAX} bytes"
    )]
    TooLarge {
        /// Bytes of all names and values together.
        bytes_max: usize,
    },
}

/// A note to create.
#[derive(Clone, Debug)]
pub struct NewNote {
    /// Its name.
    pub id: NoteId,
    /// Who creates it, and so owns it.
    pub by: Author,
    /// What it holds.
    pub fields: NoteFields,
    /// The time.
    pub now: Timestamp,
}

/// A change of a note.
#[derive(Clone, Debug)]
pub struct NoteEdit {
    /// Which note.
    pub id: NoteId,
    /// Who changes it.
    pub by: Author,
    /// The fields to set.
    pub changes: NoteFields,
    /// The version the author had seen; without one nothing is a conflict.
    pub base_version: Option<i64>,
    /// The time.
    pub now: Timestamp,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq)]
pub struct NoteChange {
    /// The note as it stands now.
    pub note: Note,
    /// By field, what the author overwrote without having seen it.
    pub conflicts: BTreeMap<String, Conflict>,
    /// What to tell everyone concerned; none when nothing changed.
    pub event: Option<NoteEvent>,
}

/// What everyone who follows a note is told of a change.
#[derive(Clone, Debug)]
pub struct NoteEvent {
    /// Its name, for ever: publishing it again is recognised.
    pub id: EventId,
    /// Which note.
    pub note: NoteId,
    /// Its `type` on the wire.
    pub kind: String,
    /// Its data, as JSON text.
    pub data: Box<RawValue>,
    /// The note's owner.
    pub owner: UserId,
    /// Everyone else who may see the note.
    pub members: Vec<UserId>,
    /// The author's session, which must not get it.
    pub exclude_session: Option<SessionId>,
}

impl PartialEq for NoteEvent {
    fn eq(&self, other: &Self) -> bool {
        let Self { id, note, kind, data, owner, members, exclude_session } = self;
        (id, note, kind, data.get(), owner, members, exclude_session)
            == (
                &other.id,
                &other.note,
                &other.kind,
                other.data.get(),
                &other.owner,
                &other.members,
                &other.exclude_session,
            )
    }
}

/// A note, and how the reader may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedNote {
    /// The note.
    pub note: Note,
    /// The reader's access.
    pub access: Access,
}

/// Which notes to list.
#[derive(Clone, Debug)]
pub struct NoteQuery {
    /// Whose own notes and those shared with them.
    pub user: UserId,
    /// Only those changed, deleted or shared with the user at this time or later. Without it
    /// tombstones are left out, with it they are listed. A change is stamped a little before it
    /// shows: whoever polls asks from somewhat before the last time.
    pub updated_since: Option<Timestamp>,
    /// What comes after this place.
    pub after: Option<NoteCursor>,
    /// At most this many.
    pub limit: usize,
}

/// A place in a list of notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteCursor {
    /// The last change of the note there.
    pub updated_at: Timestamp,
    /// Its name.
    pub id: NoteId,
}

/// A page of notes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotePage {
    /// The notes, by the time of their last change, then by name.
    pub notes: Vec<SharedNote>,
    /// Where the next page starts; none when this is the last.
    pub next: Option<NoteCursor>,
}

/// Who may see a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Whose it is.
    pub owner: UserId,
    /// With whom it is shared, by name.
    pub members: Vec<(UserId, Role)>,
}

/// What became of a [`NoteStore::share`].
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// Whether the member had no access before.
    pub is_new: bool,
    /// The note.
    pub note: Note,
}
