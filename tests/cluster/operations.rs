//! What administrators ask of any node: sessions, revoking, traces, broadcasts, routes.

use serde_json::json;

use crate::device::Device;
use crate::world::{eventually, on_three_nodes};

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
