//! `/updates`: commands, replies and updates, each in its account.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use staffetta::{ClientCommand, CommandError, CommandHandler, CommandReply};
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::world::{Database, Stop, TestHub, eventually, on_both};

/// A device on `/updates`, and the data of the reply to its `auth`.
async fn attach(hub: &TestHub, token: &str, session: &str) -> (Device, Value) {
    let path = format!("/updates?token={token}&session_id={session}");
    let mut device = Device::connect_to(hub, &path, &[]).await.unwrap();
    let data = told(&device.next().await, &json!(null));
    (device, data)
}

/// The data of a good reply to `reference`.
fn told(frame: &Value, reference: &Value) -> Value {
    let payload = &frame["payload"];
    assert_eq!((&frame["type"], &payload["ok"]), (&json!("reply"), &json!(true)), "{frame}");
    assert_eq!(&payload["ref"], reference);
    payload["data"].clone()
}

/// The code of a refusing reply to `reference`.
fn refused(frame: &Value, reference: &Value) -> String {
    let payload = &frame["payload"];
    assert_eq!((&frame["type"], &payload["ok"]), (&json!("reply"), &json!(false)), "{frame}");
    assert_eq!(&payload["ref"], reference);
    payload["error"]["code"].as_str().unwrap().to_owned()
}

fn command(name: &str, data: Value, reference: Value) -> Value {
    let payload = json!({"name": name, "data": data, "ref": reference});
    json!({"account": "personal", "type": "command", "payload": payload})
}

async fn publish(hub: &TestHub, user: &str, body: Value) {
    let answer = hub.call("POST", &format!("/api/v1/users/{user}/events"), Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

/// Takes the next update: its account and its items.
async fn update(device: &mut Device) -> (Value, String, Value) {
    let frame = device.next().await;
    assert_eq!(frame["type"], "update", "{frame}");
    let payload = &frame["payload"];
    let account = frame["account"].as_str().unwrap().to_owned();
    (payload["ref"].clone(), account, payload["payload"]["items"].clone())
}

async fn settle(device: &mut Device, account: &str, reference: &Value) {
    let reply = json!({"account": account, "type": "reply", "payload": {"ref": reference}});
    device.send(reply).await;
}

/// Takes and settles the next update: its account and its items.
async fn settled(device: &mut Device) -> (String, Value) {
    let (reference, account, items) = update(device).await;
    settle(device, &account, &reference).await;
    (account, items)
}

async fn nothing_pending(hub: &TestHub, user: &str) {
    eventually("everything is settled", || async {
        hub.sessions(user).await.iter().all(|session| session["pending"] == 0)
    })
    .await;
}

#[test]
fn an_update_comes_until_its_reply_and_never_again() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 100).await;
        let (mut phone, ok) = attach(&hub, &hub.token("alice"), "phone").await;
        let expected =
            json!({"user": "alice", "session_id": "phone", "need_full_sync": true, "cursor": 0});
        assert_eq!(ok, expected);
        publish(&hub, "alice", json!({"type": "message", "data": {"id": "m1"}})).await;
        let first = update(&mut phone).await;
        let again = update(&mut phone).await;
        assert_eq!(first, again);
        assert_eq!((first.1.as_str(), first.2), ("personal", json!([{"id": "m1"}])));
        settle(&mut phone, "personal", &first.0).await;
        nothing_pending(&hub, "alice").await;
        // What was sent before the reply arrived may still be on its way.
        phone.send(command("ping", json!(null), json!("p"))).await;
        while phone.next().await["type"] == "update" {}
        settle(&mut phone, "personal", &first.0).await;
        phone.nothing().await;
        phone.cut();
        let (mut phone, ok) = attach(&hub, &hub.token("alice"), "phone").await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(false), &json!(1)));
        phone.nothing().await;
    });
}

