//! A device that follows its user by any node, applies once, acks mostly, and comes back for ever,
//! each time to another node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::history::{Arrival, History};
use crate::node::Places;
use crate::random::Random;
use crate::world::{NODES, user};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A hub that is silent for this long is asked whether it is there, and left after as long again.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How a device takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reliable, with what came while it was away.
    Replay,
    /// Reliable, with a full sync for what came while it was away.
    FullSync,
    /// It does not ack, and has what comes while it is there.
    Plain,
}

pub(crate) struct Device {
    user: usize,
    session: String,
    kind: Kind,
    places: Places,
    token: String,
    history: Arc<History>,
    random: Random,
    node: usize,
}

impl Device {
    pub(crate) fn new(
        user: usize,
        number: usize,
        kind: Kind,
        places: &Places,
        history: &Arc<History>,
        mut random: Random,
    ) -> Self {
        Self {
            user,
            session: format!("session-{user}-{number}"),
            kind,
            places: places.clone(),
            token: places.token(&crate::world::user(user), &[]),
            history: Arc::clone(history),
            node: random.below(NODES as u64) as usize,
            random,
        }
    }

    pub(crate) async fn follow(mut self, over: Arc<AtomicBool>) {
        loop {
            // Whatever ends a connection, it comes back elsewhere.
            self.connect(&over).await;
            tokio::time::sleep(Duration::from_millis(20 + self.random.below(100))).await;
            self.node = (self.node + 1 + self.random.below(NODES as u64 - 1) as usize) % NODES;
        }
    }

    async fn connect(&mut self, over: &AtomicBool) -> Option<()> {
        let url = format!("ws://127.0.0.1:{}/ws", self.places.ports[self.node]);
        let (mut socket, _) = timeout(SILENCE_MAX, connect_async(url)).await.ok()?.ok()?;
        let mut auth = json!({"type": "auth", "token": self.token});
        match self.kind {
            Kind::Replay => auth["offline"] = json!("replay"),
            Kind::FullSync => auth["offline"] = json!("full_sync"),
            Kind::Plain => {}
        }
        if self.kind != Kind::Plain {
            auth["session_id"] = json!(self.session);
            auth["confirm_sync"] = json!(true);
        }
        send(&mut socket, auth).await?;
        let mut left = 20 + self.random.below(400);
        let mut highest = 0;
        loop {
            let text = self.next(&mut socket).await?;
            let Ok(frame) = serde_json::from_str::<Value>(&text) else {
                self.history.complain(format!("not JSON: {text}"));
                return None;
            };
            if frame["type"] == "auth_ok" {
                self.attached(&frame, &mut socket).await?;
            }
            let Some((name, id, seq)) = self.event(&frame) else { continue };
            let is_over = over.load(Ordering::Acquire);
            left = left.saturating_sub(1);
            if !is_over && left == 0 {
                // It goes away without a word, and without this event.
                return None;
            }
            let arrival = Arrival::new(self.user, name, id, seq, &text);
            if self.kind == Kind::Plain {
                self.history.shown(&arrival, highest);
            } else {
                self.history.applied(&self.session, &arrival);
                self.ack(id, seq.max(highest), is_over, &mut socket).await?;
            }
            highest = highest.max(seq);
        }
    }

    /// The next frame; none when the connection is over, or the hub is.
    async fn next(&self, socket: &mut Socket) -> Option<String> {
        let mut is_asked = false;
        loop {
            match timeout(SILENCE_MAX, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => return Some(text.to_string()),
                Ok(Some(Ok(Message::Close(close)))) => {
                    self.history.closed(close.map_or(1005, |close| u16::from(close.code)));
                    return None;
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) => return None,
                Err(_) if is_asked => return None,
                Err(_) => {
                    send(socket, json!({"type": "ping"})).await?;
                    is_asked = true;
                }
            }
        }
    }

    async fn attached(&self, auth_ok: &Value, socket: &mut Socket) -> Option<()> {
        if auth_ok["user"] != user(self.user) || auth_ok["session_id"] != self.session.as_str() {
            self.history.complain(format!("{} became {auth_ok}", self.session));
        }
        let is_needed = auth_ok["need_full_sync"] == true;
        let cursor = auth_ok["cursor"].as_i64()?;
        self.history.attached(self.user, &self.session, is_needed, cursor);
        if is_needed {
            send(socket, json!({"type": "sync_complete"})).await?;
        }
        Some(())
    }

    /// The name, id and place of an event; none of another frame.
    fn event(&self, frame: &Value) -> Option<(Uuid, Uuid, i64)> {
        let id = Uuid::parse_str(frame["event_id"].as_str()?).ok()?;
        let name = frame["name"].as_str().and_then(|name| Uuid::parse_str(name).ok());
        match (name, frame["seq"].as_i64()) {
            (Some(name), Some(seq)) => Some((name, id, seq)),
            (None, _) | (_, None) => {
                self.history.complain(format!("{} was sent {frame}", self.session));
                None
            }
        }
    }

    /// Acks, mostly; now and then everything up to what it has.
    async fn ack(&mut self, id: Uuid, to: i64, is_over: bool, socket: &mut Socket) -> Option<()> {
        match self.random.below(16) {
            0 | 1 if !is_over => Some(()),
            2 => send(socket, json!({"type": "ack", "up_to": to})).await,
            _ => send(socket, json!({"type": "ack", "event_id": id})).await,
        }
    }
}

async fn send(socket: &mut Socket, frame: Value) -> Option<()> {
    let sent = socket.send(Message::text(frame.to_string()));
    timeout(SILENCE_MAX, sent).await.ok()?.ok()
}
