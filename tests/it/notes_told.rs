//! Changes of notes are told once, in order, to everyone concerned: across crashes, at the same
//! time, and to nobody who lost access meanwhile.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::device::Device;
use crate::shelf::Shelf;
use crate::world::{Database, Stop, TestHub, eventually, on_both};

async fn as_user(hub: &TestHub, user: &str, method: &str, path: &str, body: Value) -> Value {
    let body = (!body.is_null()).then(|| body.to_string());
    let answer = hub.call_as(Some(&hub.token(user)), method, path, body.as_deref(), &[]).await;
    assert!(answer.status < 300, "{path}: {}", answer.text);
    answer.body
}

async fn share(hub: &TestHub, member: &str, role: &str) {
    let body = json!({"user": member, "role": role});
    as_user(hub, "alice", "POST", "/api/v1/notes/n/members", body).await;
}

/// A plain device of alice's that made the note `n`.
async fn maker(hub: &TestHub) -> Device {
    let mut maker = Device::plain(hub, "alice").await;
    maker.send(json!({"type": "note_created", "noteData": {"id": "n", "title": "Milk"}})).await;
    done(&mut maker).await;
    maker
}

/// Waits until a device was answered everything it said.
async fn done(device: &mut Device) {
    device.send(json!({"type": "leave_note", "noteId": "done"})).await;
    while device.next().await["type"] != "note_left" {}
}

fn change(changes: Value) -> Value {
    json!({"type": "note_update", "noteId": "n", "changes": changes})
}

/// Takes the next event, acked, which must be of this type.
async fn told(device: &mut Device, kind: &str) -> Value {
    let event = device.next().await;
    assert_eq!(event["type"], kind, "{event}");
    device.ack(&event).await;
    event
}

fn apply(fields: &mut Map<String, Value>, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
    }
}

/// The fields of a note that clients set.
async fn fields_of(hub: &TestHub) -> Map<String, Value> {
    let note = as_user(hub, "alice", "GET", "/api/v1/notes/n", Value::Null).await;
    let mut fields = note.as_object().unwrap().clone();
    for own in ["id", "userId", "createdAt", "updatedAt", "version"] {
        assert!(fields.remove(own).is_some(), "{own}");
    }
    fields
}

#[test]
fn a_change_kept_and_not_told_before_a_crash_is_told_after_it_once() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        maker(&hub).await.cut();
        share(&hub, "bob", "read").await;
        for user in ["alice", "bob"] {
            let (device, _) = Device::replaying(&hub, user, &format!("{user}'s tab")).await;
            device.cut();
            hub.wait_for_live(user, 0).await;
        }
        // As it stands when the hub dies right after the transaction.
        let id = uuid::Uuid::now_v7();
        hub.execute(&format!(
            "UPDATE notes SET version = 2, fields = '{{\"title\":\"Bread\"}}' WHERE note_id = 'n';
             INSERT INTO note_events (event_id, note_id, version, kind, data, owner_id, recipients,
                 created_at)
             VALUES ('{id}', 'n', 2, 'note_sync', '{{\"noteId\":\"n\"}}', 'alice', '[\"bob\"]',
                 {})",
            staffetta::clock::wall().0
        ));
        let hub = hub.restart(Stop::Drop).await;
        for user in ["alice", "bob"] {
            let (mut device, _) = Device::replaying(&hub, user, &format!("{user}'s tab")).await;
            let event = told(&mut device, "note_sync").await;
            assert_eq!(event["event_id"], json!(id));
            device.nothing().await;
        }
        let hub = hub.restart(Stop::Drain).await;
        let (mut device, _) = Device::replaying(&hub, "alice", "alice's tab").await;
        device.send(change(json!({"title": "Cheese"}))).await;
        assert_eq!(device.next().await["updatedNote"]["version"], 3);
        device.nothing().await;
    });
}

#[test]
fn a_hub_that_dies_amid_changes_tells_each_that_it_kept_once() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut reader, _) = Device::replaying(&hub, "alice", "reader").await;
        let mut author = maker(&hub).await;
        told(&mut reader, "note_created_sync").await;
        hub.wait_for_floor("reader", 1).await;
        reader.cut();
        for n in 0..150 {
            author.send(change(json!({format!("f{}", n % 7): n}))).await;
        }
        for _ in 0..40 {
            assert_eq!(author.next().await["type"], "note_update_success");
        }
        let hub = hub.restart(Stop::Drop).await;
        let kept = as_user(&hub, "alice", "GET", "/api/v1/notes/n", Value::Null).await;
        let versions = kept["version"].as_i64().unwrap();
        assert!(versions > 40, "{kept}");
        let (mut reader, _) = Device::replaying(&hub, "alice", "reader").await;
        let mut fields = Map::from_iter([("title".to_owned(), json!("Milk"))]);
        let mut names = BTreeSet::new();
        for version in 2..=versions {
            let event = told(&mut reader, "note_sync").await;
            assert_eq!(event["updatedNote"]["version"], version);
            assert!(names.insert(event["event_id"].to_string()), "twice: {event}");
            apply(&mut fields, &event["changes"]);
        }
        reader.nothing().await;
        assert_eq!(fields, fields_of(&hub).await);
    });
}

