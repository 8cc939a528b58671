//! What a publisher may say, and what it is told.

use serde_json::{Value, json};
use staffetta::auth::Scope;
use uuid::Uuid;

use crate::device::Device;
use crate::world::{Stop, TestHub, eventually, on_both};

const ALICE: &str = "/api/v1/users/alice/events";

#[test]
fn the_same_publish_again_gets_the_first_answer_and_another_body_a_conflict() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let event_id = Uuid::now_v7();
        let body = json!({"type": "added", "data": {"id": 1}, "event_id": event_id});
        let first = hub.call("POST", ALICE, Some(body.clone())).await;
        assert_eq!(first.status, 201);
        device.acked(1).await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        let hub = hub.restart(Stop::Drop).await;
        let again = hub.call("POST", ALICE, Some(body.clone())).await;
        assert_eq!((again.status, &again.body["duplicate"]), (200, &json!(true)));
        for field in ["event_id", "seq", "sessions"] {
            assert_eq!(again.body[field], first.body[field], "{field}");
        }
        let mut other = body;
        other["data"] = json!({"id": 2});
        let conflict = hub.call("POST", ALICE, Some(other)).await;
        assert_eq!((conflict.status, &conflict.body["code"]), (409, &json!("conflict")));
        assert_eq!(hub.publish("alice", "next", json!({})).await["seq"], 2);
    });
}

#[test]
fn a_key_recognises_a_publish_as_its_name_does() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let token = hub.token_for("app", &[Scope::Publish], std::time::Duration::from_secs(60));
        let publish = |body: &'static str| {
            let key = [("idempotency-key", "order 7")];
            let (hub, token) = (&hub, &token);
            async move { hub.call_as(Some(token), "POST", ALICE, Some(body), &key).await }
        };
        let first = publish(r#"{"type":"a"}"#).await;
        let again = publish(r#"{"type":"a"}"#).await;
        assert_eq!((first.status, again.status), (201, 200));
        assert_eq!(again.body["event_id"], first.body["event_id"]);
        assert_eq!(publish(r#"{"type":"b"}"#).await.status, 409);
    });
}

#[test]
fn concurrent_publishes_of_one_name_are_stored_once() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let body = json!({"type": "added", "event_id": Uuid::now_v7()});
        let calls = (0..8).map(|_| hub.call("POST", ALICE, Some(body.clone())));
        let answers = futures_util::future::join_all(calls).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.body["seq"] == 1));
    });
}

#[test]
fn a_batch_is_answered_in_order_and_one_refusal_holds_nobody_up() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.publish.batch_events_max = 5).await;
        let (mut device, _) = Device::attach(&hub, "bob", json!("tab"), json!({})).await;
        let batch = json!([
            {"user": "alice", "type": "a"},
            {"user": "bob", "type": "b", "data": {"n": 1}},
            {"user": "bob", "type": "b", "data": {"seq": 1}},
            {"type": "nobody"},
            {"user": "bob", "type": "c"},
        ]);
        let answer = hub.call("POST", "/api/v1/events", Some(batch)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let status: Vec<_> =
            answer.body.as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
        assert_eq!(status, [201, 201, 422, 422, 201]);
        assert_eq!(answer.body[4]["seq"], 2);
        assert_eq!(answer.body[2]["detail"], "data must not hold \"seq\" at its top level");
        assert_eq!(device.acked(1).await["n"], 1);
        assert_eq!(device.acked(2).await["type"], "c");
        let empty = hub.call("POST", "/api/v1/events", Some(json!([]))).await;
        assert_eq!((empty.status, empty.body), (200, json!([])));
        let six: Vec<_> = (0..6).map(|_| json!({"user": "u", "type": "t"})).collect();
        let refused = hub.call("POST", "/api/v1/events", Some(Value::Array(six))).await;
        assert_eq!((refused.status, &refused.body["code"]), (413, &json!("batch_too_large")));
    });
}

