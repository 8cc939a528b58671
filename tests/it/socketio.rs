//! Socket.IO as a raw WebSocket sees it. `scripts/test.sh` runs the real client as well.

use std::future::Ready;
use std::time::Duration;

use serde_json::{Value, json};
use staffetta::{Config, HubBuilder, IoArgs, IoSocket};
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::world::{Database, Stop, TestHub, on_both};

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// A client with its Engine.IO handshake done.
struct Client(Device);

impl Client {
    async fn open(hub: &TestHub, path: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut client = Self(Device::connect_to(hub, path, headers).await.unwrap());
        assert!(client.next().await.starts_with("0{\"sid\":"));
        client
    }

    /// In the namespace `/`, with this `auth`.
    async fn join(hub: &TestHub, auth: Value) -> Self {
        let mut client = Self::open(hub, PATH, &[]).await;
        client.send(&format!("40{auth}")).await;
        let joined = client.next().await;
        assert!(joined.starts_with("40{\"sid\":"), "{joined}");
        client
    }

    async fn send(&mut self, text: &str) {
        self.0.send_raw(Message::text(text)).await;
    }

    /// The next text; pings are answered.
    async fn next(&mut self) -> String {
        loop {
            match self.0.next_raw().await {
                Message::Text(text) if text.as_str() == "2" => self.send("3").await,
                Message::Text(text) => return text.as_str().to_owned(),
                other => panic!("not text: {other:?}"),
            }
        }
    }
}

#[test]
fn a_client_hears_its_events_with_their_arguments_and_nothing_else() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut client = Client::join(&hub, json!({"token": hub.token("alice")})).await;
        hub.publish("bob", "secret", json!({"id": 1})).await;
        hub.publish("alice", "added", json!({"id": 1})).await;
        assert_eq!(client.next().await, r#"42["added",{"id":1}]"#);
        let path = "/api/v1/users/alice/events";
        let body = json!({"type": "on_asset_trash", "args": [["a", "b"]]});
        assert_eq!(hub.call("POST", path, Some(body)).await.status, 201);
        assert_eq!(client.next().await, r#"42["on_asset_trash",["a","b"]]"#);
        let body = json!({"type": "on_asset_trash", "args": ["a"]});
        let refused = hub.call("POST", path, Some(body)).await;
        assert_eq!(refused.status, 422);
        let expected = "on_asset_trash takes one argument: the assets' ids, a list of strings";
        assert!(refused.text.contains(expected), "{}", refused.text);
    });
}

#[test]
fn a_client_without_a_good_token_is_refused_as_its_path_has_it() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut client = Client::open(&hub, PATH, &[]).await;
        client.send("40").await;
        assert_eq!(client.next().await, r#"44{"message":"unauthorized"}"#);
        let path = format!("/api{PATH}");
        let mut client = Client::open(&hub, &path, &[("x-api-key", "no token")]).await;
        client.send("40").await;
        assert!(client.next().await.starts_with("40{"));
        assert_eq!(client.next().await, r#"42["error","unauthorized"]"#);
        assert_eq!(client.next().await, "41");
    });
}

#[test]
fn a_reliable_session_acks_by_id_and_gets_the_rest_again_after_a_restart() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.delivery.ack_wait_ms = 200).await;
        let auth = |hub: &TestHub| json!({"token": hub.token("alice"), "session_id": "s", "offline": "replay"});
        let mut client = Client::join(&hub, auth(&hub)).await;
        let session = r#"42["session",{"cursor":0,"need_full_sync":true,"session_id":"s"}]"#;
        assert_eq!(client.next().await, session);
        hub.publish("alice", "added", json!(1)).await;
        hub.publish("alice", "added", json!(2)).await;
        assert_eq!(client.next().await, r#"421["added",1]"#);
        assert_eq!(client.next().await, r#"422["added",2]"#);
        client.send("431[]").await;
        assert_eq!(client.next().await, r#"422["added",2]"#, "unacked, it is sent again");
        hub.wait_for_floor("s", 1).await;
        let hub = hub.restart(Stop::Drop).await;
        let mut client = Client::join(&hub, auth(&hub)).await;
        let session = r#"42["session",{"cursor":1,"need_full_sync":false,"session_id":"s"}]"#;
        assert_eq!(client.next().await, session);
        assert_eq!(client.next().await, r#"422["added",2]"#);
    });
}

#[test]
fn a_client_that_recovers_is_sent_what_it_missed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.socketio.recovery = true).await;
        let mut client = Client::open(&hub, PATH, &[]).await;
        let token = hub.token("alice");
        client.send(&format!("40{}", json!({"token": token}))).await;
        let joined = client.next().await;
        let pid = serde_json::from_str::<Value>(&joined[2..]).unwrap()["pid"].clone();
        hub.publish("alice", "added", json!(1)).await;
        assert_eq!(client.next().await, r#"42["added",1,"seq-1"]"#);
        drop(client);
        let hub = hub.restart(Stop::Drop).await;
        hub.publish("alice", "added", json!(2)).await;
        let mut client = Client::open(&hub, PATH, &[]).await;
        let token = hub.token("alice");
        client.send(&format!("40{}", json!({"token": token, "pid": pid, "offset": "seq-1"}))).await;
        let joined = client.next().await;
        assert_eq!(serde_json::from_str::<Value>(&joined[2..]).unwrap()["pid"], pid);
        assert_eq!(client.next().await, r#"42["added",2,"seq-2"]"#);
        hub.publish("alice", "added", json!(3)).await;
        assert_eq!(client.next().await, r#"42["added",3,"seq-3"]"#);
    });
}

