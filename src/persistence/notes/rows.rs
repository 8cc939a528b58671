//! Notes, their members and their events as rows, and back.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde_json::value::RawValue;

use crate::notes::{Note, NoteEvent, NoteFields, Role};
use crate::persistence::rows::{name, parse_name};
use crate::persistence::schema::{note_events, note_members, notes};
use crate::protocol::{NoteId, SessionId, Timestamp, UserId};

/// A note.
#[derive(Insertable, AsChangeset, Queryable, Selectable)]
#[diesel(table_name = notes, treat_none_as_null = true, treat_none_as_default_value = false)]
pub(super) struct NoteRow {
    pub(super) note_id: String,
    owner_id: String,
    version: i64,
    fields: String,
    field_versions: String,
    bytes: i64,
    created_at: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
}

impl NoteRow {
    pub(super) fn new(note: &Note) -> Self {
        Self {
            note_id: note.id.to_string(),
            owner_id: note.owner.to_string(),
            version: note.version,
            fields: json(&note.fields),
            field_versions: json(&note.field_versions),
            bytes: i64::try_from(note.fields.bytes()).unwrap_or(i64::MAX),
            created_at: note.created_at.0,
            updated_at: note.updated_at.0,
            deleted_at: note.deleted_at.map(|at| at.0),
        }
    }

    /// The note; none for a row that something else wrote.
    pub(super) fn note(self) -> Option<Note> {
        let fields: NoteFields = serde_json::from_str(&self.fields).ok()?;
        let field_versions: BTreeMap<String, i64> =
            serde_json::from_str(&self.field_versions).ok()?;
        Some(Note {
            id: NoteId::new(&self.note_id).ok()?,
            owner: UserId::new(&self.owner_id).ok()?,
            version: self.version,
            created_at: Timestamp(self.created_at),
            updated_at: Timestamp(self.updated_at),
            deleted_at: self.deleted_at.map(Timestamp),
            fields,
            field_versions,
        })
    }
}

/// A member of a note.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = note_members, treat_none_as_default_value = false)]
pub(super) struct MemberRow {
    note_id: String,
    user_id: String,
    role: String,
    added_at: i64,
}

impl MemberRow {
    pub(super) fn new(note: &NoteId, member: &UserId, role: Role, now: Timestamp) -> Self {
        Self {
            note_id: note.to_string(),
            user_id: member.to_string(),
            role: role.name().to_owned(),
            added_at: now.0,
        }
    }

    pub(super) fn member(self) -> Option<(UserId, Role)> {
        Some((UserId::new(&self.user_id).ok()?, Role::from_name(&self.role)?))
    }
}

/// An event of a note.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = note_events, treat_none_as_default_value = false)]
pub(super) struct EventRow {
    event_id: String,
    note_id: String,
    version: i64,
    kind: String,
    data: String,
    owner_id: String,
    recipients: String,
    exclude_session: Option<String>,
    created_at: i64,
}

impl EventRow {
    /// The event that tells how `note` came to stand as it does.
    pub(super) fn new(event: &NoteEvent, note: &Note) -> Self {
        Self {
            event_id: name(event.id),
            note_id: event.note.to_string(),
            version: note.version,
            kind: event.kind.clone(),
            data: event.data.get().to_owned(),
            owner_id: event.owner.to_string(),
            recipients: json(&event.members),
            exclude_session: event.exclude_session.as_ref().map(ToString::to_string),
            created_at: note.updated_at.0,
        }
    }

    pub(super) fn event(self) -> Option<NoteEvent> {
        Some(NoteEvent {
            id: parse_name(&self.event_id)?,
            note: NoteId::new(&self.note_id).ok()?,
            kind: self.kind,
            data: RawValue::from_string(self.data).ok()?,
            owner: UserId::new(&self.owner_id).ok()?,
            members: serde_json::from_str(&self.recipients).ok()?,
            exclude_session: self.exclude_session.as_deref().and_then(|s| SessionId::new(s).ok()),
        })
    }
}

/// The value as JSON text; keys are texts and values are JSON, so this cannot fail.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