#[test]
fn a_broadcast_reaches_everyone_that_has_a_session_once() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut alice, _) = Device::attach(&hub, "alice", json!("a"), json!({})).await;
        let (bob, _) = Device::replaying(&hub, "bob", "b").await;
        bob.cut();
        let mut carol = Device::plain(&hub, "carol").await;
        hub.wait_for_live("bob", 0).await;
        let body = json!({"type": "release", "event_id": Uuid::now_v7()});
        let answer = hub.call("POST", "/api/v1/broadcast", Some(body.clone())).await;
        assert_eq!((answer.status, &answer.body["users"]), (202, &json!(3)), "{}", answer.text);
        assert_eq!(alice.acked(1).await["event_id"], answer.body["event_id"]);
        assert_eq!(carol.next().await["event_id"], answer.body["event_id"]);
        eventually("bob's log has it", || async {
            let token = hub.token("bob");
            let page = hub.call_as(Some(&token), "GET", "/api/v1/sync", None, &[]).await;
            page.body["events"].as_array().unwrap().len() == 1
        })
        .await;
        let (mut bob, _) = Device::replaying(&hub, "bob", "b").await;
        bob.acked(1).await;
        let again = hub.call("POST", "/api/v1/broadcast", Some(body)).await;
        assert_eq!(again.body["duplicate"], true);
        bob.nothing().await;
        alice.nothing().await;
        carol.nothing().await;
    });
}

