//! Wire spellings: each dialect turns frames into [`Command`]s and [`Push`]es and events into
//! frames. The hub never parses wire JSON itself.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

pub use self::burst::Burst;
use self::socketio::Marking;
use crate::protocol::{
    Command, DEFAULT_ACCOUNT, Event, OfflinePolicy, Push, ReplyTo, SessionRequest,
};

mod burst;
pub mod frame;
pub mod native;
mod notes;
pub mod socketio;
pub mod updates;

/// Which spelling a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialectKind {
    /// JSON objects on `/ws`.
    Native,
    /// Commands, replies and updates on `/updates`.
    Updates,
    /// Socket.IO events, marked in one of three ways.
    SocketIo(Marking),
}

impl DialectKind {
    /// How many spellings of an event there are.
    const COUNT: usize = 5;

    /// The dialect itself.
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            DialectKind::Native => &native::Native,
            DialectKind::Updates => &updates::Updates,
            DialectKind::SocketIo(Marking::Bare) => &socketio::SocketIo(Marking::Bare),
            DialectKind::SocketIo(Marking::Acked) => &socketio::SocketIo(Marking::Acked),
            DialectKind::SocketIo(Marking::Offset) => &socketio::SocketIo(Marking::Offset),
        }
    }

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            DialectKind::Native => "native",
            DialectKind::Updates => "updates",
            DialectKind::SocketIo(_) => "socketio",
        }
    }

    /// Which session a token asks for that came with the request and names none.
    pub fn session_default(self) -> SessionRequest {
        match self {
            DialectKind::Native | DialectKind::SocketIo(_) => SessionRequest::Plain,
            DialectKind::Updates => SessionRequest::New,
        }
    }

    /// The account of events and commands that name none, if they are in one at all.
    pub fn account_default(self) -> Option<&'static str> {
        match self {
            DialectKind::Native | DialectKind::SocketIo(_) => None,
            DialectKind::Updates => Some(DEFAULT_ACCOUNT),
        }
    }

    /// What becomes of events while a new session is away, unless it asks for something.
    pub fn offline_default(self) -> OfflinePolicy {
        match self {
            DialectKind::Native | DialectKind::SocketIo(_) => OfflinePolicy::FullSync,
            DialectKind::Updates => OfflinePolicy::Replay,
        }
    }

    fn index(self) -> usize {
        match self {
            DialectKind::Native => 0,
            DialectKind::Updates => 1,
            DialectKind::SocketIo(Marking::Bare) => 2,
            DialectKind::SocketIo(Marking::Acked) => 3,
            DialectKind::SocketIo(Marking::Offset) => 4,
        }
    }
}

/// Why a frame could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not a JSON object, or a field has the wrong shape.
    #[error("invalid message format")]
    InvalidFormat,
}

/// One spelling: a decode and an encode, pure.
pub trait Dialect: Send + Sync {
    /// Reads one frame.
    ///
    /// # Errors
    /// When it is not a frame of this dialect.
    fn decode(&self, frame: &ByteString) -> Result<Command, DecodeError>;

    /// Spells one push; none when this dialect has no word for it.
    fn encode(&self, push: &Push) -> Option<String>;

    /// Spells one push that answers a command, in a dialect whose replies name it.
    fn encode_reply(&self, push: &Push, to: &ReplyTo) -> Option<String> {
        let _ = to;
        self.encode(push)
    }

    /// Spells one event.
    fn encode_event(&self, event: &Event) -> String;
}

/// One event with its frames: encoded at most once per dialect, shared by every connection.
#[derive(Debug)]
pub struct EventFrames {
    event: Event,
    frames: [OnceLock<Bytes>; DialectKind::COUNT],
}

impl EventFrames {
    /// An event nobody has encoded yet.
    pub fn new(event: Event) -> Arc<Self> {
        Arc::new(Self { event, frames: Default::default() })
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The event as one framed WebSocket text message in this dialect.
    #[expect(clippy::indexing_slicing, reason = "index() is below COUNT")]
    pub fn framed(&self, kind: DialectKind) -> &Bytes {
        self.frames[kind.index()]
            .get_or_init(|| frame::text(&kind.dialect().encode_event(&self.event)))
    }
}

/// Adds `text` as a JSON string; most texts need no escapes.
fn push_json_string(frame: &mut String, text: &str) {
    let is_plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if is_plain {
        frame.push('"');
        frame.push_str(text);
        frame.push('"');
    } else {
        frame.push_str(&serde_json::json!(text).to_string());
    }
}