#[test]
fn what_was_collected_while_away_comes_at_once_oldest_first_even_after_a_restart() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        publish(&hub, "alice", json!({"type": "message", "data": 0})).await;
        assert_eq!(settled(&mut phone).await.1, json!([0]));
        hub.wait_for_floor("phone", 1).await;
        phone.cut();
        hub.wait_for_live("alice", 0).await;
        for n in 1..=10 {
            publish(&hub, "alice", json!({"type": "message", "data": n})).await;
        }
        let hub = hub.restart(Stop::Drop).await;
        for n in 11..=20 {
            publish(&hub, "alice", json!({"type": "message", "data": n})).await;
        }
        let (mut phone, ok) = attach(&hub, &hub.token("alice"), "phone").await;
        assert_eq!((&ok["need_full_sync"], &ok["cursor"]), (&json!(false), &json!(1)));
        for n in 1..=20 {
            assert_eq!(settled(&mut phone).await.1, json!([n]));
        }
        phone.nothing().await;
    });
}

#[test]
fn accounts_are_kept_apart_live_and_collected() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let only = hub.token_with("alice", json!({"accounts": ["business"]}));
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        let (mut work, _) = attach(&hub, &only, "work").await;
        let publish_both = async || {
            for account in ["personal", "business", "büro"] {
                let data = json!([account, 1]);
                let body = json!({"type": "note", "account": account, "data": data});
                publish(&hub, "alice", body).await;
            }
            // In no account: in the default one.
            publish(&hub, "alice", json!({"type": "note", "data": "more"})).await;
        };
        publish_both().await;
        for account in ["personal", "business", "büro"] {
            assert_eq!(settled(&mut phone).await, (account.to_owned(), json!([account, 1])));
        }
        assert_eq!(settled(&mut phone).await, ("personal".to_owned(), json!(["more"])));
        assert_eq!(settled(&mut work).await.0, "business");
        work.nothing().await;
        nothing_pending(&hub, "alice").await;
        phone.cut();
        work.cut();
        hub.wait_for_live("alice", 0).await;
        publish_both().await;
        let (mut work, _) = attach(&hub, &only, "work").await;
        assert_eq!(settled(&mut work).await, ("business".to_owned(), json!(["business", 1])));
        work.nothing().await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        for account in ["personal", "business", "büro"] {
            assert_eq!(settled(&mut phone).await.0, account);
        }
    });
}

#[test]
fn a_token_may_come_in_four_ways() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let token = hub.token("alice");
        let (bearer, pair) = (format!("Bearer {token}"), format!("bearer, {token}"));
        let query = format!("/updates?token={token}");
        for (path, headers) in [
            ("/updates", vec![("authorization", bearer.as_str())]),
            ("/updates", vec![("sec-websocket-protocol", pair.as_str())]),
            (query.as_str(), vec![]),
        ] {
            let mut device = Device::connect_to(&hub, path, &headers).await.unwrap();
            let ok = told(&device.next().await, &json!(null));
            assert_eq!((&ok["user"], &ok["cursor"]), (&json!("alice"), &json!(0)));
            assert!(!ok["session_id"].as_str().unwrap().is_empty());
        }
        // The fourth: the first command; its session may be named in either place.
        for (path, session) in [("/updates?session_id=q", json!(null)), ("/updates", json!("q"))] {
            let mut device = Device::connect_to(&hub, path, &[]).await.unwrap();
            let data = json!({"token": token, "session_id": session});
            device.send(command("auth", data, json!(1))).await;
            assert_eq!(told(&device.next().await, &json!(1))["session_id"], "q");
        }
        assert_eq!(hub.sessions("alice").await.len(), 4);
    });
}

#[test]
fn a_refused_token_is_said_so_and_closed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        for path in ["/updates?token=nonsense", "/updates?token="] {
            let mut device = Device::connect_to(&hub, path, &[]).await.unwrap();
            assert_eq!(refused(&device.next().await, &json!(null)), "auth-failed");
            device.closed(4401).await;
        }
        // `/ws` takes no token from the address.
        let path = format!("/ws?token={}", hub.token("alice"));
        let mut device = Device::connect_to(&hub, &path, &[]).await.unwrap();
        assert_eq!(device.next().await["type"], "connection_established");
        device.nothing().await;
        // Another user's token ends a connection.
        let (mut device, _) = attach(&hub, &hub.token("alice"), "phone").await;
        device.send(command("auth", json!({"token": hub.token("bob")}), json!("b"))).await;
        assert_eq!(refused(&device.next().await, &json!("b")), "auth-failed");
        device.closed(4401).await;
    });
}

