//! Several databases: each keeps the logs of its slots, and says whose they are.

use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use serde_json::json;
use staffetta::UserId;

use crate::device::Device;
use crate::world::{Database, eventually, on_no_nodes};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = diesel::sql_types::Text)]
    user_id: String,
}

fn users_in(url: &str, table: &str) -> Vec<String> {
    let mut connection = PgConnection::establish(url).unwrap();
    let query = format!("SELECT DISTINCT user_id FROM {table} ORDER BY user_id");
    let rows: Vec<Name> = diesel::sql_query(query).load(&mut connection).unwrap();
    rows.into_iter().map(|row| row.user_id).collect()
}

#[test]
fn each_database_keeps_the_logs_of_its_slots() {
    on_no_nodes(|mut world| async move {
        let admin = std::env::var("STAFFETTA_TEST_POSTGRES").unwrap();
        let (low, high) = (Database::new(admin.clone()), Database::new(admin));
        let databases = format!(
            "cluster.databases=[{{slots=\"0-127\",url=\"{}\"}},{{slots=\"128-255\",url=\"{}\"}}]",
            low.url, high.url
        );
        for name in ["a", "b"] {
            world.add_with(name, std::slice::from_ref(&databases)).await;
        }
        let users: Vec<_> = (0..12).map(|number| format!("user-{number}")).collect();
        let is_low = |user: &String| UserId::new(user).unwrap().slot().0 < 128;
        for user in &users {
            for node in &world.nodes {
                eventually("every node knows every home", || async {
                    !world.route(node, user).await["node"].is_null()
                })
                .await;
            }
        }
        let mut devices = Vec::new();
        for (place, user) in users.iter().enumerate() {
            let (mut device, _) = Device::reliable(&world.nodes[place % 2], user, user).await;
            let receipt = world.publish((place + 1) % 2, user, 1).await;
            let event = device.next().await;
            assert_eq!(event["event_id"], receipt["event_id"]);
            device.ack(&event).await;
            devices.push(device);
        }
        let mut expected: Vec<_> = users.iter().filter(|user| is_low(user)).cloned().collect();
        expected.sort();
        assert!(!expected.is_empty() && expected.len() < users.len());
        assert_eq!(users_in(&low.url, "events"), expected);
        assert_eq!(users_in(&low.url, "sessions"), expected);
        expected = users.iter().filter(|user| !is_low(user)).cloned().collect();
        expected.sort();
        assert_eq!(users_in(&high.url, "events"), expected);
        assert_eq!(users_in(world.url(), "events"), Vec::<String>::new());
        let body = json!({"type": "release"});
        let answer = world.nodes[0].call("POST", "/api/v1/broadcast", Some(body)).await;
        assert_eq!((answer.status, &answer.body["users"]), (202, &json!(12)), "{answer:?}");
        for device in &mut devices {
            device.next_of("release").await;
        }
    });
}
