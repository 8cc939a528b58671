//! A device on one node that stays connected, for tests that look at one failure.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Tab {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    highest: i64,
    pub(crate) acks: bool,
}

impl Tab {
    /// Connects to a node as a reliable session of a user.
    pub(crate) async fn open(world: &World, node: usize, user: &str) -> Self {
        let mut tab = Self::connect(world, node).await;
        let (token, session) = (world.places.token(user, &[]), format!("tab-{node}-{user}"));
        tab.send(json!({
            "type": "auth", "token": token, "session_id": session, "offline": "replay",
        }))
        .await;
        while tab.next().await["type"] != "auth_ok" {}
        tab
    }

    /// Connects to a node as a plain session of a user.
    pub(crate) async fn open_plain(world: &World, node: usize, user: &str) -> Self {
        let mut tab = Self::connect(world, node).await;
        tab.acks = false;
        tab.send(json!({"type": "auth", "token": world.places.token(user, &[])})).await;
        while tab.next().await["type"] != "auth_success" {}
        tab
    }

    async fn connect(world: &World, node: usize) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws", world.places.ports[node]);
        let (socket, _) = connect_async(url).await.unwrap();
        Self { socket, highest: 0, acks: true }
    }

    /// The place of the next event, whatever came before.
    pub(crate) async fn next_place(&mut self) -> i64 {
        loop {
            if let Some(seq) = self.next().await["seq"].as_i64() {
                return seq;
            }
        }
    }

    /// The next event, acked; the connection must not end before.
    pub(crate) async fn next_event(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            let Some(seq) = frame["seq"].as_i64() else { continue };
            assert!(seq <= self.highest + 1, "{seq} after {}", self.highest);
            self.highest = self.highest.max(seq);
            if self.acks {
                self.send(json!({"type": "ack", "event_id": frame["event_id"]})).await;
            }
            return frame;
        }
    }

    /// The next event that did not come before.
    pub(crate) async fn next_new_event(&mut self) -> Value {
        let highest = self.highest;
        loop {
            let event = self.next_event().await;
            if event["seq"].as_i64() > Some(highest) {
                return event;
            }
        }
    }

    async fn next(&mut self) -> Value {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    end => panic!("the connection ends: {end:?}"),
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a frame in time")
    }

    async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }
}
