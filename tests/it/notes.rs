//! Notes: kept by the hub, merged, told to every device concerned, and to nobody else.

use futures_util::FutureExt;
use serde_json::{Value, json};
use staffetta::UserId;
use staffetta::protocol::NoteId;

use crate::device::Device;
use crate::world::{Answer, Database, Stop, TestHub, eventually, on_both};

/// A note of alice's, made by a device that is gone.
async fn hub_with_note(database: Database) -> TestHub {
    let hub = TestHub::start(database, |_| {}).await;
    let mut maker = Device::plain(&hub, "alice").await;
    let data = json!({"id": "n", "title": "Milk", "content": "two", "n": 1.50});
    maker.send(json!({"type": "note_created", "noteData": data})).await;
    maker.send(json!({"type": "leave_note", "noteId": "n"})).await;
    assert_eq!(maker.next().await, json!({"type": "note_left", "noteId": "n"}));
    maker.cut();
    hub.wait_for_live("alice", 0).await;
    hub
}

async fn as_user(hub: &TestHub, user: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    hub.call_as(Some(&hub.token(user)), method, path, body.as_deref(), &[]).await
}

async fn share(hub: &TestHub, member: &str, role: &str) {
    let body = json!({"user": member, "role": role});
    let answer = as_user(hub, "alice", "POST", "/api/v1/notes/n/members", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn update(device: &mut Device, changes: Value) -> Value {
    device.send(json!({"type": "note_update", "noteId": "n", "changes": changes})).await;
    let answer = device.next().await;
    assert_eq!(answer["type"], "note_update_success", "{answer}");
    answer
}

#[test]
fn every_other_device_of_the_owner_gets_each_change_joined_or_not() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut author = Device::plain(&hub, "alice").await;
        let mut plain = Device::plain(&hub, "alice").await;
        let (mut reliable, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let mut bob = Device::plain(&hub, "bob").await;
        let data = json!({"id": "n", "title": "Milk", "userId": "alice"});
        author.send(json!({"type": "note_created", "noteData": data})).await;
        let created = plain.next().await;
        assert_eq!(created["type"], "note_created_sync");
        assert_eq!(created["noteData"]["id"], "n");
        assert_eq!(created["noteData"]["title"], "Milk");
        assert_eq!(created["fromUserId"], "alice");
        assert!(created["timestamp"].is_i64());
        assert_eq!(reliable.acked(1).await, created);

        let answer = update(&mut author, json!({"title": "Bread", "id": "x", "version": 9})).await;
        assert_eq!(answer["noteId"], "n");
        assert_eq!(answer["updatedNote"]["title"], "Bread");
        assert_eq!(answer["updatedNote"]["version"], 2);
        assert_eq!(answer["updatedNote"]["userId"], "alice");
        assert!(answer["timestamp"].is_i64() && answer.get("conflicts").is_none());
        let synced = plain.next().await;
        assert_eq!(synced["type"], "note_sync");
        assert_eq!(synced["noteId"], "n");
        assert_eq!(synced["changes"], json!({"title": "Bread"}));
        assert_eq!(synced["updatedNote"], answer["updatedNote"]);
        assert_eq!(reliable.acked(2).await, synced);

        author.send(json!({"type": "note_deleted", "noteId": "n"})).await;
        assert_eq!(plain.next().await["type"], "note_deleted_sync");
        assert_eq!(reliable.acked(3).await["noteId"], "n");
        update_refused(&mut author, "Note not found or access denied").await;
        // A second deletion changes nothing.
        author.send(json!({"type": "note_deleted", "noteId": "n"})).await;
        for device in [&mut author, &mut plain, &mut reliable, &mut bob] {
            device.nothing().await;
        }
    });
}

async fn update_refused(device: &mut Device, message: &str) {
    device.send(json!({"type": "note_update", "noteId": "n", "changes": {"title": "x"}})).await;
    device.error(message).await;
}

#[test]
fn a_reliable_author_is_not_owed_its_own_change() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        let (mut author, ok) = Device::replaying(&hub, "alice", "author").await;
        let (mut other, _) = Device::replaying(&hub, "alice", "other").await;
        update(&mut author, json!({"title": "Bread"})).await;
        let seq = ok["cursor"].as_i64().unwrap() + 1;
        assert_eq!(other.acked(seq).await["changes"], json!({"title": "Bread"}));
        author.nothing().await;
        author.cut();
        let (mut author, _) = Device::replaying(&hub, "alice", "author").await;
        author.nothing().await;
    });
}

