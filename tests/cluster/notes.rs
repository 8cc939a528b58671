//! Notes and their rooms, with members at home on different nodes and connected to others.

use std::time::Duration;

use serde_json::json;

use crate::device::Device;
use crate::world::{LEASE, eventually, on_three_nodes};

#[test]
fn a_room_has_members_on_every_node() {
    on_three_nodes(|world| async move {
        let (owner, member) = (world.user_at(0).await, world.user_at(1).await);
        let mut first = Device::plain(&world.nodes[1], &owner).await;
        let mut second = Device::plain(&world.nodes[2], &member).await;
        let data = json!({"id": "note-1", "title": "a"});
        first.send(json!({"type": "note_created", "noteData": data})).await;
        let path = "/api/v1/notes/note-1/members";
        eventually("the note is shared", || async {
            let body = json!({"user": member, "role": "write"});
            let answer = world.nodes[0].call("POST", path, Some(body)).await;
            matches!(answer.status, 200 | 201 | 204)
        })
        .await;
        first.send(json!({"type": "join_note", "noteId": "note-1", "presence": true})).await;
        first.next_of("note_joined").await;
        first.next_of("presence_state").await;
        second.send(json!({"type": "join_note", "noteId": "note-1", "presence": true})).await;
        second.next_of("note_joined").await;
        let diff = first.next_of("presence_diff").await;
        assert!(diff.to_string().contains(&member), "{diff}");
        // Who was there before is told at once or right after.
        loop {
            let frame = second.next().await;
            let kind = frame["type"].as_str().unwrap();
            if kind.starts_with("presence") && frame.to_string().contains(&owner) {
                break;
            }
        }
        second
            .send(json!({"type": "note_signal", "noteId": "note-1", "data": {"cursor": 7}}))
            .await;
        let signal = first.next_of("note_signal").await;
        assert_eq!(signal["data"]["cursor"], 7, "{signal}");
        let changes = json!({"title": "b"});
        second.send(json!({"type": "note_update", "noteId": "note-1", "changes": changes})).await;
        second.next_of("note_update_success").await;
        let sync = first.next_of("note_sync").await;
        assert_eq!(sync["changes"]["title"], "b");
        let changes = json!({"title": "c"});
        first.send(json!({"type": "note_update", "noteId": "note-1", "changes": changes})).await;
        assert_eq!(second.next_of("note_sync").await["changes"]["title"], "c");
        let event = json!({"type": "comment", "data": {"text": "hello"}});
        let answer = world.nodes[2].call("POST", "/api/v1/notes/note-1/events", Some(event)).await;
        assert!(answer.status < 300, "{answer:?}");
        assert_eq!(first.next_of("comment").await["text"], "hello");
        assert_eq!(second.next_of("comment").await["text"], "hello");
        let path = format!("{path}/{member}");
        assert_eq!(world.nodes[1].call("DELETE", &path, None).await.status, 204);
        second.next_of("note_left").await;
        let diff = first.next_of("presence_diff").await;
        assert!(diff["leaves"].to_string().contains(&member), "{diff}");
    });
}

#[test]
fn changes_of_one_note_take_turns_whatever_node_they_come_by() {
    on_three_nodes(|world| async move {
        let owner = world.user_at(0).await;
        let mut watching = Device::plain(&world.nodes[0], &owner).await;
        let mut writers = Vec::new();
        for node in &world.nodes {
            writers.push(Device::plain(node, &owner).await);
        }
        let data = json!({"id": "note-2", "n": 0});
        writers[0].send(json!({"type": "note_created", "noteData": data})).await;
        watching.next_of("note_created_sync").await;
        for number in 1..=20 {
            for (place, writer) in writers.iter_mut().enumerate() {
                let changes = json!({ (format!("field-{place}")): number });
                writer
                    .send(json!({"type": "note_update", "noteId": "note-2", "changes": changes}))
                    .await;
            }
        }
        let mut version = 0;
        for _ in 0..60 {
            let sync = watching.next_of("note_sync").await;
            let next = sync["updatedNote"]["version"].as_i64().unwrap();
            assert!(next > version, "{next} after {version}");
            version = next;
        }
        assert_eq!(version, 61);
    });
}

#[test]
fn a_notes_home_that_hung_beyond_its_lease_does_not_change_it() {
    on_three_nodes(|world| async move {
        let owner = world.user_at(0).await;
        // A note is at home where a user of its name would be.
        let note = world.user_at(2).await;
        let mut watching = Device::plain(&world.nodes[0], &owner).await;
        let mut writer = Device::plain(&world.nodes[1], &owner).await;
        let mut late = Device::plain(&world.nodes[2], &owner).await;
        let data = json!({"id": note, "n": 0});
        writer.send(json!({"type": "note_created", "noteData": data})).await;
        assert_eq!(watching.next_of("note_created_sync").await["noteData"]["version"], 1);
        let update = |field: &str, value: u64| {
            let changes = json!({ field: value });
            json!({"type": "note_update", "noteId": note, "changes": changes})
        };
        world.nodes[2].signal("STOP");
        // The first thing it finds when it goes on.
        late.send(update("late", 1)).await;
        tokio::time::sleep(LEASE * 2).await;
        let mut written = false;
        for number in 1..=50 {
            writer.send(update("n", number)).await;
            let answer = writer.next_of_any(&["note_update_success", "error"]).await;
            written = answer["type"] == "note_update_success";
            if written {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(written, "the note has no new home");
        world.nodes[2].signal("CONT");
        // Made by the new home, or not at all.
        late.next_of_any(&["note_update_success", "error"]).await;
        writer.send(update("last", 1)).await;
        writer.next_of_any(&["note_update_success"]).await;
        let mut version = 1;
        loop {
            let sync = watching.next_of("note_sync").await;
            let next = sync["updatedNote"]["version"].as_i64().unwrap();
            assert_eq!(next, version + 1, "{sync}");
            version = next;
            if sync["changes"]["last"] == 1 {
                break;
            }
        }
        let route = world.route(&world.nodes[0], &note).await;
        let raised = world.query(&format!(
            "SELECT epoch AS count FROM note_turns WHERE slot = {}",
            route["slot"]
        ));
        assert_eq!(raised, [route["epoch"].as_i64().unwrap()]);
    });
}
