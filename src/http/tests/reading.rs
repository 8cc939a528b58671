//! Catching up, administration, health, and the description.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::OpenApi;
use uuid::Uuid;

use super::world::{KEY, World};
use crate::delivery::messages::{DeliveryTrace, DropReason, Revoked, SessionStatus};
use crate::dialect::DialectKind;
use crate::http::event_body::{Addressing, EventBody};
use crate::http::mounts;
use crate::http::openapi::Api;
use crate::persistence::messages::{LogPage, StoreError, StoredEvent};
use crate::protocol::{
    ConnectionId, Event, EventContent, EventId, NewEvent, OfflinePolicy, Seq, SessionId,
    SessionRecord, Timestamp, UserId,
};

fn event(seq: i64, new: NewEvent) -> Event {
    let id = EventId(Uuid::from_u128(seq as u128));
    Event::at(Seq(seq), Arc::new(EventContent::fix(new, id, Timestamp(1_000))))
}

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

#[actix::test]
async fn a_page_of_the_log_spells_events_as_the_native_dialect_does() {
    let world = World::new();
    let data = RawValue::from_string("{ \"n\" : 1.0 }".to_owned()).unwrap();
    let events = vec![
        event(3, NewEvent { data: Some(data), ..NewEvent::new("added") }),
        event(5, NewEvent::new("removed")),
    ];
    let spelled: Vec<_> =
        events.iter().map(|event| DialectKind::Native.dialect().encode_event(event)).collect();
    let page = LogPage { events, cursor: Seq(6), more: true, pruned: Seq(2) };
    world.probe.script().page = Ok(page);
    let answer = world.call_as("alice", "GET", "/api/v1/sync?cursor=2&limit=2").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let page = answer.json();
    assert_eq!((&page["cursor"], &page["more"]), (&json!(6), &json!(true)));
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    for spelled in &spelled {
        assert!(answer.text.contains(spelled.as_str()), "{spelled} in {}", answer.text);
    }
    let asked = world.probe.script().pages_asked.pop().unwrap();
    assert_eq!((asked.0.as_str(), asked.1, asked.2), ("alice", Seq(2), 2));
}

#[actix::test]
async fn a_page_holds_no_event_of_an_account_the_token_does_not_list() {
    let world = World::new();
    let of = |seq, account: Option<&str>| {
        event(seq, NewEvent { account: account.map(str::to_owned), ..NewEvent::new("added") })
    };
    let events = vec![of(1, Some("business")), of(2, Some("personal")), of(3, None)];
    world.probe.script().page = Ok(LogPage { events, cursor: Seq(3), ..LogPage::default() });
    let page = world.call_as("personal", "GET", "/api/v1/sync").await.json();
    let seqs: Vec<_> = page["events"].as_array().unwrap().iter().map(|e| &e["seq"]).collect();
    assert_eq!((seqs, &page["cursor"]), (vec![&json!(2), &json!(3)], &json!(3)));
    let page = world.call_as("alice", "GET", "/api/v1/sync").await.json();
    assert_eq!(page["events"].as_array().unwrap().len(), 3);
}

#[actix::test]
async fn a_cursor_the_log_does_not_reach_back_to_has_expired() {
    let world = World::new();
    let page = LogPage { pruned: Seq(10), cursor: Seq(10), ..LogPage::default() };
    world.probe.script().page = Ok(page);
    let expired = world.call_as("alice", "GET", "/api/v1/sync?cursor=9").await;
    assert_eq!((expired.status, expired.code().as_str()), (410, "cursor_expired"));
    assert_eq!(world.call_as("alice", "GET", "/api/v1/sync?cursor=10").await.status, 200);
    assert_eq!(world.call_as("alice", "GET", "/api/v1/sync").await.status, 410);
}

