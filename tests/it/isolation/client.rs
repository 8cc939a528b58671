//! One connection of a user: everything that comes is searched for marks, and acked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::marks::Marks;
use crate::device::Device;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Clone)]
struct Writer(Arc<Mutex<SplitSink<Socket, Message>>>);

impl Writer {
    /// In one go: two small packets would wait for each other.
    async fn send_both(&self, first: &Value, second: &Value) {
        drop(self.0.lock().await.feed(Message::text(first.to_string())).await);
        self.send(second).await;
    }

    async fn send(&self, frame: &Value) {
        // A connection that has ended shows in what does not come back.
        drop(self.0.lock().await.send(Message::text(frame.to_string())).await);
    }
}

pub(super) struct Client {
    writer: Writer,
    frames: mpsc::UnboundedReceiver<Value>,
    reading: JoinHandle<()>,
    asked: u64,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Client {
    /// Goes on with a connection of `user`.
    pub(super) fn new(device: Device, user: usize, marks: Marks) -> Self {
        let (sink, stream) = device.socket.split();
        let writer = Writer(Arc::new(Mutex::new(sink)));
        let (told, frames) = mpsc::unbounded_channel();
        let reading = tokio::spawn(read(stream, writer.clone(), told, user, marks));
        Self { writer, frames, reading, asked: 0 }
    }

    /// Says something on `/ws`; gives everything that came until it was dealt with.
    pub(super) async fn ask(&mut self, frame: Value) -> Vec<Value> {
        self.asked += 1;
        let last = format!("asked {}", self.asked);
        self.writer.send_both(&frame, &json!({"type": "leave_note", "noteId": last})).await;
        self.until(|frame| frame["type"] == "note_left" && frame["noteId"] == last).await
    }

    /// Gives a command on `/updates`; says its reply.
    pub(super) async fn command(&mut self, name: &str, data: Value) -> Value {
        self.asked += 1;
        let reference = self.asked;
        let payload = json!({"name": name, "data": data, "ref": reference});
        self.writer.send(&json!({"type": "command", "payload": payload})).await;
        let is_reply = |frame: &Value| frame["payload"]["ref"] == reference;
        self.until(is_reply).await.pop().unwrap()
    }

    async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = timeout(Duration::from_secs(10), self.frames.recv()).await;
            let frame = frame.expect("an answer in time").expect("a live connection");
            frames.push(frame);
            if is_last(&frames[frames.len() - 1]) {
                return frames;
            }
        }
    }
}

async fn read(
    mut stream: SplitStream<Socket>,
    writer: Writer,
    told: mpsc::UnboundedSender<Value>,
    user: usize,
    marks: Marks,
) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        marks.search(user, &text, &text);
        let frame: Value = serde_json::from_str(&text).unwrap();
        let event =
            if frame["type"] == "update" { &frame["payload"]["ref"] } else { &frame["event_id"] };
        if let Some(name) = event.as_str() {
            marks.saw_event(name);
            let ack = match frame["type"].as_str() {
                Some("update") => json!({"type": "reply", "payload": {"ref": name}}),
                _ => json!({"type": "ack", "event_id": name}),
            };
            writer.send(&ack).await;
        }
        if told.send(frame).is_err() {
            return;
        }
    }
}
