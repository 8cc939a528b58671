//! What users and the application do beside notes, and what users ask for that is not theirs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::world::{Person, World, tab};
use crate::device::Device;

impl World {
    /// The application publishes something for a user, one by one or in a batch.
    pub(super) async fn publish(&mut self, user: usize) {
        let mark = self.marks.fresh(user, [user]);
        let is_ephemeral = self.random.chance(20);
        let body =
            json!({"type": "told", "data": {"text": mark.to_string()}, "ephemeral": is_ephemeral});
        let name = self.people[user].name;
        if self.random.chance(50) {
            let path = format!("/api/v1/users/{name}/events");
            assert_eq!(self.hub.call("POST", &path, Some(body)).await.status, 201);
        } else {
            let other = self.any_user();
            let others = self.marks.fresh(other, [other]);
            let mut batch = [body.clone(), body];
            batch[0]["user"] = json!(name.to_string());
            batch[1]["user"] = json!(self.people[other].name.to_string());
            batch[1]["data"] = json!([others.to_string()]);
            let answer = self.hub.call("POST", "/api/v1/events", Some(json!(batch))).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            if !is_ephemeral {
                self.people[other].published.push(others);
            }
        }
        if !is_ephemeral {
            self.people[user].published.push(mark);
        }
    }

    pub(super) async fn publish_to_note(&mut self, user: usize) {
        let Some(at) = self.any_note(user) else { return };
        let note = &self.notes[at];
        let mark = self.marks.fresh(note.owner, note.audience());
        let body = json!({"type": "told", "data": {"text": mark.to_string()}});
        let path = format!("/api/v1/notes/{}/events", note.id);
        let status = self.hub.call("POST", &path, Some(body)).await.status;
        assert_eq!(status, if note.is_alive { 201 } else { 404 });
    }

    /// A user asks for what only the application or an administrator may, or names the session
    /// of one user as another's.
    pub(super) async fn overstep(&mut self, user: usize) {
        let other = self.any_user();
        let (name, session) = (self.people[other].name, self.people[other].session);
        let mark = self.marks.fresh(user, [user]).to_string();
        let body = json!({"type": "told", "data": {"text": mark}}).to_string();
        let events = self.marks.last_events();
        let event =
            self.random.pick(&events).cloned().unwrap_or_else(|| uuid::Uuid::nil().to_string());
        for (method, path, body) in [
            ("POST", format!("/api/v1/users/{name}/events"), Some(body.as_str())),
            ("POST", "/api/v1/broadcast".to_owned(), Some(body.as_str())),
            ("POST", "/api/v1/events".to_owned(), Some("[]")),
            ("POST", "/api/v1/notes/note-0/events".to_owned(), Some(body.as_str())),
            ("GET", format!("/api/v1/users/{name}/sessions"), None),
            ("DELETE", format!("/api/v1/users/{name}/sessions/{session}"), None),
            ("GET", format!("/api/v1/events/{event}/trace"), None),
            ("GET", "/api/v1/dead-letters".to_owned(), None),
        ] {
            assert_eq!(self.call(user, method, &path, body).await.status, 403, "{path}");
        }
        if other != user {
            let path = format!("/api/v1/users/{}/sessions/{session}", self.people[user].name);
            assert_eq!(self.hub.call("DELETE", &path, None).await.status, 404);
        }
    }

    /// A user comes with the name of another's session, while that one is there or away, and
    /// while something waits for it.
    pub(super) async fn visit(&mut self, user: usize) {
        let other = self.any_user();
        if other == user {
            return;
        }
        let Person { name, session, .. } = self.people[other];
        if self.random.chance(50) {
            // Nobody answers for the session meanwhile.
            let stand_in = Device::plain(&self.hub, &name.to_string()).await;
            let stand_in = Client::new(stand_in, other, self.marks.clone());
            drop(std::mem::replace(&mut self.people[other].tab, stand_in));
        }
        self.publish(other).await;
        let token = self.hub.token(&self.people[user].name.to_string());
        let device = if self.random.chance(50) {
            let mut device = Device::connect(&self.hub).await;
            let more = json!({"offline": "replay"});
            let ok = device.auth(&token, json!(session.to_string()), more).await;
            self.marks.search(user, &ok.to_string(), "auth_ok on /ws");
            assert_eq!(ok["type"], "auth_ok", "{ok}");
            device
        } else {
            let path = format!("/updates?token={token}&session_id={session}");
            Device::connect_to(&self.hub, &path, &[]).await.unwrap()
        };
        let visitor = Client::new(device, user, self.marks.clone());
        // The answer of either dialect: both leave time for what must not come.
        match self.random.chance(50) {
            true => self.publish(other).await,
            false => self.publish(user).await,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let device = tab(&self.hub, name, session).await;
        self.people[other].tab = Client::new(device, other, self.marks.clone());
        self.people[other].tab.ask(json!({"type": "ping"})).await;
        self.people[user].tab.ask(json!({"type": "ping"})).await;
        drop(visitor);
    }

    pub(super) async fn ack_of_others(&mut self, user: usize) {
        let events = self.marks.last_events();
        let frame = json!({"type": "ack", "event_ids": events});
        self.people[user].tab.ask(frame).await;
    }

    pub(super) async fn command(&mut self, user: usize) {
        let mark = self.marks.fresh(user, [user]).to_string();
        let reply = self.people[user].phone.command("echo", json!(mark)).await;
        assert_eq!(reply["payload"]["data"], mark, "{reply}");
    }

    pub(super) async fn read_lists(&mut self, user: usize) {
        let path = format!("/api/v1/sync?cursor={}&limit=1000", self.random.below(30));
        assert_eq!(self.call(user, "GET", &path, None).await.status, 200);
        let listed = self.call(user, "GET", "/api/v1/notes?limit=500", None).await;
        let id = |note: &Value| note["id"].as_str().unwrap().to_owned();
        let listed: BTreeSet<_> = listed.body["notes"].as_array().unwrap().iter().map(id).collect();
        let visible = self.notes.iter().filter(|note| note.lets_see(user));
        assert_eq!(listed, visible.map(|note| note.id.clone()).collect(), "of user {user}");
        let since = self.call(user, "GET", "/api/v1/notes?limit=500&updated_since=1", None).await;
        let is_theirs = |note: &Value| {
            let found = self.notes.iter().find(|own| own.id == note["id"]);
            found.is_some_and(|note| note.audience().contains(&user))
        };
        assert!(since.body["notes"].as_array().unwrap().iter().all(is_theirs), "{}", since.text);
    }
}
