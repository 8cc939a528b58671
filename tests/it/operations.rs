//! Running a hub: sessions, revoking, traces, health, draining.

use std::time::Duration;

use serde_json::json;
use staffetta::config::{Config, PageEnabled};

use crate::device::Device;
use crate::world::{Database, Stop, TestHub, eventually, on_both};

#[test]
fn sessions_are_listed_with_what_they_are_owed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut device, _) = Device::replaying(&hub, "alice", "tab").await;
        hub.publish("alice", "a", json!({})).await;
        hub.publish("alice", "b", json!({})).await;
        device.acked(1).await;
        device.event(2).await;
        eventually("one of two is acked", || async {
            let session = &hub.sessions("alice").await[0];
            session["cursor"] == 1 && session["pending"] == 1 && session["in_flight"] == 1
        })
        .await;
        let session = &hub.sessions("alice").await[0];
        assert_eq!(session["session_id"], "tab");
        assert_eq!(session["offline"], "replay");
        assert_eq!(session["connection"]["dialect"], "native");
        assert!(session["last_ack_at"].as_i64().unwrap() > 1_700_000_000_000);
        assert_eq!(hub.sessions("nobody").await.len(), 0);
    });
}

#[test]
fn a_revoked_session_is_closed_and_forgotten() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let path = "/api/v1/users/alice/sessions/tab";
        assert_eq!(hub.call("DELETE", path, None).await.status, 204);
        device.closed(4403).await;
        assert_eq!(hub.call("DELETE", path, None).await.status, 404);
        assert_eq!(hub.call("DELETE", "/api/v1/users/bob/sessions/tab", None).await.status, 404);
        let hub = hub.restart(Stop::Drain).await;
        assert_eq!(hub.sessions("alice").await.len(), 0);
        let (_device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!(ok["need_full_sync"], true);
    });
}

#[test]
fn a_trace_tells_what_became_of_an_event() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 60).await;
        let (mut acking, _) = Device::replaying(&hub, "alice", "acking").await;
        let (mut silent, _) = Device::replaying(&hub, "alice", "silent").await;
        let receipt = hub.publish("alice", "a", json!({})).await;
        acking.acked(1).await;
        silent.event(1).await;
        silent.event(1).await;
        let path = format!("/api/v1/events/{}/trace", receipt["event_id"].as_str().unwrap());
        eventually("the ack is in the trace", || async {
            hub.call("GET", &path, None).await.text.contains("\"acked\",")
        })
        .await;
        let trace = hub.call("GET", &path, None).await.body;
        let of = |session: &str| {
            let deliveries = trace["deliveries"].as_array().unwrap();
            deliveries.iter().find(|d| d["session_id"] == session).unwrap().clone()
        };
        assert_eq!(of("acking")["state"], "acked");
        assert!(of("acking")["acked"].is_i64());
        assert_eq!(of("silent")["state"], "in_flight");
        assert!(of("silent")["redeliveries"].as_i64().unwrap() >= 1);
        let hub = hub.restart(Stop::Drain).await;
        let after = hub.call("GET", &path, None).await;
        assert!(
            after.text.contains("\"settled\"") && after.text.contains("\"owed\""),
            "{}",
            after.text
        );
        let unknown = format!("/api/v1/events/{}/trace", uuid::Uuid::now_v7());
        assert_eq!(hub.call("GET", &unknown, None).await.status, 404);
    });
}

#[test]
fn health_readiness_metrics_and_the_description_are_served() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let get = |path: &'static str| hub.call_as(None, "GET", path, None, &[]);
        assert_eq!(get("/healthz").await.body, json!({"status": "ok"}));
        assert_eq!(get("/readyz").await.status, 200);
        hub.publish("alice", "a", json!({})).await;
        let metrics = get("/metrics").await.text;
        assert!(metrics.contains("staffetta_group_commit_events_count 1"), "{metrics}");
        let described = get("/api/v1/openapi.json").await.body;
        for path in [
            "/api/v1/users/{user}/events",
            "/api/v1/events",
            "/api/v1/broadcast",
            "/api/v1/sync",
            "/api/v1/users/{user}/sessions",
            "/api/v1/users/{user}/sessions/{session}",
            "/api/v1/events/{event_id}/trace",
            "/healthz",
            "/readyz",
            "/metrics",
        ] {
            assert!(described["paths"][path].is_object(), "{path} is not described");
        }
        assert_eq!(described["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    });
}

#[test]
fn a_drain_tells_everyone_to_come_back_and_loses_nothing() {
    on_both(|database| async move {
        let mut hub = TestHub::start(database, |_| {}).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let receipt = hub.publish("alice", "a", json!({})).await;
        device.event(1).await;
        let mut others = Vec::new();
        for n in 0..50 {
            others.push(Device::plain(&hub, &format!("user-{n}")).await);
        }
        let started = staffetta::clock::now();
        let coming_back = async {
            let frame = device.next().await;
            assert_eq!(frame["type"], "reconnect");
            assert!(frame["retry_after_ms"].as_u64().unwrap() >= 250);
            device.closed(1012).await;
            for mut other in others {
                assert_eq!(other.next().await["type"], "reconnect");
                other.closed(1012).await;
            }
        };
        let config = hub.config.clone();
        tokio::join!(hub.end(Stop::Drain), coming_back);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(config.server.drain_ms, 100);
        let hub = hub.restart(Stop::Drain).await;
        let (mut device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!(ok["need_full_sync"], false);
        assert_eq!(device.acked(1).await["event_id"], receipt["event_id"]);
    });
}

#[test]
fn plain_requests_to_the_root_are_for_the_demo_or_not_the_hubs() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let off = |config: &mut Config| config.demo.enabled = PageEnabled::Off;
        let hub = TestHub::start(Database::Sqlite, off).await;
        let answer = hub.call_as(None, "GET", "/", None, &[]).await;
        assert_eq!(answer.status, 404);
        let hub = TestHub::start(Database::Sqlite, |_| {}).await;
        let answer = hub.call_as(None, "GET", "/", None, &[]).await;
        assert!(answer.text.contains("Staffetta demo"), "led there: {}", answer.status);
    });
}