#[test]
fn each_auth_of_many_in_a_row_is_answered_by_its_own_name() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let token = hub.token("alice");
        let path = format!("/updates?token={token}&session_id=phone");
        let mut device = Device::connect_to(&hub, &path, &[]).await.unwrap();
        for n in 1..=5 {
            device.send(command("auth", json!({"token": token}), json!(n))).await;
        }
        assert_eq!(told(&device.next().await, &json!(null))["need_full_sync"], true);
        for n in 1..=5 {
            assert_eq!(told(&device.next().await, &json!(n))["session_id"], "phone");
        }
        // A connection may become another session, and then stays that.
        device.send(command("auth", json!({"session_id": "tablet"}), json!(6))).await;
        device.send(command("auth", json!({}), json!(7))).await;
        for n in 6..=7 {
            assert_eq!(told(&device.next().await, &json!(n))["session_id"], "tablet");
        }
    });
}

#[test]
fn one_event_reaches_ws_and_updates_each_in_its_own_spelling() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut tab, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        let body = json!({
            "type": "contact", "data": {"id": "c1"}, "account": "business", "action": "update",
            "silent": true,
        });
        publish(&hub, "alice", body).await;
        let event = tab.acked(1).await;
        let update = phone.next().await;
        let id = event["event_id"].clone();
        assert_eq!(event, json!({"type": "contact", "id": "c1", "event_id": id, "seq": 1}));
        let expected = json!({"account": "business", "type": "update", "payload": {
            "ref": id, "silent": true, "action": "update",
            "payload": {"type": "contact", "items": [{"id": "c1"}]},
        }});
        assert_eq!(update, expected);
        settle(&mut phone, "business", &id).await;
        nothing_pending(&hub, "alice").await;
        let text = hub.hub.metrics().text();
        for dialect in ["native", "updates"] {
            let line = format!("staffetta_connections{{dialect=\"{dialect}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    });
}

/// Set by a command that its connection does not live to see.
static FINISHED: AtomicBool = AtomicBool::new(false);

/// An application that is sometimes slow and sometimes broken.
struct App;

impl CommandHandler for App {
    fn handle<'a>(
        &'a self,
        command: ClientCommand,
    ) -> BoxFuture<'a, Result<CommandReply, CommandError>> {
        assert_ne!(command.name, "panic at once");
        async move {
            let ClientCommand { user, session, account, name, data } = command;
            match name.as_str() {
                "whoami" => {
                    let data = json!({
                        "user": user, "session": session, "account": account, "data": data,
                    });
                    Ok(CommandReply { data: Some(to_raw_value(&data).unwrap()) })
                }
                "hang" => std::future::pending().await,
                "finish" => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    FINISHED.store(true, Ordering::SeqCst);
                    Ok(CommandReply::default())
                }
                "panic" => panic!("as asked"),
                _ => Err(CommandError::new("teapot", "Short and stout")),
            }
        }
        .boxed()
    }
}

#[test]
fn a_command_reaches_the_application_and_its_reply_comes_back() {
    on_both(|database| async move {
        let hub = TestHub::start_with(database, |_| {}, |builder| builder.commands(App)).await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        let (mut other, _) = attach(&hub, &hub.token("alice"), "other").await;
        phone
            .send(json!({"account": "business", "type": "command", "payload": {
                "name": "whoami", "data": [1.5, "é"], "ref": "r-1",
            }}))
            .await;
        let reply = phone.next().await;
        assert_eq!(reply["account"], "business");
        let expected = json!({
            "user": "alice", "session": "phone", "account": "business", "data": [1.5, "é"],
        });
        assert_eq!(told(&reply, &json!("r-1")), expected);
        phone.send(command("brew", json!(null), json!(2))).await;
        let reply = phone.next().await;
        assert_eq!(refused(&reply, &json!(2)), "teapot");
        assert_eq!(reply["payload"]["error"]["message"], "Short and stout");
        other.nothing().await;
    });
}

