//! Commands and the hub's own events, posted to a real receiver.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use staffetta::webhooks::{CallError, CommandBody, Webhooks};
use staffetta::{HubEvent, SessionId, UserId, clock};

use crate::device::Device;
use crate::receiver::{Reaction, Receiver};
use crate::world::{Database, Stop, TestHub, eventually, on_both};

/// Calls as alice on her tab.
async fn call_on(webhooks: Webhooks, data: String) -> Result<Option<String>, CallError> {
    let (user, session) = (UserId::new("alice").unwrap(), SessionId::new("tab").unwrap());
    let data = RawValue::from_string(data).unwrap();
    let command = CommandBody {
        user: &user,
        session: &session,
        account: "personal",
        name: "archive",
        data: Some(&data),
    };
    let answer = webhooks.call(CommandBody::KIND, &command).await;
    answer.map(|data| data.map(|raw| raw.get().to_owned()))
}

async fn call(hub: &TestHub, data: &str) -> Result<Option<String>, CallError> {
    call_on(hub.hub.webhooks().clone(), data.to_owned()).await
}

/// Calls without waiting for the answer.
fn call_aside(hub: &TestHub) -> tokio::task::JoinHandle<Result<Option<String>, CallError>> {
    tokio::spawn(call_on(hub.hub.webhooks().clone(), "1".to_owned()))
}

async fn dead_letters(hub: &TestHub) -> Vec<Value> {
    let answer = hub.call("GET", "/api/v1/dead-letters", None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["dead_letters"].as_array().unwrap().clone()
}

async fn wait_for_dead_letters(hub: &TestHub, count: usize) -> Vec<Value> {
    eventually("the dead letters are kept", || async { dead_letters(hub).await.len() == count })
        .await;
    dead_letters(hub).await
}

async fn commands(database: Database, receiver: &Receiver) -> TestHub {
    TestHub::start(database, |config| receiver.takes_commands(&mut config.webhooks)).await
}

fn refused(code: &str, message: &str) -> Result<Option<String>, CallError> {
    Err(CallError::Refused { code: code.to_owned(), message: message.to_owned() })
}

#[test]
fn a_command_is_posted_signed_and_its_answer_comes_back() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = commands(database, &receiver).await;
        let answers = [(200, "{\"b\":1.0, \"a\":2}"), (204, ""), (201, "OK")];
        receiver.react(answers.map(|(status, body)| Reaction::Status(status, body)));
        receiver.react([Reaction::Long]);
        let answer = call(&hub, "{\"z\":1.0,\"a\":\"caf\u{e9}\"}").await;
        assert_eq!(answer, Ok(Some("{\"b\":1.0, \"a\":2}".to_owned())));
        assert_eq!(call(&hub, "null").await, Ok(None));
        assert_eq!(call(&hub, "null").await, Err(CallError::BadAnswer));
        assert_eq!(call(&hub, "null").await, Err(CallError::BadAnswer));

        let received = receiver.received();
        assert_eq!(received.len(), 4);
        let first = &received[0];
        assert_eq!((first.path.as_str(), &first.body["id"]), ("/commands", &json!(first.id)));
        assert_eq!(first.body["kind"], "command");
        assert!(first.body["at"].as_i64().unwrap() > 1_700_000_000_000);
        for (field, value) in
            [("user", "alice"), ("session", "tab"), ("account", "personal"), ("name", "archive")]
        {
            assert_eq!(first.body[field], value);
        }
        assert!(
            first.text.ends_with("\"data\":{\"z\":1.0,\"a\":\"caf\u{e9}\"}}"),
            "{}",
            first.text
        );
        assert_eq!(dead_letters(&hub).await, [] as [Value; 0]);
    });
}

