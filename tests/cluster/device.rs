//! One device of a user, on one node: a real WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::node::Node;

/// Longer than anything a test waits for.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Device {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Device {
    async fn connect(node: &Node) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws", node.port);
        let (socket, _) = connect_async(url).await.unwrap();
        let mut device = Self { socket };
        assert_eq!(device.next().await["type"], "connection_established");
        device
    }

    /// Connects as a reliable session; says the device and its `auth_ok`.
    pub(crate) async fn reliable(node: &Node, user: &str, session: &str) -> (Self, Value) {
        let mut device = Self::connect(node).await;
        let token = node.token(user, &[]);
        device
            .send(json!({
                "type": "auth", "token": token, "session_id": session, "offline": "replay",
            }))
            .await;
        let ok = device.next().await;
        assert_eq!(ok["type"], "auth_ok", "{ok}");
        (device, ok)
    }

    /// Connects as a plain session.
    pub(crate) async fn plain(node: &Node, user: &str) -> Self {
        let mut device = Self::connect(node).await;
        device.send(json!({"type": "auth", "token": node.token(user, &[])})).await;
        assert_eq!(device.next().await["type"], "auth_success");
        device
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next JSON frame.
    pub(crate) async fn next(&mut self) -> Value {
        self.try_next(DEADLINE).await.expect("a frame comes in time")
    }

    /// The next JSON frame, if one comes; none at the end of the connection as well.
    pub(crate) async fn try_next(&mut self, wait: Duration) -> Option<Value> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Some(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(_) | Err(_)) | None => return None,
                }
            }
        };
        timeout(wait, next).await.ok().flatten()
    }

    /// The next frame of this type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        self.next_of_any(&[kind]).await
    }

    pub(crate) async fn next_of_any(&mut self, kinds: &[&str]) -> Value {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while tokio::time::Instant::now() < deadline {
            let frame = self.next().await;
            if kinds.iter().any(|kind| frame["type"] == *kind) {
                return frame;
            }
        }
        panic!("no {kinds:?} in time");
    }

    /// The close code, when the hub ends the connection.
    pub(crate) async fn closed(&mut self) -> u16 {
        let closed = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return 0,
                }
            }
        };
        timeout(DEADLINE, closed).await.expect("the connection ends in time")
    }

    pub(crate) async fn ack(&mut self, event: &Value) {
        self.send(json!({"type": "ack", "event_id": event["event_id"]})).await;
    }
}
