//! What administrators ask of any node: sessions, revoking, traces, broadcasts, routes.

use serde_json::json;

use crate::device::Device;
use crate::node::Node;
use crate::world::{LEASE, eventually, on_no_nodes, on_three_nodes};

#[test]
fn sessions_are_listed_and_revoked_from_any_node() {
    on_three_nodes(|world| async move {
        let user = world.user_at(2).await;
        let (mut device, _) = Device::reliable(&world.nodes[1], &user, "tab").await;
        let path = format!("/api/v1/users/{user}/sessions");
        for node in &world.nodes {
            let answer = node.call("GET", &path, None).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body[0]["session_id"], "tab");
            assert_eq!(answer.body[0]["connection"]["dialect"], "native");
        }
        let revoked = world.nodes[0].call("DELETE", &format!("{path}/tab"), None).await;
        assert_eq!(revoked.status, 204);
        assert_eq!(device.closed().await, 4403);
        let again = world.nodes[1].call("DELETE", &format!("{path}/tab"), None).await;
        assert_eq!(again.status, 404);
        let (_, ok) = Device::reliable(&world.nodes[0], &user, "tab").await;
        assert_eq!(ok["need_full_sync"], true);
    });
}

#[test]
fn a_trace_tells_what_the_home_remembers() {
    on_three_nodes(|world| async move {
        let user = world.user_at(2).await;
        let (mut device, _) = Device::reliable(&world.nodes[1], &user, "tab").await;
        let receipt = world.publish(0, &user, 1).await;
        let event = device.next().await;
        device.ack(&event).await;
        let path = format!("/api/v1/events/{}/trace", receipt["event_id"].as_str().unwrap());
        for node in &world.nodes {
            eventually("the ack is known", || async {
                let answer = node.call("GET", &path, None).await;
                answer.body["deliveries"][0]["state"] == "acked"
            })
            .await;
        }
    });
}

#[test]
fn a_broadcast_reaches_devices_on_every_node() {
    on_three_nodes(|world| async move {
        let mut devices = Vec::new();
        for home in 0..3 {
            for (number, user) in world.users_at(home, 2).await.into_iter().enumerate() {
                let node = &world.nodes[(home + number) % 3];
                devices.push(Device::reliable(node, &user, &format!("tab-{user}")).await.0);
            }
        }
        let plain_user = "somebody-plain";
        let mut plain = Device::plain(&world.nodes[1], plain_user).await;
        let body = json!({"type": "release", "data": {"version": 2}});
        let answer = world.nodes[0].call("POST", "/api/v1/broadcast", Some(body)).await;
        assert_eq!((answer.status, &answer.body["users"]), (202, &json!(7)), "{answer:?}");
        for device in &mut devices {
            let event = device.next_of("release").await;
            assert_eq!(event["event_id"], answer.body["event_id"]);
            assert_eq!(event["version"], 2);
        }
        assert_eq!(plain.next_of("release").await["version"], 2);
    });
}

#[test]
fn every_node_says_where_a_user_is_at_home() {
    on_three_nodes(|world| async move {
        for user in ["alice", "bob", "carol"] {
            let first = world.route(&world.nodes[0], user).await;
            let mut here = 0;
            for node in &world.nodes {
                let route = world.route(node, user).await;
                assert_eq!(route["node"], first["node"]);
                assert_eq!(route["here"], route["node"] == node.name.as_str());
                here += i32::from(route["here"] == true);
            }
            assert_eq!(here, 1);
        }
        let answer = world.nodes[0].call("GET", "/api/v1/route?user=", None).await;
        assert_eq!(answer.status, 422);
        let shares = world.query("SELECT count(*) AS count FROM slots GROUP BY node ORDER BY 1");
        assert_eq!(shares, [85, 85, 86]);
    });
}

#[test]
fn a_node_is_ready_while_it_has_a_lease_and_slots() {
    on_no_nodes(|mut world| async move {
        world.nats.stop();
        world.add("a").await;
        let check = async |node: &Node, wanted: &str| {
            eventually(wanted, || async {
                let answer = node.call("GET", "/readyz", None).await;
                let status = if wanted == "ok" { 200 } else { 503 };
                (answer.status, answer.body["checks"]["cluster"].as_str()) == (status, Some(wanted))
            })
            .await;
        };
        // It has every slot, and serves who comes to it.
        check(&world.nodes[0], "ok").await;
        world.nats.restart().await;
        world.add("b").await;
        check(&world.nodes[1], "ok").await;
        world.settle(2).await;
        world.execute("ALTER TABLE nodes RENAME TO nodes_away");
        check(&world.nodes[1], "no lease").await;
        world.execute("ALTER TABLE nodes_away RENAME TO nodes");
        check(&world.nodes[1], "ok").await;
    });
}

#[test]
fn a_node_counts_what_it_does_among_others() {
    on_three_nodes(|mut world| async move {
        let user = world.user_at(1).await;
        let (mut device, _) = Device::reliable(&world.nodes[2], &user, "tab").await;
        world.publish(0, &user, 1).await;
        device.next_of("added").await;
        let metric = async |node: &Node, name: &str| {
            let text = node.call("GET", "/metrics", None).await.body;
            let line = text.as_str().unwrap().lines().find(|line| line.starts_with(name));
            line.unwrap().rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        };
        let mut slots = 0.0;
        for node in &world.nodes {
            slots += metric(node, "staffetta_cluster_slots ").await;
            assert_eq!(metric(node, "staffetta_cluster_bus_up ").await, 1.0);
            let lease = metric(node, "staffetta_cluster_lease_remaining_seconds ").await;
            assert!(lease > 0.0 && lease <= LEASE.as_secs_f64(), "{lease}");
            for direction in ["sent", "received"] {
                let name = format!("staffetta_cluster_bytes_total{{direction=\"{direction}\"}} ");
                assert!(metric(node, &name).await > 0.0, "{direction}");
            }
        }
        assert_eq!(slots, 256.0);
        let forwarded = "staffetta_cluster_publishes_forwarded_total ";
        assert_eq!(metric(&world.nodes[0], forwarded).await, 1.0);
        assert_eq!(metric(&world.nodes[1], forwarded).await, 0.0);
        assert_eq!(metric(&world.nodes[2], "staffetta_cluster_takeovers_total ").await, 0.0);
        world.nodes[1].kill();
        let gone = world.nodes.remove(1);
        world.settle(2).await;
        drop(gone);
        let mut takeovers = 0.0;
        for node in &world.nodes {
            takeovers += metric(node, "staffetta_cluster_takeovers_total ").await;
        }
        assert!(takeovers >= 85.0, "{takeovers}");
    });
}