#[test]
fn edits_of_different_fields_both_survive_and_a_conflict_is_told() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        let mut first = Device::plain(&hub, "alice").await;
        let mut second = Device::plain(&hub, "alice").await;
        let edit = |changes: Value| json!({"type": "note_update", "noteId": "n", "changes": changes, "base_version": 1});
        first.send(edit(json!({"title": "Bread"}))).await;
        assert_eq!(first.next().await["updatedNote"]["version"], 2);
        assert_eq!(second.next().await["type"], "note_sync");
        second.send(edit(json!({"content": "three"}))).await;
        let answer = second.next().await;
        assert_eq!(answer["updatedNote"]["title"], "Bread");
        assert_eq!(answer["updatedNote"]["content"], "three");
        assert_eq!(answer.get("conflicts"), None);
        second.send(edit(json!({"title": "Cheese", "starred": true}))).await;
        let answer = second.next().await;
        assert_eq!(answer["updatedNote"]["title"], "Cheese");
        let conflicts = json!({"title": {"yours": "Cheese", "theirs": "Bread"}});
        assert_eq!(answer["conflicts"], conflicts);
    });
}

#[test]
fn a_note_is_nobody_elses_until_it_is_shared() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        let mut bob = Device::plain(&hub, "bob").await;
        let refused = "Note not found or access denied";
        update_refused(&mut bob, refused).await;
        for kind in ["join_note", "note_deleted"] {
            bob.send(json!({"type": kind, "noteId": "n"})).await;
            bob.error(refused).await;
        }
        bob.send(json!({"type": "note_created", "noteData": {"id": "n"}})).await;
        bob.error(refused).await;
        for (method, path) in [
            ("GET", "/api/v1/notes/n"),
            ("GET", "/api/v1/notes/n/members"),
            ("GET", "/api/v1/notes/unheard-of"),
            ("DELETE", "/api/v1/notes/n/members/alice"),
        ] {
            let answer = as_user(&hub, "bob", method, path, Value::Null).await;
            assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not_found")), "{path}");
        }
        let body = json!({"user": "bob", "role": "write"});
        let answer = as_user(&hub, "bob", "POST", "/api/v1/notes/n/members", body).await;
        assert_eq!(answer.status, 404);
        let page = as_user(&hub, "bob", "GET", "/api/v1/notes", Value::Null).await;
        assert_eq!(page.body, json!({"notes": [], "cursor": null, "more": false}));
        assert_eq!(as_user(&hub, "alice", "GET", "/api/v1/notes/n", Value::Null).await.status, 200);
    });
}

#[test]
fn a_member_gets_the_note_its_changes_in_a_log_of_its_own_and_is_stopped_at_once() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        let mut alice = Device::plain(&hub, "alice").await;
        let (mut tab, _) = Device::attach(&hub, "bob", json!("tab"), json!({})).await;
        let mut plain = Device::plain(&hub, "bob").await;
        share(&hub, "bob", "read").await;
        assert_eq!(tab.acked(1).await["noteData"]["title"], "Milk");
        assert_eq!(plain.next().await["type"], "note_created_sync");

        // A plain connection of a member gets it where it joined.
        update(&mut alice, json!({"title": "Bread"})).await;
        assert_eq!(tab.acked(2).await["changes"], json!({"title": "Bread"}));
        plain.nothing().await;
        plain.send(json!({"type": "join_note", "noteId": "n"})).await;
        let joined = json!({
            "type": "note_joined", "noteId": "n",
            "message": "Successfully joined note for real-time sync",
        });
        assert_eq!(plain.next().await, joined);
        update(&mut alice, json!({"title": "Cheese"})).await;
        assert_eq!(plain.next().await["fromUserId"], "alice");
        tab.acked(3).await;

        update_refused(&mut plain, "Note not found or access denied").await;
        share(&hub, "bob", "write").await;
        tab.acked(4).await;
        plain.next().await;
        update(&mut plain, json!({"title": "Bob's"})).await;
        let synced = alice.next().await;
        assert_eq!((&synced["type"], &synced["fromUserId"]), (&json!("note_sync"), &json!("bob")));
        tab.acked(5).await;

        let path = "/api/v1/notes/n/members/bob";
        assert_eq!(as_user(&hub, "alice", "DELETE", path, Value::Null).await.status, 204);
        assert_eq!(tab.acked(6).await["type"], "note_deleted_sync");
        let mut last = [plain.next().await["type"].clone(), plain.next().await["type"].clone()];
        last.sort_by_key(ToString::to_string);
        assert_eq!(last, ["note_deleted_sync", "note_left"]);
        update(&mut alice, json!({"title": "Secret"})).await;
        update_refused(&mut plain, "Note not found or access denied").await;
        tab.nothing().await;
        plain.nothing().await;
        assert_eq!(as_user(&hub, "alice", "DELETE", path, Value::Null).await.status, 404);
    });
}

