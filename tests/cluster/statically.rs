//! Static sharding: the configuration says whose each slot is, and each node has its own SQLite.

use std::cell::Cell;

use serde_json::json;
use staffetta::UserId;

use crate::device::Device;
use crate::node::Node;
use crate::world::{World, eventually, in_turn};

async fn add(world: &mut World, name: &str) {
    let nodes =
        "[{name=\"a\",slots=\"0-127\",advertise=\"http://a\"},{name=\"b\",slots=\"128-255\"}]";
    let mut settings = world.common();
    settings.extend([
        format!("database.url=sqlite://{name}.db"),
        "cluster.mode=static".to_owned(),
        format!("cluster.nodes={nodes}"),
    ]);
    let node = Node::start(world.folder.path(), name, settings).await;
    world.nodes.push(node);
}

fn user_in(slots: std::ops::RangeInclusive<u8>) -> String {
    let users = (0..).map(|number| format!("user-{number}"));
    let mut users = users.filter(|user| slots.contains(&UserId::new(user).unwrap().slot().0));
    users.next().unwrap()
}

#[test]
fn nodes_with_databases_of_their_own_forward_to_one_another() {
    in_turn(|server| async move {
        let mut world = World::bare(server).await;
        add(&mut world, "a").await;
        add(&mut world, "b").await;
        let user = user_in(128..=255);
        for node in &world.nodes {
            eventually("every node knows every home", || async {
                let route = world.route(node, &user).await;
                route["node"] == "b"
            })
            .await;
        }
        let other = user_in(0..=127);
        assert_eq!(world.route(&world.nodes[1], &other).await["url"], "http://a");
        let (mut device, _) = Device::reliable(&world.nodes[0], &user, "tab").await;
        let receipt = world.publish(0, &user, 1).await;
        let event = device.next().await;
        assert_eq!(event["event_id"], receipt["event_id"]);
        device.ack(&event).await;
        // Its home restarts: the connection stays, and goes on.
        world.nodes[1].kill();
        let path = format!("/api/v1/users/{user}/events");
        world.nodes[1].restart().await;
        eventually("its home is back", || async {
            let answer = world.nodes[0].call("POST", &path, Some(json!({"type": "added"}))).await;
            answer.status == 201
        })
        .await;
        assert!(device.next_of("added").await["seq"].as_i64().unwrap() >= 1);
    });
}

/// Two nodes, each of which knows the other's slots, and a user of each.
async fn on_two_nodes(server: std::path::PathBuf) -> (World, String, String) {
    let mut world = World::bare(server).await;
    add(&mut world, "a").await;
    add(&mut world, "b").await;
    let (low, high) = (user_in(0..=127), user_in(128..=255));
    for (user, home) in [(&low, "a"), (&high, "b")] {
        for node in &world.nodes {
            eventually("every node knows every home", || async {
                world.route(node, user).await["node"] == home
            })
            .await;
        }
    }
    (world, low, high)
}

#[test]
fn any_node_reads_the_log_of_any_user() {
    in_turn(|server| async move {
        let (mut world, _, user) = on_two_nodes(server).await;
        world.publish(0, &user, 1).await;
        let receipt = world.publish(1, &user, 2).await;
        let token = world.nodes[0].token(&user, &[]);
        for node in &world.nodes {
            let page = node.call_as(&token, "GET", "/api/v1/sync?cursor=1", None).await;
            assert_eq!((page.status, &page.body["cursor"]), (200, &json!(2)), "{page:?}");
            assert_eq!(page.body["events"][0]["event_id"], receipt["event_id"]);
            let path = format!("/api/v1/events/{}/trace", receipt["event_id"].as_str().unwrap());
            assert_eq!(node.call("GET", &path, None).await.status, 200);
        }
        world.nodes[1].kill();
        let page = world.nodes[0].call_as(&token, "GET", "/api/v1/sync", None).await;
        assert_eq!((page.status, page.retry_after.as_deref()), (503, Some("1")), "{page:?}");
        // Started alone, it knows nobody who has the user's slot; its own log has nothing to say.
        world.nodes[0].restart().await;
        let page = world.nodes[0].call_as(&token, "GET", "/api/v1/sync", None).await;
        assert_eq!(page.status, 503, "{page:?}");
    });
}

