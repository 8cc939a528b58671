//! A store with one note, alice's, that is always as it was made.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::notes::{
    Access, Author, Members, NewNote, Note, NoteChange, NoteEdit, NoteError, NoteFields, NotePage,
    NoteQuery, NoteStore, Role, Shared, SharedNote,
};
use crate::protocol::{NoteId, Timestamp, UserId};

pub(super) struct OneNote;

fn note(id: NoteId) -> Note {
    Note {
        id,
        owner: UserId::new("alice").unwrap(),
        version: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        deleted_at: None,
        fields: NoteFields::default(),
        field_versions: BTreeMap::new(),
    }
}

fn change<'a>(id: NoteId) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
    let change = NoteChange { note: note(id), conflicts: BTreeMap::new(), event: None };
    ready(Ok(change)).boxed()
}

impl NoteStore for OneNote {
    fn create(&self, new: NewNote) -> BoxFuture<'_, Result<NoteChange, NoteError>> {
        change(new.id)
    }

    fn update(&self, edit: NoteEdit) -> BoxFuture<'_, Result<NoteChange, NoteError>> {
        change(edit.id)
    }

    fn delete(
        &self,
        id: NoteId,
        _: Author,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<NoteChange, NoteError>> {
        change(id)
    }

    fn read(&self, id: NoteId, user: UserId) -> BoxFuture<'_, Result<SharedNote, NoteError>> {
        let shared = SharedNote { note: note(id), access: Access::Owner };
        let is_own = shared.note.owner == user;
        ready(if is_own { Ok(shared) } else { Err(NoteError::NotFound) }).boxed()
    }

    fn list(&self, _: NoteQuery) -> BoxFuture<'_, Result<NotePage, NoteError>> {
        ready(Ok(NotePage::default())).boxed()
    }

    fn members(&self, id: NoteId) -> BoxFuture<'_, Result<Members, NoteError>> {
        ready(Ok(Members { owner: note(id).owner, members: Vec::new() })).boxed()
    }

    fn share(
        &self,
        id: NoteId,
        _: UserId,
        _: Role,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<Shared, NoteError>> {
        ready(Ok(Shared { is_new: true, note: note(id) })).boxed()
    }

    fn unshare(&self, _: NoteId, _: UserId) -> BoxFuture<'_, Result<bool, NoteError>> {
        ready(Ok(true)).boxed()
    }
}
