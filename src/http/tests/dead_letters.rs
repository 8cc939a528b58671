//! Dead letters as administrators see them.

use serde_json::json;
use uuid::Uuid;

use super::world::World;
use crate::persistence::messages::DeadLetter;
use crate::protocol::Timestamp;

const LIST: &str = "/api/v1/dead-letters";

fn letter(number: u128) -> DeadLetter {
    DeadLetter {
        id: Uuid::from_u128(number),
        target: "commands".to_owned(),
        kind: "command".to_owned(),
        body: "{\"name\": \"x\",\"data\":1.0}".to_owned(),
        attempts: 5,
        last_error: "answered 500".to_owned(),
        created_at: Timestamp(1),
        failed_at: Timestamp(2),
    }
}

fn path(number: u128) -> String {
    format!("{LIST}/{}", Uuid::from_u128(number))
}

#[actix::test]
async fn letters_are_listed_as_they_were_posted_a_page_at_a_time() {
    let world = World::new();
    world.probe.script().letters = (1..=3).map(letter).collect();
    let first = world.call("GET", &format!("{LIST}?limit=2"), "").await;
    assert!(first.text.contains("\"body\":{\"name\": \"x\",\"data\":1.0}"), "{}", first.text);
    let first = first.json();
    let expected = json!({
        "id": Uuid::from_u128(1), "target": "commands", "kind": "command",
        "body": {"name": "x", "data": 1.0}, "attempts": 5, "last_error": "answered 500",
        "created_at": 1, "failed_at": 2,
    });
    assert_eq!(first["dead_letters"][0], expected);
    assert_eq!((&first["cursor"], &first["more"]), (&json!(Uuid::from_u128(2)), &json!(true)));
    let next = format!("{LIST}?limit=2&cursor={}", Uuid::from_u128(2));
    let rest = world.call("GET", &next, "").await.json();
    assert_eq!(rest["dead_letters"][0]["id"], json!(Uuid::from_u128(3)));
    assert_eq!(rest["more"], false);
    let past = format!("{LIST}?cursor={}", Uuid::from_u128(3));
    let none = json!({"dead_letters": [], "cursor": null, "more": false});
    assert_eq!(world.call("GET", &past, "").await.json(), none);
}

#[actix::test]
async fn a_letter_is_deleted_once() {
    let world = World::new();
    world.probe.script().letters = vec![letter(1)];
    assert_eq!(world.call("DELETE", &path(1), "").await.status, 204);
    assert_eq!(world.call("DELETE", &path(1), "").await.code(), "not_found");
    assert!(world.probe.script().letters.is_empty());
}

#[actix::test]
async fn a_letter_whose_webhook_is_gone_stays() {
    let world = World::new();
    world.probe.script().letters = vec![letter(1)];
    let answer = world.call("POST", &format!("{}/replay", path(1)), "").await;
    let expected = json!({"id": Uuid::from_u128(1), "outcome": "failed",
        "error": "webhooks.commands_url is not set"});
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(world.probe.script().letters, [letter(1)]);
    let answer = world.call("POST", &format!("{}/replay", path(2)), "").await;
    assert_eq!(answer.code(), "not_found");
}

#[actix::test]
async fn only_administrators_see_them_and_bad_names_are_refused() {
    let world = World::new();
    for (method, path) in
        [("GET", LIST.to_owned()), ("DELETE", path(1)), ("POST", format!("{}/replay", path(1)))]
    {
        assert_eq!(world.call_as("publisher", method, &path).await.status, 403, "{path}");
        assert_eq!(world.call_as("alice", method, &path).await.status, 403, "{path}");
        assert_eq!(world.call(method, &format!("{path}?x=1"), "").await.status, 422, "{path}");
    }
    for path in ["/x", "?cursor=x", "?limit=0", "?limit=1001"] {
        let method = if path == "/x" { "DELETE" } else { "GET" };
        let answer = world.call(method, &format!("{LIST}{path}"), "").await;
        assert_eq!(answer.code(), "invalid_field", "{path}");
    }
}
