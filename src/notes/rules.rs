//! Who may change a note, and what a change does to it.
//!
//! Pure: decided on what is stored. A change without an event is to be written nowhere.

use std::collections::BTreeMap;

use super::events::{self, Told};
use super::merge::{Merged, holds, merge};
use super::{
    Access, Author, NewNote, Note, NoteChange, NoteEdit, NoteError, NoteEvent, NoteFields, Role,
    fits,
};
use crate::protocol::{EventId, Timestamp, UserId};

/// A note as it stands before a change, or a tombstone, and with whom it is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The note.
    pub note: Note,
    /// Its members, the owner apart.
    pub members: Vec<(UserId, Role)>,
}

impl Standing {
    /// How `user` has access to the note, if at all.
    pub fn access(&self, user: &UserId) -> Option<Access> {
        if self.note.owner == *user {
            return Some(Access::Owner);
        }
        let member = self.members.iter().find(|(member, _)| member == user);
        member.map(|(_, role)| Access::Member(*role))
    }
}

/// Creates a note, as version 1 of its author's. One that exists takes the fields given, and a
/// tombstone comes alive again, for whoever may write it; when it holds them already, nothing
/// changes.
///
/// # Errors
/// [`NoteError::NotFound`] when it is somebody else's, [`NoteError::TooLarge`].
pub fn create(
    standing: Option<&Standing>,
    new: &NewNote,
    event: EventId,
    bytes_max: usize,
) -> Result<NoteChange, NoteError> {
    let NewNote { id, by, fields, now } = new;
    let (note, members) = match standing {
        None => {
            let field_versions = fields.0.keys().map(|name| (name.clone(), 1)).collect();
            let note = Note {
                id: id.clone(),
                owner: by.user.clone(),
                version: 1,
                created_at: *now,
                updated_at: *now,
                deleted_at: None,
                fields: fields.clone(),
                field_versions,
            };
            (note, [].as_slice())
        }
        Some(standing) => {
            writable(standing, &by.user)?;
            if !standing.note.is_tombstone() && holds(&standing.note, fields) {
                return Ok(unchanged(&standing.note));
            }
            let alive = Note { deleted_at: None, ..standing.note.clone() };
            (merge(&alive, fields, None, *now).note, standing.members.as_slice())
        }
    };
    bounded(&note.fields, bytes_max)?;
    let told = events::created(&note, &by.user, *now);
    let event = Some(addressed(told, event, &note, members, by));
    Ok(NoteChange { note, conflicts: BTreeMap::new(), event })
}

/// Sets fields of a note.
///
/// # Errors
/// [`NoteError::NotFound`] when it is unknown, deleted or not the author's to write,
/// [`NoteError::NothingToChange`], [`NoteError::TooLarge`].
pub fn update(
    standing: Option<&Standing>,
    edit: &NoteEdit,
    event: EventId,
    bytes_max: usize,
) -> Result<NoteChange, NoteError> {
    let standing = standing.filter(|standing| !standing.note.is_tombstone());
    let standing = standing.ok_or(NoteError::NotFound)?;
    writable(standing, &edit.by.user)?;
    if edit.changes.is_empty() {
        return Err(NoteError::NothingToChange);
    }
    let Merged { note, conflicts } =
        merge(&standing.note, &edit.changes, edit.base_version, edit.now);
    bounded(&note.fields, bytes_max)?;
    let told = events::updated(&note, &edit.changes, &edit.by.user, edit.now);
    let event = Some(addressed(told, event, &note, &standing.members, &edit.by));
    Ok(NoteChange { note, conflicts, event })
}

/// Deletes a note and leaves a tombstone without fields; a tombstone stays as it is.
///
/// # Errors
/// [`NoteError::NotFound`] when it is unknown or not the author's own.
pub fn delete(
    standing: Option<&Standing>,
    by: &Author,
    event: EventId,
    now: Timestamp,
) -> Result<NoteChange, NoteError> {
    let standing = standing.filter(|standing| standing.note.owner == by.user);
    let Standing { note, members } = standing.ok_or(NoteError::NotFound)?;
    if note.is_tombstone() {
        return Ok(unchanged(note));
    }
    let tombstone = Note {
        version: note.version.saturating_add(1),
        updated_at: now.max(note.updated_at),
        deleted_at: Some(now),
        fields: NoteFields::default(),
        field_versions: BTreeMap::new(),
        ..note.clone()
    };
    let told = events::deleted(&note.id, &by.user, now);
    let event = Some(addressed(told, event, note, members, by));
    Ok(NoteChange { note: tombstone, conflicts: BTreeMap::new(), event })
}

fn writable(standing: &Standing, user: &UserId) -> Result<(), NoteError> {
    match standing.access(user) {
        Some(access) if access.may_write() => Ok(()),
        Some(_) | None => Err(NoteError::NotFound),
    }
}

fn bounded(fields: &NoteFields, bytes_max: usize) -> Result<(), NoteError> {
    if fits(fields, bytes_max) { Ok(()) } else { Err(NoteError::TooLarge { bytes_max }) }
}

fn unchanged(note: &Note) -> NoteChange {
    NoteChange { note: note.clone(), conflicts: BTreeMap::new(), event: None }
}

fn addressed(
    told: Told,
    id: EventId,
    note: &Note,
    members: &[(UserId, Role)],
    by: &Author,
) -> NoteEvent {
    NoteEvent {
        id,
        note: note.id.clone(),
        kind: told.kind.to_owned(),
        data: told.data,
        owner: note.owner.clone(),
        members: members.iter().map(|(member, _)| member.clone()).collect(),
        exclude_session: by.session.clone(),
    }
}

#[cfg(test)]
mod tests;
