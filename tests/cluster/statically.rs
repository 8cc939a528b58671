//! Static sharding: the configuration says whose each slot is, and each node has its own SQLite.

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
