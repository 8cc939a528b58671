//! What users do to notes: their own, those shared with them, and everybody else's.

use std::collections::BTreeMap;

use serde_json::json;

use super::world::{Note, World};

impl World {
    pub(super) async fn create(&mut self, user: usize) {
        let at = if self.random.chance(50) { self.any_note(user) } else { None };
        let at = at.unwrap_or_else(|| {
            let id = format!("note-{}", self.notes.len());
            let (members, fields) = (BTreeMap::new(), BTreeMap::new());
            self.notes.push(Note { id, owner: user, members, fields, is_alive: false });
            self.notes.len() - 1
        });
        let may = self.notes[at].lets_write(user);
        let (field, mark) = self.field_of(at, user, may);
        let data = json!({"id": self.notes[at].id, field: mark.to_string()});
        self.ask(user, json!({"type": "note_created", "noteData": data}), may).await;
        if may {
            self.notes[at].is_alive = true;
        }
    }

    pub(super) async fn update(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let may = self.notes[at].is_alive && self.notes[at].lets_write(user);
        let (field, mark) = self.field_of(at, user, may);
        let changes = json!({field: mark.to_string()});
        let id = &self.notes[at].id;
        let base = self.random.below(5);
        let frame =
            json!({"type": "note_update", "noteId": id, "changes": changes, "base_version": base});
        self.ask(user, frame, may).await;
    }

    pub(super) async fn delete(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let may = self.notes[at].owner == user;
        let frame = json!({"type": "note_deleted", "noteId": self.notes[at].id});
        self.ask(user, frame, may).await;
        if may {
            self.notes[at].is_alive = false;
            self.notes[at].fields.clear();
        }
    }

    pub(super) async fn join(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let may = self.notes[at].lets_see(user);
        let presence = self.random.chance(50);
        let frame = json!({"type": "join_note", "noteId": self.notes[at].id, "presence": presence});
        self.ask(user, frame, may).await;
    }

    /// Refused to who is not in the room: whether this connection is, is not known here.
    pub(super) async fn signal(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let note = &self.notes[at];
        let readers = if note.audience().contains(&user) { note.audience() } else { [user].into() };
        let data = json!({"cursor": self.marks.fresh(user, readers).to_string()});
        let frame = json!({"type": "note_signal", "noteId": note.id, "data": data});
        self.people[user].plain.ask(frame).await;
    }

    pub(super) async fn folder(&mut self, user: usize) {
        let kind = ["folder_created", "folder_updated"][self.random.below(2) as usize];
        let claimed = if self.random.chance(30) { self.any_user() } else { user };
        let mark = self.marks.fresh(user, [user]).to_string();
        let data = json!({"name": mark, "userId": self.people[claimed].name.to_string()});
        let frame = json!({"type": kind, "folderId": mark, "folderData": data});
        self.ask(user, frame, claimed == user).await;
    }

    pub(super) async fn share(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let member = self.any_user();
        let note = &self.notes[at];
        let may = note.is_alive && note.owner == user;
        let expected = match may {
            true if member == user => 422,
            true => 200,
            false => 404,
        };
        if expected == 200 {
            note.fields.values().for_each(|mark| self.marks.allow(*mark, member));
            for known in note.audience() {
                self.marks.allow(self.people[known].name, member);
                self.marks.allow(self.people[member].name, known);
            }
        }
        let lets_write = self.random.chance(50);
        let role = if lets_write { "write" } else { "read" };
        let body = json!({"user": self.people[member].name.to_string(), "role": role}).to_string();
        let path = format!("/api/v1/notes/{}/members", note.id);
        let answer = self.call_quietly(user, "POST", &path, Some(&body)).await;
        assert_eq!(answer.status, expected, "{}", answer.text);
        if expected == 200 {
            self.notes[at].members.insert(member, lets_write);
        } else {
            // What the user said itself may be in the answer, but no more.
            assert!(!answer.text.contains("mark-"), "{}", answer.text);
        }
    }

    pub(super) async fn unshare(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let note = &self.notes[at];
        let members: Vec<_> = note.members.keys().copied().collect();
        let member = self.random.pick(&members).copied().unwrap_or(user);
        let is_theirs = note.owner == user || member == user;
        let may = note.is_alive && is_theirs && note.members.contains_key(&member);
        let name = self.people[member].name;
        let path = format!("/api/v1/notes/{}/members/{name}", note.id);
        let answer = self.call(user, "DELETE", &path, None).await;
        assert_eq!(answer.status, if may { 204 } else { 404 }, "{}", answer.text);
        if may {
            self.notes[at].members.remove(&member);
        }
    }

    pub(super) async fn read_note(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let may = self.notes[at].lets_see(user);
        let path = format!("/api/v1/notes/{}", self.notes[at].id);
        for path in [path.clone(), format!("{path}/members")] {
            let answer = self.call(user, "GET", &path, None).await;
            assert_eq!(answer.status, if may { 200 } else { 404 }, "{}", answer.text);
            // What was shared once is nobody's business now.
            assert!(may || !answer.text.contains("mark-"), "{}", answer.text);
        }
    }
}
