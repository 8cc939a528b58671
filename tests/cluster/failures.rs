//! Nodes that are killed, hang, restart, or are cut off: nothing is lost, nobody writes who may not.

use std::time::Duration;

use serde_json::json;

use crate::device::Device;
use crate::world::{LEASE, eventually, on_three_nodes};

#[test]
fn a_killed_homes_users_keep_their_connections_and_lose_nothing() {
    on_three_nodes(|mut world| async move {
        let user = world.user_at(2).await;
        let (mut device, _) = Device::reliable(&world.nodes[1], &user, "tab").await;
        world.publish(0, &user, 1).await;
        assert_eq!(device.next().await["seq"], 1);
        world.nodes[2].kill();
        let receipt = world.publish(0, &user, 2).await;
        assert_eq!(receipt["seq"], 2);
        // Unacked events come again on the same connection, in order, then the new one.
        let mut seen = Vec::new();
        while seen.last() != Some(&2) {
            let event = device.next_of("added").await;
            seen.push(event["seq"].as_i64().unwrap());
            if event["seq"] == 2 {
                device.ack(&event).await;
            }
        }
        assert_eq!(receipt["sessions"]["live"], 1, "the connection was back before: {seen:?}");
        world.nodes.truncate(2);
        world.settle(2).await;
    });
}

#[test]
fn a_node_that_hung_beyond_its_lease_does_not_write() {
    on_three_nodes(|world| async move {
        let user = world.user_at(2).await;
        let (mut device, _) = Device::reliable(&world.nodes[0], &user, "tab").await;
        world.publish(2, &user, 1).await;
        let path = format!("/api/v1/users/{user}/events");
        world.nodes[2].signal("STOP");
        // What waits for it while it hangs, and what it does first when it goes on.
        let sender = world.nodes[2].call("POST", &path, Some(json!({"type": "late"})));
        let work = async {
            tokio::time::sleep(LEASE * 2).await;
            let receipt = world.publish(0, &user, 2).await;
            world.nodes[2].signal("CONT");
            receipt
        };
        let (late, receipt) = tokio::join!(sender, work);
        assert_eq!(receipt["seq"], 2);
        // It answered by the new home, or not at all: never from what it remembered.
        if late.status == 201 {
            assert_eq!(late.body["seq"], 3, "{late:?}");
        } else {
            assert_eq!((late.status, late.retry_after.as_deref()), (503, Some("1")), "{late:?}");
        }
        let dense =
            "SELECT count(*) AS count FROM events GROUP BY user_id, seq HAVING count(*) > 1";
        assert_eq!(world.query(dense), Vec::<i64>::new());
        let last = world.publish(2, &user, 9).await["seq"].as_i64().unwrap();
        let mut next = 1;
        while next <= last {
            let event = device.next().await;
            let seq = event["seq"].as_i64().unwrap();
            assert!(seq <= next, "{seq} came before {next}");
            next = next.max(seq + 1);
            device.ack(&event).await;
        }
    });
}

#[test]
fn nats_away_fails_fast_for_others_and_not_for_those_at_home() {
    on_three_nodes(|mut world| async move {
        let (here, there) = (world.user_at(0).await, world.user_at(1).await);
        let (mut device, _) = Device::reliable(&world.nodes[0], &here, "tab").await;
        let (mut far, _) = Device::reliable(&world.nodes[0], &there, "tab").await;
        world.nats.stop();
        let path = format!("/api/v1/users/{there}/events");
        eventually("the node knows that NATS is away", || async {
            let started = tokio::time::Instant::now();
            let answer = world.nodes[0].call("POST", &path, Some(json!({"type": "x"}))).await;
            let fast = started.elapsed() < Duration::from_secs(1);
            answer.status == 503 && answer.retry_after.as_deref() == Some("1") && fast
        })
        .await;
        let receipt = world.publish(0, &here, 1).await;
        let event = device.next().await;
        assert_eq!(event["event_id"], receipt["event_id"]);
        device.ack(&event).await;
        world.nats.restart().await;
        world.publish(0, &there, 2).await;
        let event = far.next_of("added").await;
        assert_eq!(event["n"], 2);
        far.ack(&event).await;
    });
}

#[test]
fn a_node_that_ends_hands_its_slots_over_at_once() {
    on_three_nodes(|mut world| async move {
        let user = world.user_at(1).await;
        let (mut device, _) = Device::reliable(&world.nodes[0], &user, "tab").await;
        let publishes = async {
            let mut seqs = Vec::new();
            for number in 0..60 {
                seqs.push(world.publish(2, &user, number).await["seq"].as_i64().unwrap());
            }
            seqs
        };
        let reads = async {
            let mut next = 1;
            while next <= 60 {
                let event = device.next_of("added").await;
                let seq = event["seq"].as_i64().unwrap();
                assert!(seq <= next, "{seq} came before {next}");
                next = next.max(seq + 1);
                device.ack(&event).await;
            }
        };
        let ends = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            world.nodes[1].signal("TERM");
        };
        let (seqs, (), ()) = tokio::join!(publishes, reads, ends);
        assert_eq!(seqs, (1..=60).collect::<Vec<_>>());
        world.nodes[1].terminate().await;
        world.nodes[1].restart().await;
        world.settle(3).await;
    });
}

#[test]
fn every_node_may_restart_while_events_flow() {
    on_three_nodes(|mut world| async move {
        let users = world.users_at(0, 2).await;
        let mut published = vec![0; users.len()];
        for round in 0..3 {
            let node = &mut world.nodes[round];
            node.terminate().await;
            node.restart().await;
            for (user, count) in users.iter().zip(&mut published) {
                for _ in 0..5 {
                    let receipt = world.publish((round + 1) % 3, user, 1).await;
                    *count += 1;
                    assert_eq!(receipt["seq"], *count);
                }
            }
        }
        world.settle(3).await;
        for user in &users {
            let (_, ok) = Device::reliable(&world.nodes[1], user, "late").await;
            assert_eq!(ok["cursor"], 15);
        }
    });
}

#[test]
fn postgres_away_refuses_publishes_and_keeps_connections() {
    on_three_nodes(|world| async move {
        let user = world.user_at(1).await;
        let (mut device, _) = Device::reliable(&world.nodes[0], &user, "tab").await;
        world.publish(0, &user, 1).await;
        assert_eq!(device.next().await["seq"], 1);
        // What the database refuses is as good as away.
        world.execute("ALTER TABLE events RENAME TO events_away");
        let path = format!("/api/v1/users/{user}/events");
        let answer = world.nodes[2].call("POST", &path, Some(json!({"type": "x"}))).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")), "{answer:?}");
        // From memory, delivery goes on.
        assert_eq!(device.next().await["seq"], 1, "sent again");
        world.execute("ALTER TABLE events_away RENAME TO events");
        let receipt = world.publish(2, &user, 2).await;
        assert_eq!(receipt["seq"], 2);
        loop {
            let event = device.next().await;
            device.ack(&event).await;
            if event["seq"] == 2 {
                break;
            }
        }
    });
}
