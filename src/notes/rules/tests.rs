//! Who may do what, and what everyone is told.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::protocol::{NoteId, SessionId};

const BYTES_MAX: usize = 1_000;
const EVENT: EventId = EventId(Uuid::from_u128(7));

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn author(name: &str) -> Author {
    Author { user: user(name), session: Some(SessionId::new("s").unwrap()) }
}

fn fields(json: Value) -> NoteFields {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn new(by: &str, json: Value) -> NewNote {
    let id = NoteId::new("n").unwrap();
    NewNote { id, by: author(by), fields: fields(json), now: Timestamp(1_000) }
}

fn edit(by: &str, json: Value) -> NoteEdit {
    let id = NoteId::new("n").unwrap();
    let changes = fields(json);
    NoteEdit { id, by: author(by), changes, base_version: None, now: Timestamp(2_000) }
}

/// Alice's note, which bob may read and carol write.
fn standing() -> Standing {
    let note = create(None, &new("alice", json!({"title": "a"})), EVENT, BYTES_MAX).unwrap().note;
    Standing { note, members: vec![(user("bob"), Role::Read), (user("carol"), Role::Write)] }
}

fn tombstone() -> Standing {
    let standing = standing();
    let note = delete(Some(&standing), &author("alice"), EVENT, Timestamp(3_000)).unwrap().note;
    Standing { note, ..standing }
}

fn data(change: &NoteChange) -> Value {
    serde_json::from_str(change.event.as_ref().unwrap().data.get()).unwrap()
}

#[test]
fn a_new_note_is_its_authors_and_is_told() {
    let change = create(None, &new("alice", json!({"title": "a"})), EVENT, BYTES_MAX).unwrap();
    assert_eq!((change.note.version, change.note.owner.as_str()), (1, "alice"));
    assert_eq!(
        data(&change),
        json!({
            "noteData": {
                "id": "n", "userId": "alice", "title": "a", "version": 1,
                "createdAt": "1970-01-01T00:00:01.000Z", "updatedAt": "1970-01-01T00:00:01.000Z",
            },
            "timestamp": 1_000, "fromUserId": "alice",
        })
    );
    let event = change.event.unwrap();
    assert_eq!(
        (event.id, event.kind.as_str(), event.owner),
        (EVENT, "note_created_sync", user("alice"))
    );
    assert_eq!((event.members, event.exclude_session.unwrap().as_str()), (vec![], "s"));
}

#[test]
fn an_update_tells_the_changes_and_the_whole_note_to_every_member() {
    let change =
        update(Some(&standing()), &edit("carol", json!({"x": 1})), EVENT, BYTES_MAX).unwrap();
    assert_eq!(
        data(&change),
        json!({
            "noteId": "n", "changes": {"x": 1},
            "updatedNote": {
                "id": "n", "userId": "alice", "title": "a", "x": 1, "version": 2,
                "createdAt": "1970-01-01T00:00:01.000Z", "updatedAt": "1970-01-01T00:00:02.000Z",
            },
            "timestamp": 2_000, "fromUserId": "carol",
        })
    );
    let event = change.event.unwrap();
    assert_eq!((event.kind.as_str(), event.owner), ("note_sync", user("alice")));
    assert_eq!(event.members, [user("bob"), user("carol")]);
}

#[test]
fn only_the_owner_and_those_who_may_write_change_a_note() {
    let standing = standing();
    for (name, may) in [("alice", true), ("bob", false), ("carol", true), ("mallory", false)] {
        let updated = update(Some(&standing), &edit(name, json!({"x": 1})), EVENT, BYTES_MAX);
        let created = create(Some(&standing), &new(name, json!({"x": 1})), EVENT, BYTES_MAX);
        assert_eq!(updated.is_ok(), may, "{name}");
        assert_eq!(created.is_ok(), may, "{name}");
        if !may {
            assert_eq!(updated, Err(NoteError::NotFound));
            assert_eq!(created, Err(NoteError::NotFound));
        }
        let deleted = delete(Some(&standing), &author(name), EVENT, Timestamp(3));
        assert_eq!(deleted.is_ok(), name == "alice", "{name}");
    }
    assert_eq!(
        update(None, &edit("alice", json!({"x": 1})), EVENT, BYTES_MAX),
        Err(NoteError::NotFound)
    );
    assert_eq!(delete(None, &author("alice"), EVENT, Timestamp(3)), Err(NoteError::NotFound));
}

#[test]
fn a_deleted_note_is_gone_until_it_is_created_again() {
    let tombstone = tombstone();
    assert!(tombstone.note.fields.is_empty() && tombstone.note.is_tombstone());
    assert_eq!(tombstone.note.version, 2);
    let late = update(Some(&tombstone), &edit("alice", json!({"x": 1})), EVENT, BYTES_MAX);
    assert_eq!(late, Err(NoteError::NotFound));
    let again = delete(Some(&tombstone), &author("alice"), EVENT, Timestamp(9)).unwrap();
    assert_eq!((again.event, &again.note), (None, &tombstone.note));
    let alive = create(Some(&tombstone), &new("alice", json!({"x": 1})), EVENT, BYTES_MAX).unwrap();
    assert_eq!((alive.note.version, alive.note.deleted_at), (3, None));
    assert_eq!(alive.note.fields, fields(json!({"x": 1})));
    assert_eq!(alive.event.unwrap().kind, "note_created_sync");
}

#[test]
fn a_deletion_is_told_by_name() {
    let change = delete(Some(&standing()), &author("alice"), EVENT, Timestamp(3_000)).unwrap();
    assert_eq!(data(&change), json!({"noteId": "n", "timestamp": 3_000, "fromUserId": "alice"}));
    assert_eq!(change.event.unwrap().kind, "note_deleted_sync");
}

#[test]
fn creating_what_is_there_already_changes_nothing() {
    let standing = standing();
    let again = create(Some(&standing), &new("alice", json!({"title": "a"})), EVENT, BYTES_MAX);
    let again = again.unwrap();
    assert_eq!((again.event, again.note), (None, standing.note.clone()));
    let other = create(Some(&standing), &new("alice", json!({"title": "b"})), EVENT, BYTES_MAX);
    assert_eq!(other.unwrap().note.version, 2);
}

#[test]
fn an_update_of_nothing_and_a_note_that_grows_too_large_are_refused() {
    let standing = standing();
    let nothing = update(Some(&standing), &edit("alice", json!({})), EVENT, BYTES_MAX);
    assert_eq!(nothing, Err(NoteError::NothingToChange));
    let large = edit("alice", json!({"x": "0123456789"}));
    // title and "a" are there already.
    assert!(update(Some(&standing), &large, EVENT, 8 + 13).is_ok());
    let refused = update(Some(&standing), &large, EVENT, 8 + 12);
    assert_eq!(refused, Err(NoteError::TooLarge { bytes_max: 20 }));
}
