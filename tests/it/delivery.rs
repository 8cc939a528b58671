//! Events arrive, are acked, and come again when they are not.

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::world::{TestHub, eventually, on_both};

#[test]
fn every_device_of_the_user_gets_the_event_and_nobody_else_does() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut phone, _) = Device::attach(&hub, "alice", json!("phone"), json!({})).await;
        let (mut tablet, _) = Device::attach(&hub, "alice", json!("tablet"), json!({})).await;
        let mut plain = Device::plain(&hub, "alice").await;
        let (mut bob, _) = Device::attach(&hub, "bob", json!("bobs"), json!({})).await;
        let receipt = hub.publish("alice", "added", json!({"id": "photo-1", "n": 1.50})).await;
        assert_eq!(receipt["seq"], 1);
        assert_eq!(receipt["sessions"], json!({"live": 3, "offline": 0}));
        let expected = json!({
            "type": "added", "id": "photo-1", "n": 1.5,
            "event_id": receipt["event_id"], "seq": 1,
        });
        assert_eq!(phone.acked(1).await, expected);
        assert_eq!(tablet.acked(1).await, expected);
        assert_eq!(plain.event(1).await, expected);
        bob.nothing().await;
    });
}

#[test]
fn an_unacked_event_comes_again_under_the_same_name_and_an_acked_one_does_not() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 60).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        hub.publish("alice", "first", json!({})).await;
        hub.publish("alice", "second", json!({})).await;
        let first = device.event(1).await;
        device.acked(2).await;
        for _ in 0..3 {
            assert_eq!(device.event(1).await, first);
        }
        device.ack(&first).await;
        // One copy may have crossed the ack.
        eventually("the ack has settled it", || async {
            hub.sessions("alice").await[0]["cursor"] == 2
        })
        .await;
        hub.publish("alice", "third", json!({})).await;
        while device.next().await["seq"] != 3 {}
    });
}

#[test]
fn whoever_never_acks_is_given_up_and_starts_over_with_a_full_sync() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| {
            config.delivery.ack_wait_ms = 40;
            config.delivery.redeliveries_max = 3;
        })
        .await;
        let (mut device, _) = Device::replaying(&hub, "alice", "tab").await;
        hub.publish("alice", "added", json!({})).await;
        let first = device.event(1).await;
        for _ in 0..3 {
            assert_eq!(device.event(1).await, first);
        }
        device.closed(4408).await;
        assert_eq!(hub.sessions("alice").await.len(), 0);
        let (mut device, ok) = Device::replaying(&hub, "alice", "tab").await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(true), &json!(1)));
        device.nothing().await;
    });
}

#[test]
fn acks_by_name_by_names_and_up_to_a_place_all_settle() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 100).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        for _ in 0..6 {
            hub.publish("alice", "added", json!({})).await;
        }
        let mut ids = Vec::new();
        for seq in 1..=6 {
            ids.push(device.event(seq).await["event_id"].clone());
        }
        device.send(json!({"type": "ack", "event_id": ids[0]})).await;
        device.send(json!({"type": "ack", "event_ids": [ids[1], ids[2], "unheard of"]})).await;
        device.send(json!({"type": "ack", "up_to": 6})).await;
        device.send(json!({"type": "ack", "up_to": 2})).await;
        eventually("everything is settled", || async {
            let session = &hub.sessions("alice").await[0];
            session["cursor"] == 6 && session["pending"] == 0
        })
        .await;
        device.nothing().await;
    });
}

#[test]
fn no_more_than_the_window_is_in_flight_and_the_rest_follows_in_order() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.in_flight_max = 4).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        for n in 0..20 {
            hub.publish("alice", "added", json!({"n": n})).await;
        }
        let mut waiting = Vec::new();
        for seq in 1..=4 {
            waiting.push(device.event(seq).await);
        }
        device.nothing().await;
        for event in &waiting {
            device.ack(event).await;
        }
        for seq in 5..=20 {
            assert_eq!(device.acked(seq).await["n"], seq - 1);
        }
    });
}

#[test]
fn the_excluded_session_does_not_get_it_now_or_later() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (cause, _) = Device::replaying(&hub, "alice", "cause").await;
        let (mut other, _) = Device::replaying(&hub, "alice", "other").await;
        let path = "/api/v1/users/alice/events";
        let excluding = json!({"type": "mine", "exclude_session": "cause"});
        let answer = hub.call("POST", path, Some(excluding.clone())).await;
        assert_eq!(answer.body["sessions"], json!({"live": 1, "offline": 0}));
        other.acked(1).await;
        cause.cut();
        hub.wait_for_live("alice", 1).await;
        hub.call("POST", path, Some(excluding)).await;
        hub.publish("alice", "all", json!({})).await;
        let (mut cause, _) = Device::replaying(&hub, "alice", "cause").await;
        assert_eq!(cause.acked(3).await["type"], "all");
        cause.nothing().await;
    });
}

#[test]
fn an_ephemeral_event_is_for_whoever_is_there_and_leaves_no_trace() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 40).await;
        let (mut device, _) = Device::replaying(&hub, "alice", "tab").await;
        let (away, _) = Device::replaying(&hub, "alice", "away").await;
        away.cut();
        hub.wait_for_live("alice", 1).await;
        let body = json!({"type": "typing", "ephemeral": true});
        let answer = hub.call("POST", "/api/v1/users/alice/events", Some(body)).await;
        assert_eq!((answer.status, &answer.body["seq"]), (201, &json!(null)));
        let event = device.next().await;
        let expected = json!({"type": "typing", "event_id": answer.body["event_id"]});
        assert_eq!(event, expected);
        device.nothing().await;
        let (mut away, ok) = Device::replaying(&hub, "alice", "away").await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(false), &json!(0)));
        away.nothing().await;
    });
}

