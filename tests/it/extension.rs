//! What a host adds: message types and commands of its own, and its say in who may join and
//! publish.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use staffetta::auth::Caller;
use staffetta::commands::{ClientCommand, CommandError, CommandReply};
use staffetta::extension::{ClientMessage, Connected, Extension, Handled};
use staffetta::protocol::NoteId;
use staffetta::{NewEvent, UserId};

use crate::device::Device;
use crate::world::{TestHub, eventually, on_both};

/// Writes down what it hears, and answers `echo`.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn heard(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn name(connection: &Connected) -> String {
    let session = connection.session.as_ref().map_or("-", |session| session.as_str());
    format!("{}/{session}", connection.user)
}

impl Extension for Recorder {
    fn on_connect<'a>(&'a self, connection: &'a Connected) -> BoxFuture<'a, ()> {
        async move { self.note(format!("connect {}", name(connection))) }.boxed()
    }

    fn on_message<'a>(
        &'a self,
        connection: &'a Connected,
        message: &'a ClientMessage,
    ) -> BoxFuture<'a, Handled> {
        async move {
            self.note(format!("{} {}", message.kind, name(connection)));
            match message.kind.as_str() {
                "echo" => {
                    let frame: Value = serde_json::from_str(&message.frame).unwrap();
                    let reply = json!({"type": "echoed", "text": frame["text"]});
                    Handled::Reply(reply.to_string().into())
                }
                "quiet" => Handled::Done,
                "slow" => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    Handled::Done
                }
                "panic" => panic!("as asked"),
                _ => Handled::NotMine,
            }
        }
        .boxed()
    }

    fn on_command<'a>(
        &'a self,
        command: &'a ClientCommand,
    ) -> BoxFuture<'a, Option<Result<CommandReply, CommandError>>> {
        async move {
            (command.name == "mine")
                .then(|| Ok(CommandReply { data: command.data.clone() }))
        }
        .boxed()
    }

    fn on_disconnect<'a>(&'a self, connection: &'a Connected) -> BoxFuture<'a, ()> {
        async move { self.note(format!("disconnect {}", name(connection))) }.boxed()
    }

    fn authorize_join<'a>(&'a self, user: &'a UserId, note: &'a NoteId) -> BoxFuture<'a, bool> {
        async move {
            match note.as_str() {
                "stuck" => std::future::pending().await,
                "panic" => panic!("as asked"),
                note => user.as_str() == "alice" && note != "locked",
            }
        }
        .boxed()
    }

    fn authorize_publish<'a>(
        &'a self,
        _caller: &'a Caller,
        user: Option<&'a UserId>,
        event: &'a NewEvent,
    ) -> BoxFuture<'a, bool> {
        async move { event.kind != "secret" || user.is_some_and(|user| user.as_str() == "alice") }
            .boxed()
    }
}

#[test]
fn an_extension_hears_its_messages_in_order_and_answers_them() {
    on_both(|database| async move {
        let recorder = Recorder::default();
        let heard = recorder.clone();
        let hub = TestHub::start_with(
            database,
            |config| config.limits.command_timeout_ms = 200,
            move |builder| builder.extension(recorder.clone()),
        )
        .await;
        let mut stranger = Device::connect(&hub).await;
        stranger.send(json!({"type": "echo"})).await;
        stranger.error("Unknown message type").await;

        let (mut device, _) = Device::attach(&hub, "alice", json!("tab"), json!({})).await;
        device.send(json!({"type": "quiet"})).await;
        device.send(json!({"type": "echo", "text": "hé"})).await;
        assert_eq!(device.next().await, json!({"type": "echoed", "text": "hé"}));
        device.send(json!({"type": "nobodys"})).await;
        device.error("Unknown message type").await;
        // Neither a slow one nor one that panics holds up a delivery.
        device.send(json!({"type": "panic"})).await;
        device.error("Temporarily unavailable. Please try again.").await;
        device.send(json!({"type": "slow"})).await;
        hub.publish("alice", "added", json!({})).await;
        device.acked(1).await;
        device.error("Temporarily unavailable. Please try again.").await;
        // A token that is only renewed is no new connection.
        let token = hub.token("alice");
        device.auth(&token, json!("tab"), json!({})).await;
        device.cut();
        let expected = [
            "connect alice/tab",
            "quiet alice/tab",
            "echo alice/tab",
            "nobodys alice/tab",
            "panic alice/tab",
            "slow alice/tab",
            "disconnect alice/tab",
        ];
        eventually("everything was heard, in order", || async { heard.heard() == expected }).await;
    });
}

#[test]
fn an_extension_obeys_commands_and_has_a_say_in_rooms_and_publishing() {
    on_both(|database| async move {
        let build = |builder: staffetta::HubBuilder| builder.extension(Recorder::default());
        let adjust = |config: &mut staffetta::Config| config.limits.command_timeout_ms = 200;
        let hub = TestHub::start_with(database, adjust, build).await;
        let path = format!("/updates?token={}", hub.token("alice"));
        let mut updates = Device::connect_to(&hub, &path, &[]).await.unwrap();
        assert_eq!(updates.next().await["payload"]["ok"], true);
        for (name, reply) in [
            ("mine", json!({"ref": 1, "ok": true, "data": {"a": 1}})),
            (
                "other",
                json!({"ref": 1, "ok": false,
                    "error": {"code": "unknown_command", "message": "Unknown command"}}),
            ),
        ] {
            let payload = json!({"name": name, "data": {"a": 1}, "ref": 1});
            updates
                .send(json!({"account": "personal", "type": "command", "payload": payload}))
                .await;
            assert_eq!(updates.next().await["payload"], reply, "{name}");
        }

        let mut alice = Device::plain(&hub, "alice").await;
        for id in ["open", "locked", "panic", "stuck"] {
            alice.send(json!({"type": "note_created", "noteData": {"id": id}})).await;
            updates.next().await;
        }
        alice.send(json!({"type": "join_note", "noteId": "open"})).await;
        assert_eq!(alice.next().await["type"], "note_joined");
        alice.send(json!({"type": "join_note", "noteId": "locked"})).await;
        alice.error("Note not found or access denied").await;
        // Neither one that panics nor one that is stuck takes the connection with it.
        for id in ["panic", "stuck"] {
            alice.send(json!({"type": "join_note", "noteId": id})).await;
            alice.error("Temporarily unavailable. Please try again.").await;
        }

        for (user, status) in [("alice", 201), ("bob", 403)] {
            let path = format!("/api/v1/users/{user}/events");
            let answer = hub.call("POST", &path, Some(json!({"type": "secret"}))).await;
            assert_eq!(answer.status, status, "{}", answer.text);
        }
    });
}