#[actix::test]
async fn the_query_of_a_sync_is_checked() {
    let world = World::new();
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1&limit=2",
        "cursor=-1",
        "cursor=x",
        "cursor=",
        "page=2",
        "cursor=9223372036854775808",
    ] {
        let answer = world.call_as("alice", "GET", &format!("/api/v1/sync?{query}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_field"), "{query}");
    }
    assert!(world.probe.script().pages_asked.is_empty());
    world.call_as("alice", "GET", "/api/v1/sync?limit=1000&cursor=9223372036854775807").await;
    world.call_as("alice", "GET", "/api/v1/sync").await;
    let limits: Vec<_> = world.probe.script().pages_asked.iter().map(|asked| asked.2).collect();
    assert_eq!(limits, [1000, 100]);
}

#[actix::test]
async fn sessions_are_listed_and_revoked() {
    let world = World::new();
    let connection = ConnectionId { worker: 0, place: 4, generation: 1 };
    world.probe.script().sessions = Some(vec![SessionStatus {
        session: Some(session("tab")),
        connection: Some((connection, DialectKind::Native)),
        policy: Some(OfflinePolicy::Replay),
        need_full_sync: false,
        floor: Seq(41),
        pending: 2,
        in_flight: 1,
        created_at: Timestamp(1_000),
        acked_at: Some(Timestamp(2_000)),
    }]);
    let listed = world.call_as("admin", "GET", "/hub/api/v1/users/zo%C3%AB/sessions").await;
    assert_eq!(
        listed.json(),
        json!([{
            "session_id": "tab", "connection": {"id": "0.4.1", "dialect": "native"},
            "offline": "replay", "need_full_sync": false, "cursor": 41, "pending": 2,
            "in_flight": 1, "created_at": 1_000, "last_ack_at": 2_000,
        }])
    );
    let path = "/api/v1/users/zo%C3%AB/sessions/a%2Fb";
    for (revoked, status) in
        [(Revoked::Forgotten, 204), (Revoked::Unknown, 404), (Revoked::Unavailable, 503)]
    {
        world.probe.script().revoked = revoked;
        let answer = world.call_as("admin", "DELETE", path).await;
        assert_eq!(answer.status, status);
        if status != 204 {
            answer.code();
        }
    }
    let asked = world.probe.script().revocations.pop().unwrap();
    assert_eq!((asked.0.as_str(), asked.1.as_str()), ("zoë", "a/b"));
    world.probe.script().sessions = None;
    let away = world.call_as("admin", "GET", "/api/v1/users/alice/sessions").await;
    assert_eq!((away.status, away.code().as_str()), (503, "unavailable"));
}

/// Event 7 as alice's log holds it, without the session `sender`, and these sessions.
fn stored(sessions: [(&str, i64); 4]) -> StoredEvent {
    let record = |(name, floor): (&str, i64)| SessionRecord {
        id: session(name),
        floor: Seq(floor),
        need_full_sync: false,
        policy: OfflinePolicy::FullSync,
        created_at: Timestamp(if name == "younger" { 2_000 } else { 500 }),
        seen_at: Timestamp(500),
        acked_at: None,
        accounts: None,
    };
    StoredEvent {
        user: UserId::new("alice").unwrap(),
        event: event(7, NewEvent::new("added").exclude_session(session("sender"))),
        live: 1,
        offline: 1,
        sessions: sessions.map(record).into(),
    }
}