#[test]
fn an_event_past_its_time_is_not_delivered() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (away, _) = Device::replaying(&hub, "alice", "away").await;
        away.cut();
        hub.wait_for_live("alice", 0).await;
        let body = json!({"type": "old", "ttl_ms": 1});
        hub.call("POST", "/api/v1/users/alice/events", Some(body)).await;
        hub.publish("alice", "fresh", json!({})).await;
        let (mut away, _) = Device::replaying(&hub, "alice", "away").await;
        assert_eq!(away.acked(2).await["type"], "fresh");
        let page = hub.call_as(Some(&hub.token("alice")), "GET", "/api/v1/sync", None, &[]).await;
        assert_eq!(page.body["events"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn waiting_for_acks_tells_who_acked_and_who_did_not() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut quick, _) = Device::attach(&hub, "alice", json!("quick"), json!({})).await;
        let (_slow, _) = Device::attach(&hub, "alice", json!("slow"), json!({})).await;
        let path = "/api/v1/users/alice/events?wait=acked&timeout_ms=300";
        let publish = hub.call("POST", path, Some(json!({"type": "added"})));
        let (answer, _) = tokio::join!(publish, quick.acked(1));
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.body["acked"], json!(["quick"]));
        assert_eq!(answer.body["unacked"], json!(["slow"]));
    });
}

#[test]
fn everything_overdue_is_sent_again_together_and_in_order() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 300).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        for n in 1..=5 {
            hub.publish("alice", "added", json!({ "n": n })).await;
        }
        let mut first = Vec::new();
        for seq in 1..=5 {
            first.push(device.event(seq).await["event_id"].clone());
        }
        for seq in 1..=5_i64 {
            let again = device.event(seq).await;
            assert_eq!(again["event_id"], first[usize::try_from(seq - 1).unwrap()]);
        }
    });
}

#[test]
fn a_token_that_lists_accounts_gets_no_event_of_another() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let personal = hub.token_with("alice", json!({"accounts": ["personal"]}));
        let mut limited = Device::connect(&hub).await;
        let offline = json!({"offline": "replay"});
        limited.auth(&personal, json!("limited"), offline.clone()).await;
        let mut plain = Device::connect(&hub).await;
        plain.send(json!({"type": "auth", "token": personal})).await;
        assert_eq!(plain.next().await["type"], "auth_success");
        let (mut all, _) = Device::replaying(&hub, "alice", "all").await;
        let publish = async |kind: &str, account: Option<&str>| {
            let body = json!({"type": kind, "account": account});
            let answer = hub.call("POST", "/api/v1/users/alice/events", Some(body)).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
        };
        publish("deal", Some("business")).await;
        publish("photo", Some("personal")).await;
        publish("release", None).await;
        for (seq, kind) in [(1, "deal"), (2, "photo"), (3, "release")] {
            assert_eq!(all.acked(seq).await["type"], kind);
        }
        for (seq, kind) in [(2, "photo"), (3, "release")] {
            assert_eq!(limited.acked(seq).await["type"], kind);
            assert_eq!(plain.event(seq).await["type"], kind);
        }
        eventually("the acks have arrived", || async {
            hub.sessions("alice").await.iter().all(|session| session["pending"] == 0)
        })
        .await;
        // What is collected while it is away, and what was in flight, is sifted all the same.
        limited.cut();
        all.cut();
        hub.wait_for_live("alice", 1).await;
        publish("deal", Some("business")).await;
        publish("photo", Some("personal")).await;
        let mut limited = Device::connect(&hub).await;
        limited.auth(&personal, json!("limited"), json!({})).await;
        assert_eq!(limited.acked(5).await["type"], "photo");
        limited.nothing().await;
        let (mut all, _) = Device::replaying(&hub, "alice", "all").await;
        all.event(4).await;
        all.cut();
        let mut all = Device::connect(&hub).await;
        all.auth(&personal, json!("all"), json!({})).await;
        assert_eq!(all.acked(5).await["type"], "photo");
        all.nothing().await;
    });
}

#[test]
fn an_ack_right_before_the_end_of_its_connection_counts() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        for session in ["one", "two", "three"] {
            let (mut device, _) = Device::attach(&hub, "alice", json!(session), json!({})).await;
            let receipt = hub.publish("alice", "added", json!({})).await;
            assert_eq!(device.next().await["seq"], receipt["seq"]);
            let ack = json!({"type": "ack", "event_id": receipt["event_id"]});
            // Both in one write, as a client does that acks and goes.
            device.socket.feed(Message::text(ack.to_string())).await.unwrap();
            device.socket.close(None).await.unwrap();
            hub.wait_for_live("alice", 0).await;
            let sessions = hub.sessions("alice").await;
            let status = sessions.iter().find(|known| known["session_id"] == session).unwrap();
            assert_eq!(status["cursor"], receipt["seq"], "{status}");
            let path = format!("/api/v1/users/alice/sessions/{session}");
            assert_eq!(hub.call("DELETE", &path, None).await.status, 204);
        }
    });
}