#[test]
fn a_device_that_applies_only_the_changes_ends_with_the_note_as_it_is() {
    on_both(|database| async move {
        const EDITS: usize = 200;
        let hub =
            TestHub::start(database, |config| config.limits.frames_per_minute_max = 1_000).await;
        let (mut reader, _) = Device::attach(&hub, "alice", json!("reader"), json!({})).await;
        let mut first = maker(&hub).await;
        told(&mut reader, "note_created_sync").await;
        share(&hub, "bob", "write").await;
        let (mut second, _) = Device::attach(&hub, "bob", json!("second"), json!({})).await;
        let edit = async |device: &mut Device, by: &str| {
            let (mut sent, mut answers, mut synced) = (0, 0, 0);
            // A few at a time, so that both are at it all the while.
            while answers < EDITS || synced < EDITS {
                if sent < EDITS && sent < answers + 8 {
                    let (name, both) = (format!("{by}{}", sent % 5), format!("both{}", sent % 3));
                    let changes = json!({name: sent, both: format!("{by} {sent}")});
                    device.send(change(changes)).await;
                    sent += 1;
                    continue;
                }
                let frame = device.next().await;
                answers += usize::from(frame["type"] == "note_update_success");
                if frame["type"] == "note_sync" {
                    synced += 1;
                    device.ack(&frame).await;
                }
            }
        };
        let mut fields = Map::from_iter([("title".to_owned(), json!("Milk"))]);
        let mut apply_all = async || {
            for version in 2..=(2 * EDITS as i64 + 1) {
                let event = told(&mut reader, "note_sync").await;
                assert_eq!(event["updatedNote"]["version"], version, "out of order");
                apply(&mut fields, &event["changes"]);
            }
        };
        tokio::join!(edit(&mut first, "a"), edit(&mut second, "b"), apply_all());
        assert_eq!(fields, fields_of(&hub).await);
    });
}

#[test]
fn what_is_in_flight_when_access_ends_still_comes_and_nothing_after_it() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 300).await;
        let mut author = maker(&hub).await;
        let (mut bob, _) = Device::attach(&hub, "bob", json!("tab"), json!({})).await;
        share(&hub, "bob", "read").await;
        told(&mut bob, "note_created_sync").await;
        author.send(change(json!({"title": "Bread"}))).await;
        let in_flight = bob.next().await;
        let path = "/api/v1/notes/n/members/bob";
        // More changes are on their way when access is taken away.
        for n in 0..30 {
            author.send(change(json!({"n": n}))).await;
        }
        as_user(&hub, "alice", "DELETE", path, Value::Null).await;
        author.send(change(json!({"title": "Secret"}))).await;
        done(&mut author).await;
        let (mut seqs, mut is_again) = (BTreeSet::new(), false);
        loop {
            let event = bob.next().await;
            is_again |= event["event_id"] == in_flight["event_id"];
            assert_ne!(event["changes"]["title"], "Secret", "{event}");
            seqs.insert(event["seq"].as_i64().unwrap());
            bob.ack(&event).await;
            if event["type"] == "note_deleted_sync" {
                break;
            }
        }
        let last = *seqs.last().unwrap();
        bob.send(change(json!({"title": "Bob's"}))).await;
        loop {
            let frame = bob.next().await;
            if frame["type"] == "error" {
                assert_eq!(frame["message"], "Note not found or access denied");
                break;
            }
            // Whatever is sent again is one of those.
            is_again |= frame["event_id"] == in_flight["event_id"];
            assert!(frame["seq"].as_i64().is_some_and(|seq| seq <= last), "{frame}");
            bob.ack(&frame).await;
        }
        while !is_again {
            is_again = bob.next().await["event_id"] == in_flight["event_id"];
        }
        let path = format!("/api/v1/sync?cursor={last}");
        let log = as_user(&hub, "bob", "GET", &path, Value::Null).await;
        assert_eq!(log["events"], json!([]));
    });
}

#[test]
fn one_event_reaches_every_kind_of_connection_in_its_own_spelling() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut plain = Device::plain(&hub, "alice").await;
        let (mut tab, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let path = format!("/updates?session_id=phone&token={}", hub.token("alice"));
        let mut phone = Device::connect_to(&hub, &path, &[]).await.unwrap();
        assert_eq!(phone.next().await["payload"]["ok"], true);
        let mut author = maker(&hub).await;
        author.send(change(json!({"title": "Bread"}))).await;
        done(&mut author).await;
        hub.publish("alice", "added", json!({"id": "photo-1"})).await;
        for (seq, kind) in [(1, "note_created_sync"), (2, "note_sync"), (3, "added")] {
            let event = told(&mut tab, kind).await;
            assert_eq!(event["seq"], seq);
            let mut data = event.as_object().unwrap().clone();
            for own in ["type", "event_id", "seq"] {
                data.remove(own);
            }
            assert_eq!(plain.next().await, event);
            let update = phone.next().await;
            let expected = json!({"account": "personal", "type": "update", "payload": {
                "ref": event["event_id"], "silent": false, "action": "new",
                "payload": {"type": kind, "items": [data]},
            }});
            assert_eq!(update, expected);
            let payload = json!({"ref": event["event_id"]});
            phone.send(json!({"type": "reply", "payload": payload})).await;
        }
        eventually("everything is acked", || async {
            hub.sessions("alice").await.iter().all(|session| session["pending"] == 0)
        })
        .await;
    });
}