#[test]
fn a_command_of_an_updates_client_goes_to_the_webhook_and_its_answer_is_the_reply() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = commands(database, &receiver).await;
        let path = format!("/updates?token={}&session_id=tab", hub.token("alice"));
        let mut device = Device::connect_to(&hub, &path, &[]).await.unwrap();
        assert_eq!(device.next().await["payload"]["ok"], true);
        let body = r#"{"code":"quota","message":"no room"}"#;
        receiver.react([Reaction::Status(200, r#"{"archived":3}"#), Reaction::Status(422, body)]);
        let payload = json!({"name": "archive", "data": {"note": 7}, "ref": "r1"});
        let command = json!({"account": "business", "type": "command", "payload": payload});
        device.send(command.clone()).await;
        let expected = json!({"ref": "r1", "ok": true, "data": {"archived": 3}});
        assert_eq!(device.next().await["payload"], expected);
        let posted = receiver.received()[0].body.clone();
        for (field, value) in [("user", "alice"), ("session", "tab"), ("account", "business")] {
            assert_eq!(posted[field], value);
        }
        assert_eq!((&posted["name"], &posted["data"]), (&json!("archive"), &json!({"note": 7})));

        device.send(command).await;
        let error = json!({"code": "quota", "message": "no room"});
        assert_eq!(device.next().await["payload"]["error"], error);
        wait_for_dead_letters(&hub, 1).await;
    });
}

#[test]
fn a_post_that_may_succeed_later_is_tried_again_under_the_same_name() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = commands(database, &receiver).await;
        let soon = ("Retry-After", "3600".to_owned());
        receiver.react([Reaction::Status(503, ""), Reaction::Header(429, soon)]);
        receiver.react([Reaction::Status(408, ""), Reaction::Status(200, "7")]);
        assert_eq!(call(&hub, "1").await, Ok(Some("7".to_owned())));
        let received = receiver.received();
        assert_eq!(received.len(), 4);
        assert!(
            received.iter().all(|post| post.id == received[0].id && post.text == received[0].text)
        );
        let metrics = hub.call("GET", "/metrics", None).await.text;
        assert!(
            metrics.contains("staffetta_webhook_posts_total{outcome=\"failed\"} 3"),
            "{metrics}"
        );
        assert!(
            metrics.contains("staffetta_webhook_posts_total{outcome=\"taken\"} 1"),
            "{metrics}"
        );
    });
}

#[test]
fn what_is_refused_or_led_elsewhere_is_a_dead_letter_at_once() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = commands(database, &receiver).await;
        let body = r#"{"code":"quota","message":"no room"}"#;
        let elsewhere = ("Location", receiver.url("/elsewhere"));
        receiver.react([Reaction::Status(422, body), Reaction::Header(307, elsewhere)]);
        assert_eq!(call(&hub, "1").await, refused("quota", "no room"));
        assert_eq!(call(&hub, "2").await, refused("refused", "the webhook refused the command"));
        assert_eq!(receiver.received().len(), 2, "a redirect is not followed");
        let letters = wait_for_dead_letters(&hub, 2).await;
        let [first, second] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!(first["id"], json!(receiver.received()[0].id));
        assert_eq!(first["body"], receiver.received()[0].body);
        assert_eq!((&first["target"], &first["kind"]), (&json!("commands"), &json!("command")));
        assert_eq!((&first["attempts"], &first["last_error"]), (&json!(1), &json!("answered 422")));
        assert_eq!(second["last_error"], "answered 307");
    });
}

#[test]
fn a_dead_letter_survives_a_restart_and_is_sent_again_until_it_is_taken() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = commands(database, &receiver).await;
        receiver.react((0..5).map(|_| Reaction::Status(500, "")));
        assert_eq!(call(&hub, "{\"n\":1.0}").await, Err(CallError::Unavailable));
        wait_for_dead_letters(&hub, 1).await;
        let hub = hub.restart(Stop::Drain).await;
        let letters = dead_letters(&hub).await;
        assert_eq!((&letters[0]["attempts"], letters.len()), (&json!(5), 1));
        let id = letters[0]["id"].as_str().unwrap();

        receiver.react([Reaction::Status(500, "")]);
        let replay = format!("/api/v1/dead-letters/{id}/replay");
        let answer = hub.call("POST", &replay, None).await;
        let expected = json!({"id": id, "outcome": "failed", "error": "answered 500"});
        assert_eq!((answer.status, answer.body), (200, expected));
        eventually("the attempt is noted", || async {
            dead_letters(&hub).await[0]["attempts"] == 6
        })
        .await;

        let answer = hub.call("POST", &replay, None).await;
        assert_eq!(answer.body, json!({"id": id, "outcome": "taken", "status": 200}));
        assert_eq!(dead_letters(&hub).await.len(), 0);
        assert_eq!(hub.call("POST", &replay, None).await.status, 404);
        let received = receiver.received();
        assert_eq!(received.len(), 7);
        assert!(received.iter().all(|post| post.id == id && post.text == received[0].text));
    });
}