#[test]
fn presence_is_told_to_whoever_asked_and_counts_connections() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        share(&hub, "bob", "read").await;
        let join =
            |presence: bool| json!({"type": "join_note", "noteId": "n", "presence": presence});
        let user = |name: &str, count: u32| json!([{"userId": name, "connections": count}]);
        let diff = |joins: Value, leaves: Value| json!({"type": "presence_diff", "noteId": "n", "joins": joins, "leaves": leaves});
        let mut alice = Device::plain(&hub, "alice").await;
        alice.send(join(true)).await;
        assert_eq!(alice.next().await["type"], "note_joined");
        let state = json!({"type": "presence_state", "noteId": "n", "users": user("alice", 1)});
        assert_eq!(alice.next().await, state);
        let mut bobs = Vec::new();
        for count in 1..=2 {
            let mut bob = Device::plain(&hub, "bob").await;
            bob.send(join(false)).await;
            assert_eq!(bob.next().await["type"], "note_joined");
            assert_eq!(alice.next().await, diff(user("bob", count), json!([])));
            bobs.push(bob);
        }
        let signal = json!({"type": "note_signal", "noteId": "n", "data": {"cursor": 3}});
        bobs[0].send(signal).await;
        for other in [&mut alice, &mut bobs[1]] {
            let heard = other.next().await;
            assert_eq!(heard["fromUserId"], "bob");
            assert_eq!(heard["data"], json!({"cursor": 3}));
        }
        bobs.pop().unwrap().cut();
        assert_eq!(alice.next().await, diff(json!([]), user("bob", 1)));
        bobs[0].send(json!({"type": "leave_note", "noteId": "n"})).await;
        assert_eq!(bobs[0].next().await["type"], "note_left");
        assert_eq!(alice.next().await, diff(json!([]), user("bob", 0)));
        bobs[0].nothing().await;
    });
}

#[test]
fn signals_are_limited_and_only_for_who_is_in_the_room() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.limits.signals_per_second_max = 2).await;
        let mut alice = Device::plain(&hub, "alice").await;
        alice.send(json!({"type": "note_created", "noteData": {"id": "n"}})).await;
        let signal = json!({"type": "note_signal", "noteId": "n"});
        alice.send(signal.clone()).await;
        alice.error("Note not found or access denied").await;
        alice.send(json!({"type": "join_note", "noteId": "n"})).await;
        assert_eq!(alice.next().await["type"], "note_joined");
        for _ in 0..3 {
            alice.send(signal.clone()).await;
        }
        alice.error("Rate limit exceeded. Please slow down.").await;
    });
}

#[test]
fn folders_and_foreign_notes() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut author = Device::plain(&hub, "alice").await;
        let mut other = Device::plain(&hub, "alice").await;
        let folder = json!({"name": "Food"});
        author.send(json!({"type": "folder_created", "folderId": "f", "folderData": folder})).await;
        let synced = other.next().await;
        assert_eq!(synced["type"], "folder_created_sync");
        assert_eq!((&synced["folderId"], &synced["folderData"]), (&json!("f"), &folder));
        assert_eq!(synced["fromUserId"], "alice");
        author.send(json!({"type": "folder_updated", "folderId": "f", "changes": {"a": 1}})).await;
        assert_eq!(other.next().await["changes"], json!({"a": 1}));
        author.send(json!({"type": "folder_deleted", "folderId": "f"})).await;
        assert_eq!(other.next().await["type"], "folder_deleted_sync");
        let foreign = json!({"id": "n", "userId": "bob"});
        author.send(json!({"type": "note_created", "noteData": foreign})).await;
        author.error("Access denied: Cannot broadcast resource created by another user").await;
        author.nothing().await;
        other.nothing().await;
    });
}

