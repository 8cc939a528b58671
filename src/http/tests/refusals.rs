//! What is refused: always a problem, with a status and a code, and never a 500.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::world::{Answer, KEY, World};
use crate::delivery::messages::PublishError;
use crate::http::error::Code;

const ALICE: &str = "/api/v1/users/alice/events";
const BAD_TTL: &str = "ttl_ms must be a whole number of milliseconds, 1 or more";

#[actix::test]
async fn a_bad_body_is_refused_with_what_is_wrong_with_it() {
    let world = World::with(|config| config.publish.data_bytes_max = 100);
    let long = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(200));
    for (body, status, detail) in [
        ("", 400, "EOF while parsing a value at line 1 column 0"),
        ("{", 400, "EOF while parsing an object at line 1 column 1"),
        (r#"{"type":"a"} x"#, 400, "trailing characters at line 1 column 14"),
        ("[]", 422, "an event is an object"),
        (r#"["a",null]"#, 422, "an event is an object"),
        ("7", 422, "an event is an object"),
        ("{}", 422, "missing field `type`"),
        (r#"{"type":7}"#, 422, "type: invalid type: integer `7`, expected a string"),
        (r#"{"type":null}"#, 422, "type: invalid type: null, expected a string"),
        (r#"{"type":"a","color":1}"#, 422, "unknown field `color`"),
        (r#"{"type":"a","user":"u"}"#, 422, "unknown field `user`"),
        (
            r#"{"type":"a","silent":1}"#,
            422,
            "silent: invalid type: integer `1`, expected a boolean",
        ),
        (r#"{"type":"a","ttl_ms":0}"#, 422, BAD_TTL),
        (r#"{"type":"a","ttl_ms":-1}"#, 422, BAD_TTL),
        (r#"{"type":"a","ttl_ms":"5"}"#, 422, BAD_TTL),
        (r#"{"type":"a","ttl_ms":0.5}"#, 422, BAD_TTL),
        (r#"{"type":"a","exclude_session":""}"#, 422, "exclude_session: must not be empty"),
        (r#"{"type":"a","args":{}}"#, 422, "args must be an array"),
        (r#"{"type":"a","data":{"seq":1}}"#, 422, "data must not hold \"seq\" at its top level"),
        (
            r#"{"type":"a","data":{"\ud800":1,"seq":1}}"#,
            422,
            "a name at the top level of data must not hold half of a surrogate pair",
        ),
        (long.as_str(), 413, "data and args hold 202 bytes, at most 100 are taken"),
    ] {
        let answer = world.call("POST", ALICE, body).await;
        answer.code();
        let told = (answer.status, answer.json()["detail"].as_str().unwrap().to_owned());
        assert_eq!(told, (status, detail.to_owned()), "{body}");
    }
    for (body, starts) in [
        (r#"{"type":"a","event_id":"x"}"#, "event_id: UUID parsing failed"),
        (r#"{"type":"a","action":"x"}"#, "action: unknown variant `x`"),
        (r#"{"type":"a","type":"b"}"#, "duplicate field `type`"),
        (r#"{"type":"\ud800"}"#, "type: "),
    ] {
        let answer = world.call("POST", ALICE, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_field"), "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(starts), "{}", answer.text);
    }
    assert_eq!(world.call("POST", "/api/v1/events", "{}").await.code(), "invalid_field");
    assert_eq!(world.call("POST", "/api/v1/events", "[1,").await.code(), "invalid_json");
    assert!(world.probe.script().submissions.is_empty());
}

#[actix::test]
async fn a_body_of_another_kind_or_too_long_is_refused() {
    let world = World::with(|config| config.server.body_bytes_max = 40);
    let bearer = format!("Bearer {KEY}");
    let post = async |body: &'static [u8], header: (&str, &str)| -> Answer {
        let headers = [("authorization", bearer.as_str()), header];
        world.call_with("POST", ALICE, body, &headers).await
    };
    let body = br#"{"type":"a"}"#;
    for header in [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "nonsense"),
        ("content-encoding", "gzip"),
    ] {
        let answer = post(body, header).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"));
    }
    for kind in ["application/json", "application/json; charset=utf-8", "application/ld+json"] {
        assert_eq!(post(body, ("content-type", kind)).await.status, 201, "{kind}");
    }
    let long = br#"{"type":"a","data":"0123456789012345678901234567890123456789"}"#;
    for header in [("x-none", "1"), ("content-length", "62")] {
        let answer = post(long, header).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    }
    assert_eq!(post(b"{\"type\":\"\xff\"}", ("x-none", "1")).await.code(), "invalid_json");
}

#[actix::test]
async fn a_bad_key_or_query_is_refused() {
    let world = World::new();
    let bearer = format!("Bearer {KEY}");
    let long = "x".repeat(256);
    for key in ["", "caf\u{e9}", long.as_str()] {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        let answer = world.call_with("POST", ALICE, r#"{"type":"a"}"#, &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_field"), "{key:?}");
    }
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let batch = world.call_with("POST", "/api/v1/events", "[]", &headers).await;
    assert_eq!((batch.status, batch.code().as_str()), (422, "invalid_field"));
    for query in [
        "wait=all",
        "wait=acked&timeout_ms=0",
        "wait=acked&timeout_ms=60001",
        "timeout_ms=x",
        "wait=acked&timeout_ms=-1",
        "color=red",
        "wait=acked&wait=acked",
    ] {
        let answer = world.call("POST", &format!("{ALICE}?{query}"), r#"{"type":"a"}"#).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_field"), "{query}");
    }
    for path in ["/api/v1/events?wait=acked", "/api/v1/broadcast?wait=acked"] {
        assert_eq!(world.call("POST", path, "[]").await.status, 422, "{path}");
    }
    assert!(world.probe.script().submissions.is_empty());
}

#[actix::test]
async fn a_name_in_a_path_that_no_user_has_is_refused() {
    let world = World::new();
    let long = "x".repeat(256);
    for user in ["a%0Ab", "%FF", "a%C3", "%00", long.as_str()] {
        for mount in ["", "/hub"] {
            let path = format!("{mount}/api/v1/users/{user}/events");
            let answer = world.call("POST", &path, r#"{"type":"a"}"#).await;
            assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_field"), "{path}");
        }
    }
    let path = format!("/api/v1/users/alice/sessions/{}", "x".repeat(129));
    assert_eq!(world.call("DELETE", &path, "").await.status, 422);
}

#[actix::test]
async fn who_is_not_known_is_told_so_before_the_body_is_looked_at() {
    let world = World::new();
    let insufficient = "Bearer error=\"insufficient_scope\", scope=\"publish\"";
    for (authorization, status, code, challenge) in [
        (None, 401, "unauthenticated", "Bearer"),
        (Some("Basic YTpi"), 401, "unauthenticated", "Bearer"),
        (Some("Bearer"), 401, "unauthenticated", "Bearer"),
        (Some("Bearer nonsense"), 401, "unauthenticated", "Bearer error=\"invalid_token\""),
        (Some("bearer expired"), 401, "token_expired", "Bearer error=\"invalid_token\""),
        (Some("Bearer alice"), 403, "forbidden", insufficient),
        (Some("Bearer keyless"), 503, "unavailable", ""),
    ] {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        for path in [ALICE, "/api/v1/events", "/api/v1/broadcast"] {
            let answer = world.call_with("POST", path, "{", &headers).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers:?}");
            assert_eq!(answer.header("www-authenticate"), challenge, "{headers:?}");
        }
    }
}

#[actix::test]
async fn each_call_asks_for_its_own_scope() {
    let world = World::new();
    let trace = "/api/v1/events/0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10/trace";
    let sessions = "/api/v1/users/alice/sessions";
    let tab = "/api/v1/users/alice/sessions/tab";
    let full_sync = "/api/v1/users/alice/sessions/tab/full-sync";
    for (token, method, path, status) in [
        ("publisher", "GET", sessions, 403),
        ("publisher", "DELETE", tab, 403),
        ("publisher", "GET", trace, 403),
        ("publisher", "POST", full_sync, 403),
        ("publisher", "GET", "/api/v1/users/alice/closes", 403),
        ("publisher", "POST", "/api/v1/console/ticket", 403),
        ("admin", "POST", full_sync, 204),
        ("admin", "POST", "/api/v1/console/ticket", 200),
        ("admin", "GET", sessions, 200),
        ("admin", "DELETE", tab, 204),
        ("admin", "GET", trace, 404),
        ("admin", "POST", ALICE, 403),
        ("alice", "GET", sessions, 403),
        ("alice", "GET", "/api/v1/sync", 200),
        (KEY, "GET", "/api/v1/sync", 403),
    ] {
        let answer = world.call_as(token, method, path).await;
        assert_eq!(answer.status, status, "{token} {method} {path}: {}", answer.text);
    }
}

#[actix::test]
async fn an_unknown_path_and_a_wrong_method_are_problems_too() {
    let world = World::new();
    for path in ["/api/v1", "/api/v1/", "/api/v1/no", "/hub/api/v1/users//events", "/api/v1/sync/"]
    {
        let answer = world.call("GET", path, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
    for (method, path, allow) in [
        ("GET", ALICE, "POST"),
        ("OPTIONS", "/api/v1/events", "POST"),
        ("PATCH", "/hub/api/v1/broadcast", "POST"),
        ("POST", "/api/v1/sync", "GET, HEAD"),
        ("GET", "/api/v1/users/alice/sessions/tab", "DELETE"),
        ("POST", "/api/v1/openapi.json", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
    ] {
        let answer = world.call_with(method, path, "", &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.header("allow"), allow);
    }
}

#[actix::test]
async fn a_page_of_another_origin_may_ask_what_a_device_asks_and_nothing_else() {
    let world = World::new();
    for path in ["/api/v1/sync", "/hub/api/v1/notes", "/api/v1/notes/n/members/bob"] {
        let answer =
            world.call_with("OPTIONS", path, "", &[("origin", "http://app.example")]).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-headers"), "authorization, content-type");
    }
    for path in [ALICE, "/api/v1/events", "/api/v1/dead-letters", "/api/v1/users/alice/sessions"] {
        let answer = world.call_with("OPTIONS", path, "", &[]).await;
        assert_eq!(answer.status, 405, "{path}");
    }
    let refused = world.call_with("GET", "/api/v1/sync", "", &[]).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "*"));
}

#[actix::test]
async fn what_cannot_be_done_now_says_when_to_try_again() {
    let world = World::new();
    for (error, code) in
        [(PublishError::Overloaded, "overloaded"), (PublishError::Unavailable, "unavailable")]
    {
        world.probe.script().answers.push_back(Err(error));
        let answer = world.call("POST", ALICE, r#"{"type":"a"}"#).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code));
        assert_eq!(answer.header("retry-after"), "1");
    }
}

#[test]
fn every_code_has_a_name_and_a_status_of_its_kind() {
    let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.name().chars().all(|c| c == '_' || c.is_ascii_lowercase()), "{code:?}");
        assert!(code.status().is_client_error() || code.status() == 503, "{code:?}");
    }
}

const NAMES: [&str; 12] = [
    "type",
    "data",
    "event_id",
    "account",
    "action",
    "silent",
    "ttl_ms",
    "ephemeral",
    "exclude_session",
    "args",
    "user",
    "other",
];

/// JSON that is often close to an event, and sometimes nothing like it.
fn body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{0,8}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    let name = prop::sample::select(&NAMES[..]).prop_map(str::to_owned);
    let event = prop::collection::hash_map(name, value.clone(), 0..5).prop_map(|fields| {
        let mut event: serde_json::Map<_, _> = fields.into_iter().collect();
        event.entry("type").or_insert_with(|| "added".into());
        Value::Object(event)
    });
    prop_oneof![
        event.clone().prop_map(|event| event.to_string()),
        prop::collection::vec(event, 0..4).prop_map(|events| Value::from(events).to_string()),
        value.prop_map(|value| value.to_string()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_whatever_makes_the_hub_fail(body in body(), cut in 0.0..2.0_f64) {
        let cut = ((body.len() as f64 * cut) as usize).min(body.len());
        let bytes = body.as_bytes()[..cut].to_vec();
        actix::System::new().block_on(async {
            let world = World::new();
            let bearer = format!("Bearer {KEY}");
            for path in [ALICE, "/api/v1/events", "/api/v1/broadcast"] {
                let headers = [("authorization", bearer.as_str())];
                let answer = world.call_with("POST", path, bytes.clone(), &headers).await;
                match answer.status {
                    200..=202 => {}
                    400 | 413 | 422 => { answer.code(); }
                    status => panic!("{status} for {body:?} cut at {cut}: {}", answer.text),
                }
            }
        });
    }
}
