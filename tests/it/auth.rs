//! Who gets in, as whom, and who is turned away.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use staffetta::{Config, Hub, HubError, clock};

use crate::device::Device;
use crate::world::{TestHub, eventually, on_both};

#[test]
fn a_first_session_has_nothing_yet_and_the_same_session_again_has_everything() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (device, ok) = Device::attach(&hub, "alice", json!(null), json!({})).await;
        assert_eq!((&ok["user"], &ok["need_full_sync"]), (&json!("alice"), &json!(true)));
        assert_eq!(ok["cursor"], 0);
        device.cut();
        let (_device, again) =
            Device::attach(&hub, "alice", ok["session_id"].clone(), json!({})).await;
        assert_eq!(again["session_id"], ok["session_id"]);
        assert_eq!(again["need_full_sync"], false);
    });
}

#[test]
fn an_unknown_name_is_taken_and_another_users_name_is_not_revealed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (_alice, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!((&ok["session_id"], &ok["need_full_sync"]), (&json!("tab"), &json!(true)));
        let (_mallory, ok) = Device::attach(&hub, "mallory", json!("tab"), json!({})).await;
        assert_ne!(ok["session_id"], "tab");
        assert_eq!((&ok["user"], &ok["need_full_sync"]), (&json!("mallory"), &json!(true)));
        assert_eq!(hub.sessions("alice").await.len(), 1);
    });
}

#[test]
fn a_plain_session_gets_its_secret() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let token = hub.token("alice");
        let mut device = Device::connect(&hub).await;
        let before = clock::wall().0 / 300_000;
        device.send(json!({"type": "auth", "token": token})).await;
        let success = device.next().await;
        let after = clock::wall().0 / 300_000;
        let secret = |window: i64| {
            hex::encode(Sha256::digest(format!("{token}:alice:{}", window * 300_000)).as_slice())
        };
        assert_eq!(success["type"], "auth_success");
        assert_eq!(success["message"], "Authentication successful");
        assert_eq!(success["userId"], "alice");
        let given = success["sessionSecret"].as_str().unwrap();
        assert!([secret(before), secret(after)].contains(&given.to_owned()));
    });
}

#[test]
fn a_bad_token_and_an_expired_one_are_refused_each_in_its_own_words() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.auth.leeway_s = 0).await;
        let expired = hub.token_for("alice", &[], Duration::ZERO);
        for (token, message, reason) in [
            ("nonsense", "Authentication failed", "auth-failed"),
            (expired.as_str(), "Token expired", "token-expired"),
        ] {
            let mut device = Device::connect(&hub).await;
            let refused = device.auth(token, json!(null), json!({})).await;
            let expected = json!({"type": "auth_failed", "message": message, "reason": reason});
            assert_eq!(refused, expected);
            device.closed(4401).await;
        }
    });
}

#[test]
fn two_auths_in_a_row_are_answered_twice_and_another_users_token_ends_the_connection() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut device, first) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let second = device.auth(&hub.token("alice"), json!("tab"), json!({})).await;
        assert_eq!((&second["type"], &second["session_id"]), (&json!("auth_ok"), &json!("tab")));
        assert_eq!(first["need_full_sync"], true);
        let refused = device.auth(&hub.token("bob"), json!("tab"), json!({})).await;
        assert_eq!(refused["type"], "auth_failed");
        device.closed(4401).await;

        let mut plain = Device::plain(&hub, "alice").await;
        plain.send(json!({"type": "auth", "token": hub.token("alice")})).await;
        assert_eq!(plain.next().await["type"], "auth_success");
    });
}

