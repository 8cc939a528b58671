//! What everyone who follows a note is told of a change, as the wire wants it.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Note, NoteFields};
use crate::protocol::{NoteId, Timestamp, UserId};

/// The `type` and the data of an event.
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) data: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated<'a> {
    note_id: &'a NoteId,
    changes: &'a NoteFields,
    updated_note: &'a Note,
    timestamp: Timestamp,
    from_user_id: &'a UserId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    note_data: &'a Note,
    timestamp: Timestamp,
    from_user_id: &'a UserId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted<'a> {
    note_id: &'a NoteId,
    timestamp: Timestamp,
    from_user_id: &'a UserId,
}

/// Tells that fields of a note were set; `note` is the note as it stands after.
pub(super) fn updated(note: &Note, changes: &NoteFields, by: &UserId, now: Timestamp) -> Told {
    let data = Updated {
        note_id: &note.id,
        changes,
        updated_note: note,
        timestamp: now,
        from_user_id: by,
    };
    told("note_sync", &data)
}

/// Tells that a note was created.
pub(super) fn created(note: &Note, by: &UserId, now: Timestamp) -> Told {
    told("note_created_sync", &Created { note_data: note, timestamp: now, from_user_id: by })
}

/// Tells that a note was deleted.
pub(super) fn deleted(note: &NoteId, by: &UserId, now: Timestamp) -> Told {
    told("note_deleted_sync", &Deleted { note_id: note, timestamp: now, from_user_id: by })
}

fn told(kind: &'static str, data: &impl Serialize) -> Told {
    // Keys are texts and values are JSON, so this cannot fail.
    let data = to_raw_value(data).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Told { kind, data }
}