#[actix::test]
async fn a_trace_joins_what_is_remembered_with_what_the_log_tells() {
    let world = World::new();
    let remembered = |name: &str, sent: &[i64], acked: Option<i64>, dropped| DeliveryTrace {
        user: UserId::new("alice").unwrap(),
        session: Some(session(name)),
        seq: Some(Seq(7)),
        published_at: Timestamp(999),
        durable_at: Some(Timestamp(1_000)),
        queued_at: Timestamp(1_000),
        sent_at: sent.iter().map(|&at| Timestamp(at)).collect(),
        acked_at: acked.map(Timestamp),
        dropped,
    };
    let found = stored([("tab", 7), ("settled", 7), ("younger", 7), ("sender", 3)]);
    world.probe.script().traces = vec![
        remembered("tab", &[1_001, 4_001, 7_001], Some(7_050), None),
        remembered("mute", &[1_001], None, Some((Timestamp(9_000), DropReason::GaveUp))),
    ];
    world.probe.script().found = Ok(vec![found]);
    let path = format!("/api/v1/events/{}/trace", Uuid::from_u128(7));
    let trace = world.call_as("admin", "GET", &path).await.json();
    let deliveries = trace["deliveries"].as_array().unwrap();
    let names: Vec<_> = deliveries.iter().map(|d| d["session_id"].as_str().unwrap()).collect();
    assert_eq!(names, ["tab", "mute", "settled"]);
    assert_eq!(
        deliveries[0],
        json!({
            "user": "alice", "session_id": "tab", "seq": 7, "state": "acked", "published": 999,
            "durable": 1_000, "queued": 1_000, "sent": [1_001, 4_001, 7_001], "redeliveries": 2,
            "acked": 7_050, "dropped": null, "timeline": [
                {"at": 999, "step": "published"}, {"at": 1_000, "step": "durable"},
                {"at": 1_001, "step": "sent"}, {"at": 4_001, "step": "retried"},
                {"at": 7_001, "step": "retried"}, {"at": 7_050, "step": "acked"},
            ],
        })
    );
    assert_eq!(deliveries[1]["state"], "dropped");
    assert_eq!(deliveries[1]["dropped"], "gave_up");
    let last = json!({"at": 9_000, "step": "dropped", "reason": "gave_up"});
    assert_eq!(deliveries[1]["timeline"][3], last);
    assert_eq!(deliveries[2]["state"], "settled");
    assert_eq!(deliveries[2]["sent"], json!([]));
}

#[actix::test]
async fn a_trace_of_nothing_is_not_found_and_one_of_no_uuid_refused() {
    let world = World::new();
    let path = format!("/api/v1/events/{}/trace", Uuid::from_u128(7));
    let unknown = world.call_as("admin", "GET", &path).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "not_found"));
    let bad = world.call_as("admin", "GET", "/api/v1/events/seven/trace").await;
    assert_eq!((bad.status, bad.code().as_str()), (422, "invalid_field"));
    world.probe.script().found = Err(StoreError::Database("at db.internal".to_owned()));
    let away = world.call_as("admin", "GET", &path).await;
    assert_eq!((away.status, away.code().as_str()), (503, "unavailable"));
    assert!(!away.text.contains("db.internal"));
}

#[actix::test]
async fn health_and_readiness_are_told_apart() {
    let world = World::new();
    let get = async |path: &'static str| world.call_with("GET", path, "", &[]).await;
    let alive = get("/healthz").await;
    assert_eq!((alive.status, alive.json()), (200, json!({"status": "ok"})));
    let ready = get("/hub/readyz").await;
    let checks = json!({"database": "ok", "draining": "ok", "threads": "ok"});
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ok", "checks": checks})));
    world.drain().await;
    let draining = get("/readyz").await;
    assert_eq!((draining.status, &draining.json()["status"]), (503, &json!("unavailable")));
    world.probe.script().health = Err(StoreError::Closed);
    assert_eq!(get("/readyz").await.json()["checks"]["database"], "unavailable");
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(world.call_with("HEAD", "/healthz", "", &[]).await.status, 200);
    let metrics = get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    assert!(metrics.text.contains("staffetta_events_published_total 0"), "{}", metrics.text);
    assert!(metrics.text.ends_with("# EOF\n"));
}

#[actix::test]
async fn a_hub_that_lost_a_thread_asks_to_be_started_anew() {
    let world = World::that_has_ended();
    let get = async |path: &'static str| world.call_with("GET", path, "", &[]).await;
    let health = get("/healthz").await;
    assert_eq!((health.status, health.json()), (503, json!({"status": "unavailable"})));
    let ready = get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["checks"]["threads"]), (503, &json!("ended")));
}

#[actix::test]
async fn a_store_that_never_answers_makes_nobody_wait_for_ever() {
    tokio::time::pause();
    let world = World::new();
    world.probe.script().store_is_stuck = true;
    let ready = world.call_with("GET", "/readyz", "", &[]).await;
    assert_eq!((ready.status, &ready.json()["checks"]["database"]), (503, &json!("unavailable")));
    let sync = world.call_as("alice", "GET", "/api/v1/sync").await;
    assert_eq!((sync.status, sync.code().as_str()), (503, "unavailable"));
    let path = format!("/api/v1/events/{}/trace", Uuid::from_u128(7));
    assert_eq!(world.call_as(KEY, "GET", &path).await.status, 503);
}

