//! What the console asks: full syncs, how connections ended, tickets.

use serde_json::json;

use super::world::World;
use crate::config::PageEnabled;
use crate::delivery::messages::{CloseRecord, FullSyncOrder};
use crate::protocol::{CloseCode, SessionId, Timestamp};

#[actix::test]
async fn a_full_sync_is_ordered_of_a_session_that_there_is() {
    let world = World::new();
    let path = "/api/v1/users/alice/sessions/tab%2F1/full-sync";
    for (order, status) in [
        (FullSyncOrder::Taken, 204),
        (FullSyncOrder::Unknown, 404),
        (FullSyncOrder::Unavailable, 503),
    ] {
        world.probe.script().full_sync = order;
        let answer = world.call_as("admin", "POST", path).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let asked = world.probe.script().full_syncs[0].clone();
    assert_eq!((asked.0.as_str(), asked.1.as_str()), ("alice", "tab/1"));
}

#[actix::test]
async fn the_ends_of_connections_say_why() {
    let world = World::new();
    let tab = SessionId::new("tab").unwrap();
    world.probe.script().closes = vec![
        CloseRecord { at: Timestamp(9), session: Some(tab), code: Some(CloseCode::TooSlow) },
        CloseRecord { at: Timestamp(5), session: None, code: None },
    ];
    let answer = world.call_as("admin", "GET", "/api/v1/users/alice/closes").await;
    assert_eq!(
        answer.json(),
        json!([
            {"at": 9, "session_id": "tab", "code": 4413, "reason": "reading too slowly"},
            {"at": 5, "session_id": null, "code": null, "reason": "the client went away"},
        ])
    );
}

#[actix::test]
async fn a_ticket_is_given_only_where_there_is_a_console() {
    let path = "/api/v1/console/ticket";
    let on = World::new().call_as("admin", "POST", path).await;
    assert_eq!((on.status, on.header("cache-control")), (200, "no-store"));
    assert_eq!(on.json()["user"], "staffetta:console");
    let off = World::with(|config| config.console.enabled = PageEnabled::Off);
    assert_eq!(off.call_as("admin", "POST", path).await.status, 404);
    let elsewhere = World::with(|config| config.server.listen = "0.0.0.0:1".parse().unwrap());
    assert_eq!(elsewhere.call_as("admin", "POST", path).await.status, 404);
}