async fn hub_with_shelf(database: Database, shelf: &Shelf) -> TestHub {
    let shelf = shelf.clone();
    TestHub::start_with(database, |_| {}, move |builder| builder.note_store(shelf.clone())).await
}

#[test]
fn a_host_may_keep_the_notes_itself() {
    on_both(|database| async move {
        let shelf = Shelf::default();
        let hub = hub_with_shelf(database, &shelf).await;
        let (mut reader, _) = Device::replaying(&hub, "alice", "reader").await;
        let mut author = maker(&hub).await;
        told(&mut reader, "note_created_sync").await;
        author.send(change(json!({"title": "Bread"}))).await;
        assert_eq!(author.next().await["updatedNote"]["version"], 2);
        told(&mut reader, "note_sync").await;
        let mut bob = Device::plain(&hub, "bob").await;
        share(&hub, "bob", "read").await;
        assert_eq!(bob.next().await["noteData"]["title"], "Bread");
        eventually("everything is settled", || async { shelf.unsettled_count() == 0 }).await;

        // Kept, but the store says it failed: told all the same, and once.
        shelf.fail_next();
        author.send(change(json!({"title": "Cheese"}))).await;
        author.error("Temporarily unavailable. Please try again.").await;
        assert_eq!(told(&mut reader, "note_sync").await["changes"], json!({"title": "Cheese"}));
        // To whoever did not know whether it was done as well.
        assert_eq!(author.next().await["updatedNote"]["title"], "Cheese");
        eventually("everything is settled", || async { shelf.unsettled_count() == 0 }).await;
        author.send(change(json!({"title": "Wine"}))).await;
        assert_eq!(author.next().await["updatedNote"]["version"], 4);
        told(&mut reader, "note_sync").await;

        // What the last life of the hub left behind comes first.
        hub.wait_for_floor("reader", 4).await;
        reader.cut();
        shelf.fail_next();
        author.send(change(json!({"title": "Beer"}))).await;
        author.error("Temporarily unavailable. Please try again.").await;
        let hub = hub.restart(Stop::Drop).await;
        let page = as_user(&hub, "alice", "GET", "/api/v1/notes", Value::Null).await;
        assert_eq!(page["notes"][0]["title"], "Beer");
        let (mut reader, _) = Device::replaying(&hub, "alice", "reader").await;
        assert_eq!(told(&mut reader, "note_sync").await["changes"], json!({"title": "Beer"}));
        reader.nothing().await;
    });
}

#[test]
fn access_that_could_not_be_taken_away_is_taken_away_and_told_when_asked_again() {
    on_both(|database| async move {
        let shelf = Shelf::default();
        let hub = hub_with_shelf(database, &shelf).await;
        drop(maker(&hub).await);
        share(&hub, "bob", "read").await;
        let (mut bob, _) = Device::attach(&hub, "bob", json!("tab"), json!({})).await;
        let path = "/api/v1/notes/n/members/bob";
        shelf.fail_next();
        let failed = hub.call("DELETE", path, None).await;
        assert_eq!(failed.status, 503);
        assert_eq!(hub.call("DELETE", path, None).await.status, 204);
        told(&mut bob, "note_deleted_sync").await;
        told(&mut bob, "note_deleted_sync").await;
        assert_eq!(hub.call("DELETE", path, None).await.status, 404);
        bob.nothing().await;
    });
}

#[test]
fn who_loses_access_while_joining_is_not_let_in() {
    on_both(|database| async move {
        let shelf = Shelf::default();
        let hub = hub_with_shelf(database, &shelf).await;
        let mut alice = maker(&hub).await;
        share(&hub, "bob", "read").await;
        let (mut bob, _) = Device::attach(&hub, "bob", json!("tab"), json!({})).await;
        alice.send(json!({"type": "join_note", "noteId": "n", "presence": true})).await;
        assert_eq!(alice.next().await["type"], "note_joined");
        assert_eq!(alice.next().await["type"], "presence_state");
        // Bob's access is found good, and taken away before he is in the room.
        shelf.hold_reads();
        bob.send(json!({"type": "join_note", "noteId": "n", "presence": true})).await;
        eventually("the join is under way", || async { shelf.holds_one() }).await;
        as_user(&hub, "alice", "DELETE", "/api/v1/notes/n/members/bob", Value::Null).await;
        told(&mut bob, "note_deleted_sync").await;
        shelf.release();
        bob.error("Note not found or access denied").await;
        alice.send(json!({"type": "note_signal", "noteId": "n", "data": "secret"})).await;
        bob.nothing().await;
        alice.nothing().await;
    });
}
