//! A device that follows its user, applies once, acks mostly, and comes back for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::history::History;
use crate::hub::Process;

pub(crate) struct Device {
    user: usize,
    session: String,
    policy: &'static str,
    url: String,
    token: String,
    history: Arc<History>,
    frames: u64,
}

impl Device {
    pub(crate) fn new(
        user: usize,
        number: usize,
        policy: &'static str,
        process: &Process,
        history: &Arc<History>,
    ) -> Self {
        Self {
            user,
            session: format!("session-{user}-{number}"),
            policy,
            url: format!("ws://127.0.0.1:{}/ws", process.port),
            token: process.token(&format!("user-{user}"), &[]),
            history: Arc::clone(history),
            frames: 0,
        }
    }

    pub(crate) async fn follow(mut self, over: Arc<AtomicBool>) {
        loop {
            // Whatever ends a connection, it comes back.
            self.connect(&over).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn connect(&mut self, over: &AtomicBool) -> Option<()> {
        let (mut socket, _) = connect_async(&self.url).await.ok()?;
        let auth = json!({
            "type": "auth", "token": self.token, "session_id": self.session,
            "offline": self.policy, "confirm_sync": true,
        });
        socket.send(Message::text(auth.to_string())).await.ok()?;
        loop {
            let frame = timeout(Duration::from_secs(30), socket.next()).await.ok()??.ok()?;
            let Message::Text(text) = frame else { continue };
            let frame: Value = serde_json::from_str(&text).ok()?;
            self.frames += 1;
            if frame["type"] == "auth_ok" {
                assert_eq!(frame["user"], format!("user-{}", self.user));
                let need = frame["need_full_sync"] == true;
                let cursor = frame["cursor"].as_i64()?;
                self.history.attached(self.user, &self.session, need, cursor);
                if need {
                    socket.send(Message::text(r#"{"type":"sync_complete"}"#)).await.ok()?;
                }
            }
            let Some(id) = frame["event_id"].as_str() else { continue };
            let (id, seq) = (Uuid::parse_str(id).ok()?, frame["seq"].as_i64()?);
            assert_eq!(frame["name"], id.to_string(), "the data of another event");
            let is_over = over.load(Ordering::Acquire);
            // Now and then it goes away without a word, or forgets to ack.
            if !is_over && self.frames.is_multiple_of(23) {
                return None;
            }
            self.history.applied(self.user, &self.session, id, seq, &text);
            if is_over || !self.frames.is_multiple_of(7) {
                let ack = json!({"type": "ack", "event_id": id});
                socket.send(Message::text(ack.to_string())).await.ok()?;
            }
        }
    }
}