#[test]
fn a_broadcast_is_for_the_users_of_every_node_and_may_be_repeated() {
    in_turn(|server| async move {
        let (mut world, low, high) = on_two_nodes(server).await;
        let mut devices = Vec::new();
        for (place, user) in [(0, &low), (0, &high)] {
            devices.push(Device::reliable(&world.nodes[place], user, user).await.0);
        }
        let body =
            json!({"type": "release", "data": {"version": 2}, "event_id": uuid::Uuid::new_v4()});
        world.nodes[1].signal("STOP");
        let refused = world.nodes[0].call("POST", "/api/v1/broadcast", Some(body.clone())).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        world.nodes[1].signal("CONT");
        let first = Cell::new(None);
        eventually("every node takes it", || async {
            let answer = world.nodes[1].call("POST", "/api/v1/broadcast", Some(body.clone())).await;
            let is_taken = answer.status == 202;
            first.set(Some(answer));
            is_taken
        })
        .await;
        let again = world.nodes[0].call("POST", "/api/v1/broadcast", Some(body.clone())).await;
        assert_eq!((again.status, &again.body["duplicate"]), (202, &json!(true)), "{again:?}");
        assert_eq!(again.body["users"], 2);
        for device in &mut devices {
            let event = device.next_of("release").await;
            assert_eq!(event["event_id"], body["event_id"]);
            device.ack(&event).await;
        }
        // Once each: what comes next is what is published next.
        for (user, device) in [&low, &high].into_iter().zip(&mut devices) {
            let receipt = world.publish(0, user, 1).await;
            assert_eq!(receipt["seq"], 2);
            assert_eq!(device.next_of_any(&["added", "release"]).await["type"], "added");
        }
        world.nodes[0].terminate().await;
    });
}

#[test]
fn notes_are_kept_by_their_home_and_seen_from_every_node() {
    in_turn(|server| async move {
        let (mut world, low, high) = on_two_nodes(server).await;
        // A note is at home where a user of its name would be.
        let mut owner = Device::plain(&world.nodes[0], &low).await;
        let mut other = Device::plain(&world.nodes[1], &low).await;
        for note in [&low, &high] {
            let data = json!({"id": note, "n": 0});
            owner.send(json!({"type": "note_created", "noteData": data})).await;
            assert_eq!(other.next_of("note_created_sync").await["noteData"]["id"], **note);
        }
        for (version, node) in [(2, &world.nodes[0]), (3, &world.nodes[1])] {
            let mut writer = Device::plain(node, &low).await;
            let update = json!({"type": "note_update", "noteId": high, "changes": {"n": version}});
            writer.send(update).await;
            let updated = writer.next_of("note_update_success").await;
            assert_eq!(updated["updatedNote"]["version"], version);
            assert_eq!(owner.next_of("note_sync").await["changes"]["n"], version);
        }
        let (token, stranger) = (world.nodes[0].token(&low, &[]), world.nodes[0].token(&high, &[]));
        for node in &world.nodes {
            let page = node.call_as(&token, "GET", "/api/v1/notes", None).await;
            assert_eq!(page.body["notes"].as_array().unwrap().len(), 2, "{page:?}");
            let page = node.call_as(&token, "GET", "/api/v1/notes?limit=1", None).await;
            assert_eq!(
                (page.body["notes"][0]["id"].as_str(), &page.body["more"]),
                (Some(&*low), &json!(true))
            );
            let path = format!("/api/v1/notes/{high}");
            let read = node.call_as(&token, "GET", &path, None).await;
            assert_eq!((read.status, &read.body["n"]), (200, &json!(3)));
            assert_eq!(node.call_as(&stranger, "GET", &path, None).await.status, 404);
        }
        let path = format!("/api/v1/notes/{high}/members");
        let member = json!({"user": high, "role": "read"});
        assert_eq!(world.nodes[0].call("POST", &path, Some(member)).await.status, 200);
        let page = world.nodes[0].call_as(&stranger, "GET", "/api/v1/notes", None).await;
        assert_eq!(page.body["notes"].as_array().unwrap().len(), 1, "{page:?}");
        // A list without the part of a node would look like notes that are gone.
        world.nodes[1].kill();
        let page = world.nodes[0].call_as(&token, "GET", "/api/v1/notes", None).await;
        assert_eq!(page.status, 503, "{page:?}");
        let path = format!("/api/v1/notes/{low}");
        assert_eq!(world.nodes[0].call_as(&token, "GET", &path, None).await.status, 200);
    });
}