#[test]
fn a_host_handles_events_acks_them_and_waits_for_the_clients_ack() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = TestHub::start_with(
            Database::Sqlite,
            |_| {},
            |builder| {
                builder.socketio(|io| {
                    io.on("sum", |_, args: IoArgs| async move {
                        let numbers: Vec<i64> = args.parse().unwrap();
                        Some(IoArgs::new(&[numbers.iter().sum::<i64>()]).unwrap())
                    })
                    .on("panic", |_, _| async { panic!("as asked") })
                    .on("panic at once", |_, _| -> Ready<Option<IoArgs>> { panic!("as asked") })
                    .on("reserved", |socket: IoSocket, _| async move {
                        let refused = socket.emit("disconnect", &IoArgs::default()).unwrap_err();
                        Some(IoArgs::new(&[refused.to_string()]).unwrap())
                    })
                    .on("ask", |socket: IoSocket, _| async move {
                        let args = IoArgs::new(&(socket.user().unwrap(),)).unwrap();
                        let answer =
                            socket.emit_with_ack("who", &args, Duration::from_secs(5)).await;
                        Some(answer.unwrap())
                    })
                    .on("out", |socket: IoSocket, _| async move {
                        socket.disconnect().await;
                        None
                    })
                })
            },
        )
        .await;
        let mut client = Client::join(&hub, json!({"token": hub.token("alice")})).await;
        client.send(r#"427["sum",1,2,3]"#).await;
        assert_eq!(client.next().await, "437[6]");
        client.send(r#"428["panic"]"#).await;
        client.send(r#"428["panic at once"]"#).await;
        client.send(r#"428["reserved"]"#).await;
        let refused = r#"438["Socket.IO keeps the name of the event for itself"]"#;
        assert_eq!(client.next().await, refused);
        client.send(r#"429["ask"]"#).await;
        let asked = client.next().await;
        let (id, rest) = asked[2..].split_once('[').unwrap();
        assert_eq!(rest, r#""who","alice"]"#);
        client.send(&format!("43{id}[\"me\"]")).await;
        assert_eq!(client.next().await, r#"439["me"]"#);
        client.send(r#"42["out"]"#).await;
        assert_eq!(client.next().await, "41");
        hub.wait_for_live("alice", 0).await;
    });
}

#[test]
fn a_client_is_not_dead_while_the_host_keeps_it_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let configure = |config: &mut Config| {
            config.limits.commands_in_flight_max = 1;
            config.socketio.ping_interval_ms = 100;
            config.socketio.ping_timeout_ms = 300;
        };
        let slow = |builder: HubBuilder| {
            builder.socketio(|io| {
                io.on("slow", |_, args| async move {
                    tokio::time::sleep(Duration::from_millis(1_000)).await;
                    Some(args)
                })
            })
        };
        let hub = TestHub::start_with(Database::Sqlite, configure, slow).await;
        let mut client = Client::join(&hub, json!({"token": hub.token("alice")})).await;
        for id in 1..=3 {
            client.send(&format!(r#"42{id}["slow"]"#)).await;
        }
        for id in 1..=3 {
            assert_eq!(client.next().await, format!("43{id}[]"));
        }
    });
}

#[test]
fn who_guesses_tokens_has_to_begin_anew_for_each() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |config| config.auth.failures_free = 5).await;
        let mut client = Client::open(&hub, PATH, &[]).await;
        for _ in 0..=5 {
            client.send(r#"40{"token":"a guess"}"#).await;
            assert_eq!(client.next().await, r#"44{"message":"unauthorized"}"#);
        }
        client.send(r#"40{"token":"a guess"}"#).await;
        assert!(matches!(client.0.next_raw().await, Message::Close(_)));
    });
}
