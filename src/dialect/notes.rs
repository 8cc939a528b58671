//! The note messages of `/ws` (docs/protocol/notes.md): a part of the native dialect.
//!
//! What is kept in notes is neither read nor rewritten here.

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::native::optional;
use super::{DecodeError, push_json_string};
use crate::protocol::{NoteCommand, NoteId, NotePush, NoteRefusal, Present};

/// The fields of every note message together.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Incoming<'a> {
    #[serde(borrow, default)]
    note_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    note_data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    changes: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "base_version")]
    base_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    presence: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    folder_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    folder_data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    updated_folder: Option<&'a RawValue>,
}

/// What is read of what a client announces.
#[derive(Deserialize)]
struct Announced<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "userId")]
    user_id: Option<&'a RawValue>,
}

/// Reads a note message; none when `kind` is not one.
pub(super) fn decode(kind: &str, frame: &ByteString) -> Option<Result<NoteCommand, DecodeError>> {
    let read: fn(&Incoming<'_>, &ByteString) -> Result<NoteCommand, DecodeError> = match kind {
        "join_note" => join,
        "leave_note" => {
            |incoming, _| Ok(named(incoming, false, |note| NoteCommand::Leave { note }))
        }
        "note_update" => update,
        "note_created" => created,
        "note_deleted" => deleted,
        "folder_created" => |incoming, frame| folder(&FOLDER_CREATED, incoming, frame),
        "folder_updated" => |incoming, frame| folder(&FOLDER_UPDATED, incoming, frame),
        "folder_deleted" => |incoming, frame| folder(&FOLDER_DELETED, incoming, frame),
        "note_signal" => |incoming, frame| {
            let data = incoming.data.map(|data| slice(frame, data));
            Ok(named(incoming, false, |note| NoteCommand::Signal { note, data }))
        },
        _ => return None,
    };
    let incoming = serde_json::from_str::<Incoming<'_>>(frame);
    Some(incoming.map_err(|_| DecodeError::InvalidFormat).and_then(|it| read(&it, frame)))
}

/// The part of the frame that `raw` is.
fn slice(frame: &ByteString, raw: &RawValue) -> ByteString {
    frame.slice_ref(raw.get())
}

/// An id as clients write it; an empty or unusable one is none.
fn name(raw: Option<&RawValue>) -> Option<String> {
    let name: String = match raw?.get() {
        text if text.starts_with('"') => serde_json::from_str(text).ok()?,
        // Some applications count their notes.
        number => number.parse::<i64>().ok()?.to_string(),
    };
    (!name.is_empty()).then_some(name)
}

/// A command about a note that must be named.
fn named(
    incoming: &Incoming<'_>,
    is_update: bool,
    command: impl FnOnce(NoteId) -> NoteCommand,
) -> NoteCommand {
    let Some(name) = name(incoming.note_id) else {
        return NoteCommand::Bad { is_update, note: None, refusal: NoteRefusal::MissingNote };
    };
    match NoteId::new(&name) {
        Ok(note) => command(note),
        // Nobody can have a note of such a name.
        Err(_) => NoteCommand::Bad { is_update, note: None, refusal: NoteRefusal::NotFound },
    }
}

fn join(incoming: &Incoming<'_>, _: &ByteString) -> Result<NoteCommand, DecodeError> {
    let presence = optional::<bool>(incoming.presence)?.unwrap_or(false);
    Ok(named(incoming, false, |note| NoteCommand::Join { note, presence }))
}

fn update(incoming: &Incoming<'_>, frame: &ByteString) -> Result<NoteCommand, DecodeError> {
    let base_version = optional(incoming.base_version)?;
    let changes = incoming.changes.filter(|raw| raw.get().starts_with('{'));
    let changes = changes.map(|changes| slice(frame, changes));
    Ok(named(incoming, true, |note| NoteCommand::Update { note, changes, base_version }))
}

fn created(incoming: &Incoming<'_>, frame: &ByteString) -> Result<NoteCommand, DecodeError> {
    let data = incoming.note_data.filter(|raw| raw.get().starts_with('{'));
    let announced: Option<Announced<'_>> = data.map(announced).transpose()?;
    let id = announced.as_ref().and_then(|announced| name(announced.id));
    let id = name(incoming.note_id).or(id);
    let (Some(id), Some(data)) = (&id, data) else {
        return Ok(missing([("noteId", id.is_some()), ("noteData", data.is_some())], id));
    };
    let Ok(note) = NoteId::new(id) else {
        let refusal = NoteRefusal::NotFound;
        return Ok(NoteCommand::Bad { is_update: false, note: None, refusal });
    };
    let claimed_by = announced.and_then(|announced| name(announced.user_id));
    Ok(NoteCommand::Created { note, data: slice(frame, data), claimed_by })
}

