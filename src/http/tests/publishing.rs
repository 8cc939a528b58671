//! Publishing: what reaches the delivery actors, and what the publisher is told.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{KEY, World};
use crate::delivery::messages::{PublishError, Receipt, WaitOutcome};
use crate::persistence::messages::{BroadcastOutcome, DuplicateKey, StoreError};
use crate::protocol::{Action, EventId, Seq, SessionId};

const ALICE: &str = "/api/v1/users/alice/events";
const NAME: &str = "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10";

fn receipt(seq: i64) -> Receipt {
    Receipt {
        event_id: EventId(Uuid::parse_str(NAME).unwrap()),
        seq: Some(Seq(seq)),
        live: 2,
        offline: 1,
        duplicate: false,
        acked: None,
    }
}

#[actix::test]
async fn a_publish_is_answered_with_its_place_and_who_was_there() {
    let world = World::new();
    let body = json!({"type": "added", "event_id": NAME}).to_string();
    let answer = world.call("POST", ALICE, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let told = json!({"event_id": NAME, "seq": 1, "sessions": {"live": 2, "offline": 1}});
    assert_eq!(answer.json(), told);
    let script = world.probe.script();
    assert_eq!(script.submissions[0].user.as_str(), "alice");
    assert!(matches!(script.submissions[0].duplicate, DuplicateKey::EventId { .. }));
}

#[actix::test]
async fn data_and_args_pass_through_byte_for_byte() {
    let world = World::new();
    let data = "{ \"b\":1.0e+2,\n\t\"a\" : [1, \"\\u00e9/\\/\"], \"a\":12345678901234567890123 }";
    let args = r#"[ {"x": -0.0} ,null]"#;
    let body = format!(r#" {{"args": {args} ,"type":"added","data": {data} }} "#);
    assert_eq!(world.call("POST", ALICE, &body).await.status, 201);
    let batch = format!(r#"[{{"user":"bob","type":"added","data":{data},"args":{args}}}]"#);
    assert_eq!(world.call("POST", "/api/v1/events", &batch).await.status, 200);
    let script = world.probe.script();
    assert_eq!(script.submissions.len(), 2);
    for submission in &script.submissions {
        assert_eq!(submission.content.data.as_ref().unwrap().get(), data);
        assert_eq!(submission.content.args.as_ref().unwrap().get(), args);
    }
}

#[actix::test]
async fn every_field_reaches_the_event_and_null_is_the_same_as_absent() {
    let world = World::new();
    let full = json!({
        "type": "added", "data": 7, "event_id": NAME, "account": "personal", "action": "update",
        "silent": true, "ttl_ms": 5, "ephemeral": true, "exclude_session": "tab", "args": [],
    });
    let answer = world.call("POST", ALICE, &full.to_string()).await;
    assert_eq!((answer.status, &answer.json()["seq"]), (201, &Value::Null), "{}", answer.text);
    let nulls = json!({
        "type": "added", "data": null, "event_id": null, "account": null, "action": null,
        "silent": null, "ttl_ms": null, "ephemeral": null, "exclude_session": null, "args": null,
    });
    assert_eq!(world.call("POST", ALICE, &nulls.to_string()).await.status, 201);
    let script = world.probe.script();
    let [full, bare] = &script.submissions[..] else { panic!("{:?}", script.submissions) };
    let content = &full.content;
    assert_eq!(content.id.to_string(), NAME);
    assert_eq!(content.account.as_deref(), Some("personal"));
    assert_eq!(content.action, Some(Action::Update));
    assert!(content.silent && full.ephemeral);
    assert_eq!(content.expires_at, Some(content.published_at.plus_ms(5)));
    assert_eq!(content.exclude_session.as_ref().unwrap().as_str(), "tab");
    assert_eq!(bare.duplicate, DuplicateKey::Fresh);
    assert!(bare.content.data.is_none() && bare.content.expires_at.is_none() && !bare.ephemeral);
}

#[actix::test]
async fn a_repetition_gets_the_first_answer_and_another_body_a_conflict() {
    let world = World::new();
    world
        .probe
        .script()
        .answers
        .extend([Ok(Receipt { duplicate: true, ..receipt(7) }), Err(PublishError::Conflict)]);
    let again = world.call("POST", ALICE, r#"{"type":"added"}"#).await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)));
    let conflict = world.call("POST", ALICE, r#"{"type":"added"}"#).await;
    assert_eq!((conflict.status, conflict.code().as_str()), (409, "conflict"));
}

#[actix::test]
async fn a_key_counts_only_when_the_event_has_no_name() {
    let world = World::new();
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "order-7")];
    for body in [r#"{"type":"a"}"#.to_owned(), format!(r#"{{"type":"a","event_id":"{NAME}"}}"#)] {
        assert_eq!(world.call_with("POST", ALICE, body, &headers).await.status, 201);
    }
    let script = world.probe.script();
    let DuplicateKey::Key { key, .. } = &script.submissions[0].duplicate else {
        panic!("{:?}", script.submissions)
    };
    assert_eq!(key, "order-7");
    assert!(matches!(script.submissions[1].duplicate, DuplicateKey::EventId { .. }));
}

#[actix::test]
async fn a_publisher_may_wait_for_the_acks() {
    let world = World::new();
    let acked = vec![SessionId::new("tab").unwrap()];
    let outcome = WaitOutcome { acked, unacked: vec![SessionId::new("phone").unwrap()] };
    world.probe.script().answers.push_back(Ok(Receipt { acked: Some(outcome), ..receipt(7) }));
    let path = format!("{ALICE}?wait=acked&timeout_ms=1234");
    let told = world.call("POST", &path, r#"{"type":"a"}"#).await.json();
    assert_eq!((&told["acked"], &told["unacked"]), (&json!(["tab"]), &json!(["phone"])));
    world.call("POST", &format!("{ALICE}?wait=acked"), r#"{"type":"a"}"#).await;
    let plain = world.call("POST", ALICE, r#"{"type":"a"}"#).await;
    assert!(plain.json().get("acked").is_none());
    let script = world.probe.script();
    let waits: Vec<_> =
        script.submissions.iter().map(|s| s.wait_acked.map(|wait| wait.as_millis())).collect();
    assert_eq!(waits, [Some(1234), Some(5000), None]);
}

#[actix::test]
async fn a_name_in_a_path_is_decoded_once() {
    let world = World::new();
    for (encoded, name) in [
        ("zo%C3%AB%2Fa%20b", "zoë/a b"),
        ("50%2525", "50%25"),
        ("a+b%2Bc", "a+b+c"),
        ("100%25", "100%"),
        ("%252F", "%2F"),
    ] {
        for mount in ["", "/hub"] {
            let path = format!("{mount}/api/v1/users/{encoded}/events");
            assert_eq!(world.call("POST", &path, r#"{"type":"a"}"#).await.status, 201, "{path}");
            assert_eq!(world.probe.script().submissions.pop().unwrap().user.as_str(), name);
        }
    }
}

#[actix::test]
async fn a_batch_is_answered_in_order_and_one_refusal_holds_nobody_up() {
    let world = World::new();
    // One user, so that the probe answers in the order of the batch.
    world.probe.script().answers.extend([
        Ok(receipt(7)),
        Ok(Receipt { duplicate: true, ..receipt(8) }),
        Err(PublishError::Overloaded),
    ]);
    let batch = r#"[{"user":"a","type":"x"},
        ["a","x"], 7, {"type":"x"}, {"user":"","type":"x"},
        {"user":"a","type":"x","data":{"seq":1}}, {"user":"a","type":"secret"},
        {"user":"a","type":"x"}, {"user":"a","type":"x"}]"#;
    let answer = world.call("POST", "/api/v1/events", batch).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json();
    let status: Vec<_> =
        results.as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(status, [201, 422, 422, 422, 422, 422, 403, 200, 503]);
    assert_eq!(results[3]["detail"], "missing field `user`");
    assert_eq!(results[4]["detail"], "user: must not be empty");
    assert_eq!((&results[7]["seq"], &results[7]["duplicate"]), (&json!(8), &json!(true)));
    assert_eq!(results[8]["code"], "overloaded");
}

#[actix::test]
async fn a_batch_of_nothing_is_answered_and_one_too_long_refused() {
    let world = World::with(|config| config.publish.batch_events_max = 2);
    let empty = world.call("POST", "/api/v1/events", "[]").await;
    assert_eq!((empty.status, empty.json()), (200, json!([])));
    for three in [r#"[{"user":"a","type":"x"},{"user":"a","type":"x"},{}]"#, "[1,2,3]"] {
        let refused = world.call("POST", "/api/v1/events", three).await;
        assert_eq!((refused.status, refused.code().as_str()), (413, "batch_too_large"));
    }
    assert!(world.probe.script().submissions.is_empty());
}

#[actix::test]
async fn a_batch_of_which_nothing_could_be_taken_for_now_is_refused_whole() {
    let world = World::new();
    let away = [Err(PublishError::Unavailable), Err(PublishError::Unavailable)];
    world.probe.script().answers.extend(away);
    let batch = r#"[{"user":"a","type":"x"},{"user":"a","type":"x"}]"#;
    let answer = world.call("POST", "/api/v1/events", batch).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert_eq!(answer.header("retry-after"), "1");
}

#[actix::test]
async fn a_broadcast_is_answered_with_how_many_it_is_for() {
    let world = World::new();
    let body = format!(r#"{{"type":"release","data":{{"v":2}},"event_id":"{NAME}"}}"#);
    let answer = world.call("POST", "/api/v1/broadcast", &body).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"event_id": NAME, "users": 3})));
    assert_eq!(world.probe.script().broadcasts[0].0.data.as_ref().unwrap().get(), r#"{"v":2}"#);
    let id = EventId(Uuid::parse_str(NAME).unwrap());
    for (outcome, status) in [
        (Ok(BroadcastOutcome::Duplicate { id, users: 9 }), 202),
        (Ok(BroadcastOutcome::Conflict), 409),
        (Err(StoreError::Overloaded), 503),
        (Err(StoreError::Closed), 503),
    ] {
        world.probe.script().broadcast = outcome;
        let answer = world.call("POST", "/api/v1/broadcast", &body).await;
        assert_eq!(answer.status, status);
        if status == 202 {
            assert_eq!(answer.json(), json!({"event_id": NAME, "users": 9, "duplicate": true}));
        }
    }
}

#[actix::test]
async fn the_host_and_the_accounts_of_a_token_have_a_say() {
    let world = World::new();
    for path in [ALICE, "/api/v1/broadcast"] {
        for (token, body, status) in [
            (KEY, r#"{"type":"secret"}"#, 403),
            ("personal", r#"{"type":"a","account":"business"}"#, 403),
            ("personal", r#"{"type":"a","account":"personal"}"#, 200),
            ("personal", r#"{"type":"a"}"#, 200),
            ("publisher", r#"{"type":"a","account":"business"}"#, 200),
        ] {
            let bearer = format!("Bearer {token}");
            let answer = world.call_with("POST", path, body, &[("authorization", &bearer)]).await;
            match status {
                403 => assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden")),
                _ => assert!(answer.status < 300, "{token} {body}: {}", answer.text),
            }
        }
    }
}