#[test]
fn a_dead_letter_can_be_forgotten() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = commands(database, &receiver).await;
        receiver.react([Reaction::Status(400, ""), Reaction::Status(400, "")]);
        for _ in 0..2 {
            assert!(call(&hub, "1").await.is_err());
        }
        let letters = wait_for_dead_letters(&hub, 2).await;
        let path = format!("/api/v1/dead-letters/{}", letters[0]["id"].as_str().unwrap());
        assert_eq!(hub.call("DELETE", &path, None).await.status, 204);
        assert_eq!(hub.call("DELETE", &path, None).await.status, 404);
        assert_eq!(dead_letters(&hub).await, letters[1..]);
    });
}

#[test]
fn a_webhook_that_hangs_holds_up_neither_delivery_nor_more_than_its_queue() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = TestHub::start(database, |config| {
            receiver.takes_commands(&mut config.webhooks);
            receiver.takes_events(&mut config.webhooks);
            config.webhooks.queue_max = 3;
            config.webhooks.concurrency = 1;
            config.webhooks.timeout_ms = 5_000;
        })
        .await;
        receiver.react((0..50).map(|_| Reaction::Hang));
        let waiting: Vec<_> = (0..3).map(|_| call_aside(&hub)).collect();
        eventually("it hangs", || async { !receiver.received().is_empty() }).await;
        assert_eq!(call(&hub, "4").await, Err(CallError::Overloaded));
        let letters = wait_for_dead_letters(&hub, 1).await;
        let (attempts, error) = (&letters[0]["attempts"], &letters[0]["last_error"]);
        assert_eq!((attempts, error), (&json!(0), &json!("queue_full")));

        let started = clock::now();
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        for seq in 1..=20 {
            hub.publish("alice", "a", json!({})).await;
            device.acked(seq).await;
        }
        let took = clock::now() - started;
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(waiting.iter().all(|call| !call.is_finished()));
    });
}

#[test]
fn an_answer_that_does_not_come_in_time_is_a_failed_attempt() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = TestHub::start(database, |config| {
            receiver.takes_commands(&mut config.webhooks);
            config.webhooks.timeout_ms = 100;
            config.webhooks.attempts_max = 2;
        })
        .await;
        receiver.react([Reaction::Hang, Reaction::Hang]);
        assert_eq!(call(&hub, "1").await, Err(CallError::Unavailable));
        let letters = wait_for_dead_letters(&hub, 1).await;
        assert_eq!(letters[0]["last_error"], "timed out");
        assert_eq!(letters[0]["attempts"], 2);
    });
}

#[test]
fn a_hub_that_stops_makes_dead_letters_of_what_nobody_takes() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = TestHub::start(database, |config| {
            receiver.takes_commands(&mut config.webhooks);
            config.webhooks.timeout_ms = 30_000;
        })
        .await;
        receiver.react([Reaction::Hang]);
        let waiting = call_aside(&hub);
        eventually("it is tried", || async { receiver.received().len() == 1 }).await;
        let started = clock::now();
        let hub = hub.restart(Stop::Drain).await;
        let took = clock::now() - started;
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(waiting.await.unwrap(), Err(CallError::Unavailable));
        let letters = dead_letters(&hub).await;
        assert_eq!((&letters[0]["last_error"], letters.len()), (&json!("the hub stopped"), 1));
    });
}