#[test]
fn a_command_is_refused_without_auth_without_its_account_and_without_an_application() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut device = Device::connect_to(&hub, "/updates", &[]).await.unwrap();
        device.send(command("whoami", json!(null), json!("r"))).await;
        assert_eq!(refused(&device.next().await, &json!("r")), "auth_required");
        let only = hub.token_with("alice", json!({"accounts": ["business"]}));
        device.send(command("auth", json!({"token": only}), json!("a"))).await;
        told(&device.next().await, &json!("a"));
        device.send(command("whoami", json!(null), json!("r"))).await;
        assert_eq!(refused(&device.next().await, &json!("r")), "account_refused");
        // A renewed token brings its own accounts.
        device.send(command("auth", json!({"token": hub.token("alice")}), json!("b"))).await;
        told(&device.next().await, &json!("b"));
        device.send(command("whoami", json!(null), json!("r"))).await;
        assert_eq!(refused(&device.next().await, &json!("r")), "unknown_command");
    });
}

#[test]
fn a_slow_or_broken_application_holds_up_neither_updates_nor_acks() {
    on_both(|database| async move {
        let hub = TestHub::start_with(
            database,
            |config| {
                config.limits.commands_in_flight_max = 2;
                config.limits.command_timeout_ms = 1_500;
            },
            |builder| builder.commands(App),
        )
        .await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        for name in ["panic", "panic at once"] {
            phone.send(command(name, json!(null), json!(name))).await;
            assert_eq!(refused(&phone.next().await, &json!(name)), "internal");
        }
        phone.send(command("hang", json!(null), json!("h1"))).await;
        phone.send(command("hang", json!(null), json!("h2"))).await;
        phone.send(command("whoami", json!(null), json!("w"))).await;
        assert_eq!(refused(&phone.next().await, &json!("w")), "too_many_commands");
        publish(&hub, "alice", json!({"type": "message", "data": 1})).await;
        assert_eq!(settled(&mut phone).await.1, json!([1]));
        nothing_pending(&hub, "alice").await;
        for reference in ["h1", "h2"] {
            assert_eq!(refused(&phone.next().await, &json!(reference)), "timeout");
        }
        phone.send(command("whoami", json!(null), json!("w"))).await;
        assert_eq!(told(&phone.next().await, &json!("w"))["user"], "alice");
    });
}

#[test]
fn a_command_outlives_its_connection() {
    on_both(|database| async move {
        FINISHED.store(false, Ordering::SeqCst);
        let hub = TestHub::start_with(database, |_| {}, |builder| builder.commands(App)).await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        phone.send(command("finish", json!(null), json!(null))).await;
        phone.send(command("whoami", json!(null), json!("w"))).await;
        told(&phone.next().await, &json!("w"));
        phone.cut();
        hub.wait_for_live("alice", 0).await;
        eventually("the command is done", || async { FINISHED.load(Ordering::SeqCst) }).await;
    });
}

#[test]
fn malformed_frames_leave_the_connection_and_its_updates_alone() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        for frame in ["", "[]", "{", r#"{"type":"reply"}"#, r#"{"type":"command","payload":[]}"#] {
            phone.send_raw(Message::text(frame)).await;
            assert_eq!(refused(&phone.next().await, &json!(null)), "invalid_format", "{frame}");
        }
        phone.send_raw(Message::binary(b"\xff\xfe".to_vec())).await;
        assert_eq!(refused(&phone.next().await, &json!(null)), "invalid_format");
        phone.send(json!({"type": "ack", "event_id": "x"})).await;
        assert_eq!(refused(&phone.next().await, &json!(null)), "unknown_type");
        publish(&hub, "alice", json!({"type": "message", "data": 1})).await;
        assert_eq!(settled(&mut phone).await.1, json!([1]));
    });
}

#[test]
fn a_drain_says_when_to_come_back() {
    on_both(|database| async move {
        let mut hub = TestHub::start(database, |_| {}).await;
        let (mut phone, _) = attach(&hub, &hub.token("alice"), "phone").await;
        let ending = hub.end(Stop::Drain);
        let reading = async {
            let frame = phone.next().await;
            assert_eq!(
                (&frame["account"], &frame["type"]),
                (&json!("personal"), &json!("reconnect"))
            );
            assert!(frame["payload"]["retry_after_ms"].as_u64().unwrap() >= 250);
            phone.closed(1012).await;
        };
        tokio::join!(ending, reading);
    });
}

#[test]
fn only_a_websocket_handshake_is_taken() {
    on_both(|database| async move {
        if database == Database::Postgres {
            return;
        }
        let hub = TestHub::start(database, |_| {}).await;
        let answer = hub.call_as(None, "GET", "/updates", None, &[]).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    });
}