fn deleted(incoming: &Incoming<'_>, _: &ByteString) -> Result<NoteCommand, DecodeError> {
    if name(incoming.note_id).is_none() {
        return Ok(missing([("noteId", false)], None));
    }
    Ok(named(incoming, false, |note| NoteCommand::Deleted { note }))
}

fn announced(data: &RawValue) -> Result<Announced<'_>, DecodeError> {
    serde_json::from_str(data.get()).map_err(|_| DecodeError::InvalidFormat)
}

/// Names what is missing, in the order of the table.
fn missing<const N: usize>(fields: [(&'static str, bool); N], note: Option<String>) -> NoteCommand {
    let absent = fields.into_iter().filter(|(_, is_there)| !is_there);
    let refusal = NoteRefusal::Missing(absent.map(|(name, _)| name).collect());
    let note = note.and_then(|note| NoteId::new(&note).ok());
    NoteCommand::Bad { is_update: false, note, refusal }
}

/// How a folder message becomes an event.
struct FolderKind {
    event: &'static str,
    needs_data: bool,
}

const FOLDER_CREATED: FolderKind = FolderKind { event: "folder_created_sync", needs_data: true };
const FOLDER_UPDATED: FolderKind = FolderKind { event: "folder_updated_sync", needs_data: false };
const FOLDER_DELETED: FolderKind = FolderKind { event: "folder_deleted_sync", needs_data: false };

fn folder(
    kind: &FolderKind,
    incoming: &Incoming<'_>,
    _: &ByteString,
) -> Result<NoteCommand, DecodeError> {
    let data = incoming.folder_data.filter(|raw| raw.get().starts_with('{'));
    let announced = data.map(announced).transpose()?;
    let id = incoming.folder_id.filter(|raw| name(Some(raw)).is_some());
    let id = id.or(announced.as_ref().and_then(|announced| announced.id));
    let (Some(id), true) = (id, data.is_some() || !kind.needs_data) else {
        let has_data = data.is_some() || !kind.needs_data;
        return Ok(missing([("folderId", id.is_some()), ("folderData", has_data)], None));
    };
    let mut fields = format!("{{\"folderId\":{}", id.get());
    for (name, value) in [
        ("folderData", data),
        ("changes", incoming.changes),
        ("updatedFolder", incoming.updated_folder),
    ] {
        if let Some(value) = value {
            fields.push_str(&format!(",\"{name}\":{}", value.get()));
        }
    }
    fields.push('}');
    let claimed_by = announced.and_then(|announced| name(announced.user_id));
    Ok(NoteCommand::Folder { kind: kind.event, data: fields.into(), claimed_by })
}

/// Spells what a note client is told.
pub(super) fn encode(push: &NotePush) -> String {
    match push {
        NotePush::Joined(note) => json!({
            "type": "note_joined",
            "noteId": note,
            "message": "Successfully joined note for real-time sync",
        })
        .to_string(),
        NotePush::Left(note) => json!({"type": "note_left", "noteId": note}).to_string(),
        NotePush::Updated { note, updated, timestamp, conflicts } => {
            let mut frame = String::with_capacity(updated.len() + 128);
            frame.push_str("{\"type\":\"note_update_success\",\"noteId\":");
            push_json_string(&mut frame, note.as_str());
            frame.push_str(&format!(",\"updatedNote\":{updated},\"timestamp\":{}", timestamp.0));
            if let Some(conflicts) = conflicts {
                frame.push_str(&format!(",\"conflicts\":{conflicts}"));
            }
            frame.push('}');
            frame
        }
        NotePush::Refused { note, refusal } => {
            let mut frame =
                json!({"type": "error", "message": refusal.message(), "code": refusal.code()});
            if let (Some(note), Some(frame)) = (note, frame.as_object_mut()) {
                frame.insert("noteId".to_owned(), json!(note));
            }
            frame.to_string()
        }
        NotePush::PresenceState { note, present } => {
            json!({"type": "presence_state", "noteId": note, "users": users(present)}).to_string()
        }
        NotePush::PresenceDiff { note, joins, leaves } => json!({
            "type": "presence_diff",
            "noteId": note,
            "joins": users(joins),
            "leaves": users(leaves),
        })
        .to_string(),
        NotePush::Signal { note, from, data, timestamp } => {
            let mut frame = "{\"type\":\"note_signal\",\"noteId\":".to_owned();
            push_json_string(&mut frame, note.as_str());
            frame.push_str(",\"fromUserId\":");
            push_json_string(&mut frame, from.as_str());
            if let Some(data) = data {
                frame.push_str(&format!(",\"data\":{data}"));
            }
            frame.push_str(&format!(",\"timestamp\":{}}}", timestamp.0));
            frame
        }
    }
}

fn users(present: &[Present]) -> serde_json::Value {
    present
        .iter()
        .map(|present| json!({"userId": present.user, "connections": present.connections}))
        .collect()
}

#[cfg(test)]
mod tests;