#[test]
fn sessions_that_come_go_and_are_given_up_are_told_to_the_webhook() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = TestHub::start(database, |config| {
            receiver.takes_events(&mut config.webhooks);
            config.delivery.ack_wait_ms = 20;
            config.delivery.redeliveries_max = 1;
        })
        .await;
        let is_tab = |event: &Value| event["session"] == "tab";
        let (device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let opened = receiver.wait_for_event("session_opened", is_tab).await;
        assert_eq!((&opened["user"], &opened["dialect"]), (&json!("alice"), &json!("native")));
        let (mut device, _) = {
            let _replaced = device;
            Device::attach(&hub, "alice", json!("tab"), json!({})).await
        };
        receiver.wait_for_event("session_closed", |event| event["code"] == 4409).await;
        let receipt = hub.publish("alice", "a", json!({})).await;
        device.event(1).await;
        let gave_up = receiver.wait_for_event("session_gave_up", is_tab).await;
        assert_eq!(gave_up["event_id"], receipt["event_id"]);
        receiver.wait_for_event("session_closed", |event| event["code"] == 4408).await;

        let plain = Device::plain(&hub, "bob").await;
        let is_bob = |event: &Value| event["user"] == "bob" && event["session"].is_null();
        receiver.wait_for_event("session_opened", is_bob).await;
        plain.cut();
        let closed = receiver.wait_for_event("session_closed", is_bob).await;
        assert_eq!(closed["code"], Value::Null);
        assert!(receiver.received().iter().all(|post| post.path == "/events"));
        assert!(receiver.events().iter().all(|event| event["kind"] != "delivery_settled"));
        let mut ids: Vec<_> = receiver.events().iter().map(|e| e["id"].to_string()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), receiver.events().len());
    });
}

#[test]
fn settled_deliveries_are_told_where_that_is_asked_for_many_in_a_post() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let hub = TestHub::start(database, |config| {
            receiver.takes_events(&mut config.webhooks);
            config.webhooks.events = vec![staffetta::protocol::HubEventKind::DeliverySettled];
        })
        .await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let mut expected = Vec::new();
        for seq in 1..=150 {
            let receipt = hub.publish("alice", "a", json!({})).await;
            expected.push((json!(seq), receipt["event_id"].clone()));
            device.event(seq).await;
        }
        device.send(json!({"type": "ack", "up_to": 150})).await;
        eventually("all are told", || async { receiver.events().len() == 150 }).await;
        let mut told: Vec<_> = receiver
            .events()
            .iter()
            .map(|event| (event["seq"].clone(), event["event_id"].clone()))
            .collect();
        told.sort_by_key(|(seq, _)| seq.as_i64());
        assert_eq!(told, expected);
        assert_eq!(receiver.received().len(), 2);
    });
}

#[test]
fn what_happens_while_the_hub_stops_is_still_told() {
    on_both(|database| async move {
        let receiver = Receiver::start().await;
        let mut hub =
            TestHub::start(database, |config| receiver.takes_events(&mut config.webhooks)).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        let closing = tokio::spawn(async move {
            assert_eq!(device.next().await["type"], "reconnect");
            device.closed(1012).await;
        });
        hub.end(Stop::Drain).await;
        closing.await.unwrap();
        receiver.wait_for_event("session_closed", |event| event["session"] == "tab").await;
    });
}

/// What a host heard, by kind.
static HEARD: Mutex<Vec<&str>> = Mutex::new(Vec::new());

fn listen(event: &HubEvent) {
    HEARD.lock().unwrap().push(event.kind().name());
    assert_ne!(event.kind().name(), "session_opened", "fails on purpose");
}

#[test]
fn a_host_hears_of_everything_even_after_its_ear_failed_once() {
    on_both(|database| async move {
        let heard = || HEARD.lock().unwrap();
        heard().clear();
        let hub = TestHub::start_with(database, |_| {}, |builder| builder.on_event(listen)).await;
        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        hub.publish("alice", "a", json!({})).await;
        device.acked(1).await;
        eventually("it is settled", || async { heard().len() == 2 }).await;
        device.cut();
        let all = ["session_opened", "delivery_settled", "session_closed"];
        eventually("it is closed", || async { *heard() == all }).await;
        assert_eq!(call(&hub, "1").await, Err(CallError::NoWebhook));
    });
}
