//! Events, acks and sessions across nodes, while all is well.

use std::time::Duration;

use serde_json::json;

use crate::device::Device;
use crate::world::{eventually, on_three_nodes};

#[test]
fn an_event_published_anywhere_reaches_a_device_anywhere_and_is_settled_at_home() {
    on_three_nodes(|world| async move {
        let user = world.user_at(2).await;
        // The device on b, the publisher on a, the home on c.
        let (mut device, ok) = Device::reliable(&world.nodes[1], &user, "tab").await;
        assert_eq!(ok["need_full_sync"], true);
        let mut plain = Device::plain(&world.nodes[0], &user).await;
        for seq in 1..=3 {
            let receipt = world.publish(0, &user, seq).await;
            assert_eq!((&receipt["seq"], &receipt["sessions"]["live"]), (&json!(seq), &json!(2)));
            let event = device.next().await;
            assert_eq!((&event["seq"], &event["n"]), (&json!(seq), &json!(seq)));
            assert_eq!(event["event_id"], receipt["event_id"]);
            assert_eq!(plain.next().await["event_id"], receipt["event_id"]);
            device.ack(&event).await;
        }
        eventually("the floor is written", || async {
            world.query("SELECT floor AS count FROM sessions") == [3]
        })
        .await;
        // Acked is acked: nothing comes again.
        assert_eq!(device.try_next(Duration::from_millis(1_500)).await, None);
        // The home of the other two is asked by c itself.
        let receipt = world.publish(2, &user, 4).await;
        assert_eq!(device.next().await["event_id"], receipt["event_id"]);
        let again = device.next().await;
        assert_eq!(again["event_id"], receipt["event_id"], "unacked, so sent again");
    });
}

#[test]
fn a_publisher_may_wait_for_acks_from_another_node_and_repeats_are_known() {
    on_three_nodes(|world| async move {
        let user = world.user_at(1).await;
        let (mut device, _) = Device::reliable(&world.nodes[0], &user, "tab").await;
        let path = format!("/api/v1/users/{user}/events?wait=acked&timeout_ms=10000");
        let body = json!({"type": "added", "event_id": uuid::Uuid::new_v4()});
        let (answer, ()) =
            tokio::join!(world.nodes[2].call("POST", &path, Some(body.clone())), async {
                let event = device.next().await;
                device.ack(&event).await;
            });
        assert_eq!((answer.status, &answer.body["acked"]), (201, &json!(["tab"])), "{answer:?}");
        let again = world.nodes[1].call("POST", &path, Some(body)).await;
        assert_eq!((again.status, &again.body["duplicate"]), (200, &json!(true)), "{again:?}");
        let users: Vec<_> =
            (0..30).map(|n| json!({"user": format!("user-{n}"), "type": "x"})).collect();
        let batch = world.nodes[0].call("POST", "/api/v1/events", Some(json!(users))).await;
        let results = batch.body.as_array().unwrap();
        assert!(results.len() == 30 && results.iter().all(|result| !result["seq"].is_null()));
    });
}

#[test]
fn a_large_event_crosses_nodes() {
    on_three_nodes(|world| async move {
        let user = world.user_at(2).await;
        let (mut device, _) = Device::reliable(&world.nodes[1], &user, "tab").await;
        let text = "x".repeat(900_000);
        let body = json!({"type": "large", "data": {"text": text}});
        let path = format!("/api/v1/users/{user}/events");
        let answer = world.nodes[0].call("POST", &path, Some(body)).await;
        assert_eq!(answer.status, 201);
        let event = device.next().await;
        assert_eq!(event["text"].as_str().unwrap().len(), 900_000);
    });
}

#[test]
fn a_session_moves_between_nodes_and_replaces_itself() {
    on_three_nodes(|world| async move {
        let user = world.user_at(0).await;
        let (mut first, _) = Device::reliable(&world.nodes[1], &user, "tab").await;
        world.publish(1, &user, 1).await;
        assert_eq!(first.next().await["seq"], 1);
        let (mut second, ok) = Device::reliable(&world.nodes[2], &user, "tab").await;
        assert_eq!(ok["need_full_sync"], false);
        assert_eq!(first.closed().await, 4409);
        let event = second.next().await;
        assert_eq!(event["seq"], 1, "what the first did not ack");
        second.ack(&event).await;
        world.publish(0, &user, 2).await;
        assert_eq!(second.next_of("added").await["seq"], 2);
    });
}