#[actix::test]
async fn the_description_has_every_mounted_path_and_no_other() {
    let world = World::new();
    let described = world.call_with("GET", "/api/v1/openapi.json", "", &[]).await.json();
    let mounted: BTreeSet<_> = mounts()
        .into_iter()
        .flat_map(|mount| {
            let methods = mount.routes.into_iter().map(|(method, _)| method);
            methods.map(move |method| (mount.path.to_owned(), method.as_str().to_ascii_lowercase()))
        })
        .collect();
    let mut found = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        found.extend(item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
    }
    assert_eq!(found, mounted);
    assert_eq!(described["servers"], json!([{"url": "/"}]));
    let embedded = world.call_with("GET", "/hub/api/v1/openapi.json", "", &[]).await.json();
    assert_eq!(embedded["servers"], json!([{"url": "/hub"}]));
}

#[test]
fn every_described_call_says_how_it_authenticates_and_what_it_refuses() {
    let api = serde_json::to_value(Api::openapi()).unwrap();
    let mut references = Vec::new();
    collect_references(&api, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        assert!(api.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for (path, item) in api["paths"].as_object().unwrap() {
        let needs_token = path.starts_with("/api/v1") && !path.ends_with("openapi.json");
        for (method, operation) in item.as_object().unwrap() {
            assert_eq!(operation["security"].is_array(), needs_token, "{method} {path}");
            for status in ["401", "403", "422", "503"] {
                let content = &operation["responses"][status]["content"];
                let refuses = content["application/problem+json"].is_object();
                assert_eq!(refuses, needs_token, "{status} of {method} {path}");
            }
        }
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            fields.values().for_each(|field| collect_references(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[actix::test]
async fn every_described_request_is_one_the_api_takes() {
    let world = World::new();
    let api = serde_json::to_value(Api::openapi()).unwrap();
    let mut sent = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        let content = &item["post"]["requestBody"]["content"]["application/json"];
        // What a device asks of its own session is held against a real store, in tests/it.
        if content.is_null() || path.ends_with("/push") {
            continue;
        }
        let body = content["example"].to_string();
        let answer = world.call("POST", &path.replace("{user}", "alice"), &body).await;
        assert!(answer.status < 300, "{path}: {body}: {}", answer.text);
        assert!(!answer.text.contains("\"code\""), "{path}: {}", answer.text);
        sent += 1;
    }
    assert_eq!(sent, 5);
    let schemas = &api["components"]["schemas"];
    let example = schemas["EventBody"]["example"].to_string();
    assert!(EventBody::parse(example.as_bytes(), Addressing::ByPath).is_ok(), "{example}");
    let example = format!("[{}]", schemas["BatchEvent"]["example"]);
    assert!(EventBody::parse_batch(example.as_bytes(), 1).unwrap()[0].is_ok(), "{example}");
}

#[test]
fn the_description_lists_every_field_an_event_may_have() {
    let api = serde_json::to_value(Api::openapi()).unwrap();
    let event = &api["components"]["schemas"]["EventBody"];
    let fields: BTreeSet<_> = event["properties"].as_object().unwrap().keys().cloned().collect();
    for field in &fields {
        let body = format!(r#"{{"type":"a","{field}":null}}"#);
        let told = EventBody::parse(body.as_bytes(), Addressing::ByPath).err();
        let told = told.map(|error| error.detail).unwrap_or_default();
        assert!(!told.contains("unknown field"), "{field}: {told}");
    }
    let unknown = EventBody::parse(br#"{"type":"a","x":1}"#, Addressing::ByPath);
    assert_eq!(unknown.err().unwrap().detail, "unknown field `x`");
    assert_eq!(fields.len(), 10, "{fields:?}");
    assert_eq!(event["required"], json!(["type"]));
    assert_eq!(event["additionalProperties"], false);
}