#[test]
fn a_token_may_come_with_the_upgrade() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let token = hub.token("alice");
        let bearer = format!("Bearer {token}");
        let mut device =
            Device::connect_to(&hub, "/ws", &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(device.next().await["type"], "connection_established");
        assert_eq!(device.next().await["type"], "auth_success");
        device.send(json!({"type": "auth", "session_id": "tab"})).await;
        assert_eq!(device.next().await["session_id"], "tab");

        let pair = format!("bearer, {token}");
        let protocol = [("sec-websocket-protocol", pair.as_str())];
        let mut device = Device::connect_to(&hub, "/?session_id=other", &protocol).await.unwrap();
        assert_eq!(device.next().await["type"], "connection_established");
        let ok = device.next().await;
        assert_eq!((&ok["type"], &ok["session_id"]), (&json!("auth_ok"), &json!("other")));
    });
}

#[test]
fn whoever_says_nothing_in_time_is_sent_away() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.ws.auth_timeout_ms = 100).await;
        let mut device = Device::connect(&hub).await;
        let timeout = json!({
            "type": "error",
            "message": "Authentication timeout. Connection will be closed.",
        });
        assert_eq!(device.next().await, timeout);
        device.closed(4401).await;
    });
}

#[test]
fn a_newer_connection_of_a_session_takes_over() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut old, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let (mut new, ok) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        assert_eq!(ok["need_full_sync"], false);
        old.closed(4409).await;
        hub.publish("alice", "added", json!({})).await;
        new.acked(1).await;
    });
}

#[test]
fn one_connection_too_many_is_closed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |c| c.limits.connections_per_user_max = 2).await;
        let _first = Device::plain(&hub, "alice").await;
        let _second = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let mut third = Device::connect(&hub).await;
        let refused = third.auth(&hub.token("alice"), json!(null), json!({})).await;
        let expected =
            json!({"type": "error", "message": "Maximum connections exceeded for this user"});
        assert_eq!(refused, expected);
        third.closed(4429).await;
        Device::plain(&hub, "bob").await;
        // Taking over a session's connection is not one more.
        Device::attach(&hub, "alice", json!("tab"), json!({})).await;
    });
}

#[test]
fn the_end_of_a_token_ends_its_connection_unless_renewed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| {
            config.auth.on_expiry = staffetta::config::OnExpiry::Close;
            config.auth.leeway_s = 0;
            config.ws.close_grace_ms = 100;
        })
        .await;
        let short = || hub.token_for("alice", &[], Duration::from_secs(2));
        let mut ended = Device::connect(&hub).await;
        ended.auth(&short(), json!("a"), json!({})).await;
        let mut renewed = Device::connect(&hub).await;
        renewed.auth(&short(), json!("b"), json!({})).await;
        renewed.auth(&hub.token("alice"), json!("b"), json!({})).await;
        ended.closed(4401).await;
        renewed.send(json!({"type": "ping"})).await;
        assert_eq!(renewed.next().await["type"], "pong");
    });
}

#[test]
fn a_hub_with_an_empty_api_key_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.database.url = format!("sqlite://{}", folder.path().join("hub.db").display());
    config.auth.secret_file = folder.path().join("secret");
    let started =
        actix_web::rt::System::new().block_on(Hub::builder().config(config).api_key("").start());
    assert!(matches!(started, Err(HubError::Auth(_))), "{started:?}");
}

#[test]
fn an_address_whose_tokens_keep_failing_is_slowed_down_before_the_upgrade() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| {
            config.auth.failures_free = 2;
            config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        })
        .await;
        let connect = |client: &'static str| {
            let hub = &hub;
            async move { Device::connect_to(hub, "/ws", &[("x-forwarded-for", client)]).await }
        };
        for _ in 0..3 {
            let mut device = connect("192.0.2.1").await.unwrap();
            device.next().await;
            device.send(json!({"type": "auth", "token": "bad"})).await;
            assert_eq!(device.next().await["type"], "auth_failed");
            device.closed(4401).await;
        }
        let Err(tokio_tungstenite::tungstenite::Error::Http(refused)) =
            connect("192.0.2.1").await.map(drop)
        else {
            panic!("not slowed down");
        };
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        // Another address is not, and what is slowed down is let in after its pause.
        connect("192.0.2.2").await.unwrap();
        eventually("the pause is over", || async { connect("192.0.2.1").await.is_ok() }).await;
    });
}