#[test]
fn what_breaks_the_contract_is_refused_with_a_problem() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.publish.data_bytes_max = 100).await;
        let long = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(200));
        for (body, status, code) in [
            ("{", 400, "invalid_json"),
            ("", 400, "invalid_json"),
            ("[]", 422, "invalid_field"),
            (r#"["a"]"#, 422, "invalid_field"),
            ("7", 422, "invalid_field"),
            ("{}", 422, "invalid_field"),
            (r#"{"type":""}"#, 422, "invalid_field"),
            (r#"{"type":7}"#, 422, "invalid_field"),
            (r#"{"type":"a","color":1}"#, 422, "invalid_field"),
            (r#"{"type":"a","user":"u"}"#, 422, "invalid_field"),
            (r#"{"type":"a","data":{"type":1}}"#, 422, "invalid_field"),
            (r#"{"type":"a","data":{"event_id":1}}"#, 422, "invalid_field"),
            (r#"{"type":"a","data":{"seq":1}}"#, 422, "invalid_field"),
            (r#"{"type":"a","event_id":"x"}"#, 422, "invalid_field"),
            (r#"{"type":"a","ttl_ms":0}"#, 422, "invalid_field"),
            (r#"{"type":"a","ttl_ms":-1}"#, 422, "invalid_field"),
            (r#"{"type":"a","args":{}}"#, 422, "invalid_field"),
            (r#"{"type":"a","action":"x"}"#, 422, "invalid_field"),
            (r#"{"type":"a","exclude_session":""}"#, 422, "invalid_field"),
            (long.as_str(), 413, "too_large"),
        ] {
            let token = hub.token_for("app", &[Scope::Publish], std::time::Duration::from_secs(60));
            let answer = hub.call_as(Some(&token), "POST", ALICE, Some(body), &[]).await;
            assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{body}");
            assert_eq!(answer.content_type, "application/problem+json");
            for field in ["type", "title", "status", "detail", "code"] {
                assert!(!answer.body[field].is_null(), "{field} of {}", answer.text);
            }
        }
        assert_eq!(hub.publish("alice", "first", json!(null)).await["seq"], 1);
    });
}

#[test]
fn only_who_may_publish_publishes_and_only_who_may_administer_administers() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| {
            let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
            config.auth.api_keys = vec![staffetta::config::ApiKeyConfig {
                name: "app".to_owned(),
                sha256: sha256.to_owned(),
                scopes: vec!["publish".to_owned()],
            }];
        })
        .await;
        let body = Some(r#"{"type":"a"}"#);
        let user = hub.token("alice");
        let sessions = "/api/v1/users/alice/sessions";
        for (token, method, path, body, status) in [
            (None, "POST", ALICE, body, 401),
            (Some("nonsense"), "POST", ALICE, body, 401),
            (Some(user.as_str()), "POST", ALICE, body, 403),
            (Some("secret"), "POST", ALICE, body, 201),
            (Some("secret"), "GET", sessions, None, 403),
            (Some("secret"), "GET", "/api/v1/sync", None, 403),
            (Some(user.as_str()), "GET", "/api/v1/sync", None, 200),
            (Some(user.as_str()), "GET", sessions, None, 403),
            (Some("secret"), "PUT", ALICE, body, 405),
            (Some("secret"), "GET", "/api/v1/nothing", None, 404),
        ] {
            let answer = hub.call_as(token, method, path, body, &[]).await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        }
    });
}

#[test]
fn a_name_in_a_path_may_hold_anything_a_name_may() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut device, _) = Device::attach(&hub, "zoë/a b", json!("tab"), json!({})).await;
        let path = "/api/v1/users/zo%C3%AB%2Fa%20b/events";
        let answer = hub.call("POST", path, Some(json!({"type": "a"}))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        device.acked(1).await;
        let bad = hub.call("POST", "/api/v1/users/a%0Ab/events", Some(json!({"type": "a"}))).await;
        assert_eq!(bad.status, 422);
    });
}

#[test]
fn catching_up_pages_through_the_log() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        for n in 1..=5 {
            hub.publish("alice", "added", json!({"n": n})).await;
        }
        hub.publish("bob", "secret", json!({})).await;
        let token = hub.token("alice");
        let sync = |query: &'static str| {
            let path = format!("/api/v1/sync{query}");
            let (hub, token) = (&hub, &token);
            async move { hub.call_as(Some(token), "GET", &path, None, &[]).await }
        };
        let page = sync("?limit=2").await.body;
        assert_eq!((&page["cursor"], &page["more"]), (&json!(2), &json!(true)));
        let page = sync("?cursor=2&limit=100").await.body;
        assert_eq!((&page["cursor"], &page["more"]), (&json!(5), &json!(false)));
        let ns: Vec<_> =
            page["events"].as_array().unwrap().iter().map(|e| e["n"].clone()).collect();
        assert_eq!(ns, [3, 4, 5]);
        let page = sync("?cursor=5").await.body;
        assert_eq!(page, json!({"events": [], "cursor": 5, "more": false}));
        for query in ["?limit=0", "?limit=1001", "?cursor=-1", "?cursor=x", "?page=2"] {
            assert_eq!(sync(query).await.status, 422, "{query}");
        }
    });
}

/// Valid bodies, damaged in every way a byte can be.
#[test]
fn no_body_whatever_makes_the_hub_fail() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let token = hub.token_for("app", &[Scope::Publish], std::time::Duration::from_secs(60));
        let valid =
            r#"{"user":"u","type":"a","data":{"id":[1,2,{"x":null}]},"ttl_ms":5,"args":["é"]}"#;
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..150 {
            let mut body: Vec<char> = format!("[{valid}]").chars().collect();
            for _ in 0..=random(3) {
                let at = random(body.len());
                match random(4) {
                    0 => drop(body.remove(at)),
                    1 => body[at] = ['{', '}', '"', '\\', '\0', '9', '\u{2028}', ','][random(8)],
                    2 => body.truncate(at.max(1)),
                    _ => body.insert(at, ['[', ']', ':', 'e', '-', '\n'][random(6)]),
                }
            }
            let text: String = body.iter().collect();
            let (path, text) = match n % 3 {
                0 => ("/api/v1/events", text.as_str()),
                1 => (ALICE, text.trim_matches(['[', ']'])),
                _ => ("/api/v1/broadcast", text.trim_matches(['[', ']'])),
            };
            let answer = hub.call_as(Some(&token), "POST", path, Some(text), &[]).await;
            assert!(answer.status < 500, "{}: {text}", answer.status);
            seen.insert(answer.status);
        }
        assert!(seen.contains(&400) && seen.contains(&422), "{seen:?}");
    });
}
