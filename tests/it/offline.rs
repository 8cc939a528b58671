//! What becomes of events while a session is away, and while the hub is.

use serde_json::json;

use crate::device::Device;
use crate::world::{Stop, TestHub, eventually, on_both};

#[test]
fn a_session_that_was_away_is_told_once_to_do_a_full_sync() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        let receipt = hub.publish("alice", "added", json!({})).await;
        assert_eq!(receipt["sessions"], json!({"live": 0, "offline": 1}));
        hub.publish("alice", "added", json!({})).await;
        let (mut device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(true), &json!(2)));
        device.nothing().await;
        device.cut();
        let (_device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!(ok["need_full_sync"], false);
    });
}

#[test]
fn a_session_that_confirms_is_told_until_it_says_that_it_is_done() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let confirm = || json!({"confirm_sync": true});
        for _ in 0..2 {
            let (device, ok) = Device::attach(&hub, "alice", json!("tab"), confirm()).await;
            assert_eq!(ok["need_full_sync"], true);
            device.cut();
        }
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), confirm()).await;
        // Events go on meanwhile.
        hub.publish("alice", "added", json!({})).await;
        device.acked(1).await;
        device.send(json!({"type": "sync_complete"})).await;
        eventually("the sync is noted", || async {
            hub.sessions("alice").await[0]["need_full_sync"] == false
        })
        .await;
        device.cut();
        let hub = hub.restart(Stop::Drain).await;
        let (_device, ok) = Device::attach(&hub, "alice", json!("tab"), confirm()).await;
        assert_eq!(ok["need_full_sync"], false);
    });
}

#[test]
fn a_replaying_session_gets_what_it_missed_in_order() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.in_flight_max = 8).await;
        let (device, _) = Device::replaying(&hub, "alice", "tab").await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        for n in 1..=30 {
            hub.publish("alice", "added", json!({"n": n})).await;
        }
        let (mut device, ok) = Device::replaying(&hub, "alice", "tab").await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(false), &json!(0)));
        for n in 1..=30 {
            assert_eq!(device.acked(n).await["n"], n);
        }
        hub.publish("alice", "live", json!({})).await;
        assert_eq!(device.acked(31).await["type"], "live");
    });
}

#[test]
fn a_session_that_is_owed_too_much_must_do_a_full_sync() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.retention.owed_events_max = 5).await;
        for (session, events, expected) in [("five", 5, false), ("six", 6, true)] {
            let (device, _) = Device::replaying(&hub, session, session).await;
            device.cut();
            hub.wait_for_live(session, 0).await;
            for _ in 0..events {
                hub.publish(session, "added", json!({})).await;
            }
            let (_device, ok) = Device::replaying(&hub, session, session).await;
            assert_eq!(ok["need_full_sync"], expected, "{session}");
        }
    });
}

#[test]
fn whoever_comes_back_in_time_gets_the_unacked_again() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 60_000).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        hub.publish("alice", "first", json!({})).await;
        hub.publish("alice", "second", json!({})).await;
        let first = device.event(1).await;
        device.acked(2).await;
        eventually("the ack has arrived", || async {
            hub.sessions("alice").await[0]["in_flight"] == 1
        })
        .await;
        device.cut();
        let (mut device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!(ok["need_full_sync"], false);
        assert_eq!(device.acked(1).await, first);
        device.nothing().await;
    });
}

#[test]
fn whoever_does_not_come_back_in_time_must_do_a_full_sync() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 80).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        hub.publish("alice", "added", json!({})).await;
        device.event(1).await;
        device.cut();
        eventually("the next redelivery finds nobody", || async {
            hub.sessions("alice").await[0]["need_full_sync"] == true
        })
        .await;
        let (mut device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(true), &json!(1)));
        device.nothing().await;
    });
}

#[test]
fn a_restart_sends_the_unacked_again_and_the_acked_not() {
    on_both(|database| async move {
        for stop in [Stop::Drop, Stop::Drain] {
            let hub = TestHub::start(database, |_| {}).await;
            let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
            hub.publish("alice", "first", json!({})).await;
            let second = hub.publish("alice", "second", json!({})).await;
            device.acked(1).await;
            device.event(2).await;
            hub.wait_for_floor("tab", 1).await;
            let hub = hub.restart(stop).await;
            let (mut device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
            assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(false), &json!(1)));
            assert_eq!(device.acked(2).await["event_id"], second["event_id"]);
            device.nothing().await;
            let third = hub.publish("alice", "third", json!({})).await;
            assert_eq!(third["seq"], 3);
        }
    });
}

#[test]
fn a_mark_outlives_a_restart() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        hub.publish("alice", "added", json!({})).await;
        let hub = hub.restart(Stop::Drop).await;
        let (_device, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!(ok["need_full_sync"], true);
    });
}

#[test]
fn what_is_past_its_age_is_pruned_and_whoever_missed_it_must_do_a_full_sync() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| {
            config.retention.events_age_s = 1;
            config.retention.prune_interval_ms = 50;
            config.retention.prune_step_max = 3;
        })
        .await;
        let (device, _) = Device::replaying(&hub, "alice", "tab").await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        for _ in 0..10 {
            hub.publish("alice", "added", json!({})).await;
        }
        let token = hub.token("alice");
        let sync = || hub.call_as(Some(&token), "GET", "/api/v1/sync", None, &[]);
        eventually("the log is pruned", || async { sync().await.status == 410 }).await;
        eventually("all of it", || async {
            let page = "/api/v1/sync?cursor=10";
            hub.call_as(Some(&token), "GET", page, None, &[]).await.status == 200
                && sync().await.text.contains("after 10")
        })
        .await;
        assert_eq!(sync().await.body["code"], "cursor_expired");
        let (_device, ok) = Device::replaying(&hub, "alice", "tab").await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(true), &json!(10)));
        assert_eq!(hub.publish("alice", "next", json!({})).await["seq"], 11);
        let hub = hub.restart(Stop::Drop).await;
        assert_eq!(hub.publish("alice", "next", json!({})).await["seq"], 12);
    });
}
