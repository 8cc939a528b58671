//! One device of a user: a real WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::TestHub;

/// Longer than anything a test waits for.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longer than a frame on its way takes.
const SILENCE: Duration = Duration::from_millis(150);

pub(crate) struct Device {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Device {
    /// Connects to `/ws` and takes the greeting.
    pub(crate) async fn connect(hub: &TestHub) -> Self {
        let mut device = Self::connect_to(hub, "/ws", &[]).await.unwrap();
        let greeting = device.next().await;
        let expected = json!({
            "type": "connection_established",
            "message": "Please authenticate to continue",
        });
        assert_eq!(greeting, expected);
        device
    }

    pub(crate) async fn connect_to(
        hub: &TestHub,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        Self::connect_port(hub.port, path, headers).await
    }

    /// The same, to whatever listens there.
    pub(crate) async fn connect_port(
        port: u16,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let url = format!("ws://127.0.0.1:{port}{path}");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Self { socket })
    }

    /// Connects as a reliable session; says the device and its `auth_ok`.
    pub(crate) async fn attach(
        hub: &TestHub,
        user: &str,
        session: Value,
        more: Value,
    ) -> (Self, Value) {
        let mut device = Self::connect(hub).await;
        let ok = device.auth(&hub.token(user), session, more).await;
        assert_eq!(ok["type"], "auth_ok", "{ok}");
        (device, ok)
    }

    /// Connects as a session with the policy `replay`.
    pub(crate) async fn replaying(hub: &TestHub, user: &str, session: &str) -> (Self, Value) {
        Self::attach(hub, user, json!(session), json!({"offline": "replay"})).await
    }

    /// Connects as a plain session.
    pub(crate) async fn plain(hub: &TestHub, user: &str) -> Self {
        let mut device = Self::connect(hub).await;
        device.send(json!({"type": "auth", "token": hub.token(user)})).await;
        assert_eq!(device.next().await["type"], "auth_success");
        device
    }

    /// Sends `auth` with the key `session_id`, and takes the answer.
    pub(crate) async fn auth(&mut self, token: &str, session: Value, more: Value) -> Value {
        let mut frame = json!({"type": "auth", "token": token, "session_id": session});
        for (name, value) in more.as_object().into_iter().flatten() {
            frame[name] = value.clone();
        }
        self.send(frame).await;
        self.next().await
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next frame, which must be JSON text.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.next_raw().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not text: {other:?}"),
            }
        }
    }

    pub(crate) async fn next_raw(&mut self) -> Message {
        timeout(DEADLINE, self.socket.next()).await.expect("a frame in time").unwrap().unwrap()
    }

    /// The next event, which must be at `seq`.
    pub(crate) async fn event(&mut self, seq: i64) -> Value {
        let event = self.next().await;
        assert_eq!(event["seq"], seq, "{event}");
        event
    }

    /// The next event at `seq`, acked.
    pub(crate) async fn acked(&mut self, seq: i64) -> Value {
        let event = self.event(seq).await;
        self.ack(&event).await;
        event
    }

    pub(crate) async fn ack(&mut self, event: &Value) {
        self.send(json!({"type": "ack", "event_id": event["event_id"]})).await;
    }

    /// Expects an error frame of this text.
    pub(crate) async fn error(&mut self, message: &str) {
        let frame = self.next().await;
        assert_eq!((&frame["type"], &frame["message"]), (&json!("error"), &json!(message)));
    }

    /// Expects silence.
    pub(crate) async fn nothing(&mut self) {
        if let Ok(frame) = timeout(SILENCE, self.next()).await {
            panic!("unexpected: {frame}");
        }
    }

    /// Expects nothing but the end, with this code; says the reason.
    pub(crate) async fn closed(&mut self, code: u16) -> String {
        loop {
            match self.next_raw().await {
                Message::Close(Some(frame)) => {
                    assert_eq!(u16::from(frame.code), code, "{frame:?}");
                    return frame.reason.to_string();
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not the end: {other:?}"),
            }
        }
    }

    /// Goes without a word, like a phone in a tunnel.
    pub(crate) fn cut(self) {
        drop(self);
    }
}
