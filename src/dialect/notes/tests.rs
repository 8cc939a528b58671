//! Every note message, both ways.

use serde_json::{Value, json};

use super::*;
use crate::dialect::{Dialect, native::Native};
use crate::protocol::{Command, Push, Timestamp, UserId};

fn decode(frame: &str) -> NoteCommand {
    match Native.decode(&ByteString::from(frame)) {
        Ok(Command::Note(command)) => command,
        other => panic!("{frame}: {other:?}"),
    }
}

fn note(name: &str) -> NoteId {
    NoteId::new(name).unwrap()
}

#[test]
fn what_a_client_asks_is_read() {
    for (frame, expected) in [
        (
            r#"{"type":"join_note","noteId":"n"}"#,
            NoteCommand::Join { note: note("n"), presence: false },
        ),
        (
            r#"{"type":"join_note","noteId":7,"presence":true}"#,
            NoteCommand::Join { note: note("7"), presence: true },
        ),
        (r#"{"type":"leave_note","noteId":"n"}"#, NoteCommand::Leave { note: note("n") }),
        (
            r#"{"type":"note_update","noteId":"n","changes":{"n":1.50},"base_version":3}"#,
            NoteCommand::Update {
                note: note("n"),
                changes: Some(r#"{"n":1.50}"#.into()),
                base_version: Some(3),
            },
        ),
        (
            r#"{"type":"note_update","noteId":"n","changes":[1]}"#,
            NoteCommand::Update { note: note("n"), changes: None, base_version: None },
        ),
        (
            r#"{"type":"note_created","noteData":{"id":"n","userId":"u"}}"#,
            NoteCommand::Created {
                note: note("n"),
                data: r#"{"id":"n","userId":"u"}"#.into(),
                claimed_by: Some("u".to_owned()),
            },
        ),
        (
            r#"{"type":"note_created","noteId":"a","noteData":{"id":"b"}}"#,
            NoteCommand::Created {
                note: note("a"),
                data: r#"{"id":"b"}"#.into(),
                claimed_by: None,
            },
        ),
        (r#"{"type":"note_deleted","noteId":"n"}"#, NoteCommand::Deleted { note: note("n") }),
        (
            r#"{"type":"note_signal","noteId":"n","data":{"x":1}}"#,
            NoteCommand::Signal { note: note("n"), data: Some(r#"{"x":1}"#.into()) },
        ),
    ] {
        assert_eq!(decode(frame), expected, "{frame}");
    }
}

#[test]
fn folders_keep_the_fields_the_table_names() {
    for (frame, kind, data) in [
        (
            r#"{"type":"folder_created","folderId":"f","folderData":{"name":"x"},"more":1}"#,
            "folder_created_sync",
            r#"{"folderId":"f","folderData":{"name":"x"}}"#,
        ),
        (
            r#"{"type":"folder_updated","folderId":"f","changes":{"name":"y"},"updatedFolder":{}}"#,
            "folder_updated_sync",
            r#"{"folderId":"f","changes":{"name":"y"},"updatedFolder":{}}"#,
        ),
        (
            r#"{"type":"folder_deleted","folderId":"f"}"#,
            "folder_deleted_sync",
            r#"{"folderId":"f"}"#,
        ),
    ] {
        let data = data.into();
        assert_eq!(decode(frame), NoteCommand::Folder { kind, data, claimed_by: None }, "{frame}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (frame, message) in [
        (r#"{"type":"join_note"}"#, "Missing noteId or userId"),
        (r#"{"type":"join_note","noteId":""}"#, "Missing noteId or userId"),
        (r#"{"type":"leave_note","noteId":null}"#, "Missing noteId or userId"),
        (r#"{"type":"note_update","changes":{}}"#, "Missing noteId or userId"),
        (r#"{"type":"note_signal"}"#, "Missing noteId or userId"),
        (r#"{"type":"note_created"}"#, "Missing noteId, noteData"),
        (r#"{"type":"note_created","noteId":"n"}"#, "Missing noteData"),
        (r#"{"type":"note_created","noteData":{"title":"x"}}"#, "Missing noteId"),
        (r#"{"type":"note_created","noteId":"n","noteData":"x"}"#, "Missing noteData"),
        (r#"{"type":"note_deleted"}"#, "Missing noteId"),
        (r#"{"type":"folder_created"}"#, "Missing folderId, folderData"),
        (r#"{"type":"folder_created","folderId":"f"}"#, "Missing folderData"),
        (r#"{"type":"folder_updated"}"#, "Missing folderId"),
        (r#"{"type":"folder_deleted"}"#, "Missing folderId"),
    ] {
        let NoteCommand::Bad { refusal, .. } = decode(frame) else { panic!("{frame}") };
        assert_eq!(refusal.message(), message, "{frame}");
    }
    let long = "x".repeat(129);
    let frame = format!(r#"{{"type":"note_update","noteId":"{long}","changes":{{}}}}"#);
    let refusal = NoteRefusal::NotFound;
    assert_eq!(decode(&frame), NoteCommand::Bad { is_update: true, note: None, refusal });
}

#[test]
fn a_field_of_the_wrong_shape_is_no_note_message() {
    for frame in [
        r#"{"type":"join_note","noteId":"n","presence":"yes"}"#,
        r#"{"type":"note_update","noteId":"n","changes":{},"base_version":"3"}"#,
        r#"{"type":"note_update","noteId":"n","noteId":"m","changes":{}}"#,
    ] {
        let decoded = Native.decode(&ByteString::from(frame));
        assert_eq!(decoded, Err(DecodeError::InvalidFormat), "{frame}");
    }
}

fn spelled(push: NotePush) -> Value {
    serde_json::from_str(&Native.encode(&Push::Note(push)).unwrap()).unwrap()
}

#[test]
fn what_the_hub_tells_is_spelled() {
    let alice = UserId::new("al\"ice").unwrap();
    let present = |connections| vec![Present { user: alice.clone(), connections }];
    for (push, expected) in [
        (
            NotePush::Joined(note("n\"")),
            json!({"type":"note_joined","noteId":"n\"","message":"Successfully joined note for real-time sync"}),
        ),
        (NotePush::Left(note("n")), json!({"type":"note_left","noteId":"n"})),
        (
            NotePush::Updated {
                note: note("n\""),
                updated: r#"{"a":1}"#.into(),
                timestamp: Timestamp(5),
                conflicts: None,
            },
            json!({"type":"note_update_success","noteId":"n\"","updatedNote":{"a":1},"timestamp":5}),
        ),
        (
            NotePush::Updated {
                note: note("n"),
                updated: "{}".into(),
                timestamp: Timestamp(5),
                conflicts: Some(r#"{"a":{"yours":1,"theirs":2}}"#.into()),
            },
            json!({"type":"note_update_success","noteId":"n","updatedNote":{},"timestamp":5,
                "conflicts":{"a":{"yours":1,"theirs":2}}}),
        ),
        (
            NotePush::Refused { note: Some(note("n")), refusal: NoteRefusal::NotFound },
            json!({"type":"error","message":"Note not found or access denied","code":"not_found","noteId":"n"}),
        ),
        (
            NotePush::Refused { note: None, refusal: NoteRefusal::MissingNote },
            json!({"type":"error","message":"Missing noteId or userId","code":"missing_fields"}),
        ),
        (
            NotePush::PresenceState { note: note("n"), present: present(2) },
            json!({"type":"presence_state","noteId":"n","users":[{"userId":"al\"ice","connections":2}]}),
        ),
        (
            NotePush::PresenceDiff { note: note("n"), joins: present(1), leaves: vec![] },
            json!({"type":"presence_diff","noteId":"n",
                "joins":[{"userId":"al\"ice","connections":1}],"leaves":[]}),
        ),
        (
            NotePush::Signal {
                note: note("n"),
                from: alice.clone(),
                data: Some(r#"{"x":1.0}"#.into()),
                timestamp: Timestamp(5),
            },
            json!({"type":"note_signal","noteId":"n","fromUserId":"al\"ice","data":{"x":1.0},"timestamp":5}),
        ),
    ] {
        assert_eq!(spelled(push), expected);
    }
}