#[test]
fn before_auth_only_an_update_is_answered() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut device = Device::connect(&hub).await;
        for kind in ["join_note", "leave_note", "note_created", "note_deleted", "folder_deleted"] {
            device.send(json!({"type": kind, "noteId": "n"})).await;
        }
        device.send(json!({"type": "note_update", "noteId": "n", "changes": {}})).await;
        device.error("Authentication required").await;
        device.nothing().await;
    });
}

#[test]
fn notes_are_read_a_page_at_a_time_and_since_a_time() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut alice = Device::plain(&hub, "alice").await;
        for n in 0..5 {
            let data = json!({"id": format!("n{n}"), "n": n});
            alice.send(json!({"type": "note_created", "noteData": data})).await;
        }
        alice.send(json!({"type": "note_deleted", "noteId": "n0"})).await;
        alice.send(json!({"type": "leave_note", "noteId": "n0"})).await;
        alice.next().await;
        let get = |path: String| {
            let hub = &hub;
            async move { as_user(hub, "alice", "GET", &path, Value::Null).await.body }
        };
        let mut ids = Vec::new();
        let mut path = "/api/v1/notes?limit=3".to_owned();
        loop {
            let page = get(path).await;
            let notes = page["notes"].as_array().unwrap();
            ids.extend(notes.iter().map(|note| note["id"].as_str().unwrap().to_owned()));
            match page["cursor"].as_str() {
                Some(cursor) => path = format!("/api/v1/notes?limit=3&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(ids, ["n1", "n2", "n3", "n4"]);
        let since = get("/api/v1/notes?updated_since=1".to_owned()).await;
        let gone: Vec<_> = since["notes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|note| !note["deletedAt"].is_null())
            .map(|note| note["id"].clone())
            .collect();
        assert_eq!(gone, ["n0"]);
        let later = get("/api/v1/notes?updated_since=99999999999999".to_owned()).await;
        assert_eq!(later["notes"], json!([]));
        for bad in ["limit=0", "limit=x", "cursor=x", "updated_since=-1", "page=1"] {
            let path = format!("/api/v1/notes?{bad}");
            assert_eq!(
                as_user(&hub, "alice", "GET", &path, Value::Null).await.status,
                422,
                "{bad}"
            );
        }
    });
}

#[test]
fn notes_outlive_the_hub_and_an_application_may_publish_to_who_sees_one() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        share(&hub, "bob", "read").await;
        let hub = hub.restart(Stop::Drop).await;
        let note = as_user(&hub, "alice", "GET", "/api/v1/notes/n", Value::Null).await.body;
        assert_eq!((&note["title"], &note["n"]), (&json!("Milk"), &json!(1.5)));
        let (mut bob, ok) = Device::attach(&hub, "bob", json!("tab"), json!({})).await;
        let (mut alice, _) = Device::attach(&hub, "alice", json!("atab"), json!({})).await;
        let body = json!({"type": "note_locked", "data": {"noteId": "n"}});
        let path = "/api/v1/notes/n/events";
        let answer = hub.call("POST", path, Some(body.clone())).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.body["members"][1]["user"], "bob");
        let seq = ok["cursor"].as_i64().unwrap() + 1;
        assert_eq!(bob.acked(seq).await["noteId"], "n");
        assert_eq!(alice.next().await["event_id"], answer.body["event_id"]);
        let missing = hub.call("POST", "/api/v1/notes/none/events", Some(body)).await;
        assert_eq!(missing.status, 404);
        eventually("the ack is known", || async {
            hub.sessions("bob").await.iter().all(|session| session["pending"] == 0)
        })
        .await;
    });
}

#[test]
fn access_that_is_taken_away_is_gone_also_when_the_caller_does_not_wait() {
    on_both(|database| async move {
        let hub = hub_with_note(database).await;
        share(&hub, "bob", "write").await;
        let mut bob = Device::plain(&hub, "bob").await;
        bob.send(json!({"type": "join_note", "noteId": "n"})).await;
        assert_eq!(bob.next().await["type"], "note_joined");
        let (note, member) = (NoteId::new("n").unwrap(), UserId::new("bob").unwrap());
        let owner = UserId::new("alice").unwrap();
        let notes = hub.hub.notes().clone();
        let unsharing = notes.unshare(note, member, &owner);
        assert!(unsharing.now_or_never().is_none(), "the store has not answered yet");
        let told = [bob.next().await, bob.next().await].map(|frame| frame["type"].clone());
        assert!(told.contains(&json!("note_left")), "{told:?}");
        assert!(told.contains(&json!("note_deleted_sync")), "{told:?}");
    });
}
