//! Engine.IO 4 packets: what carries Socket.IO, one per WebSocket frame or several per poll.

use bytes::Bytes;
use bytestring::ByteString;

/// A packet that breaks the protocol: its connection ends, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("malformed packet")]
pub struct Malformed;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnginePacket {
    /// The first the hub says: the handshake.
    Open(ByteString),
    /// The end of the session.
    Close,
    /// Asks for a pong; with `probe`, over a new transport.
    Ping(ByteString),
    /// Answers a ping, with the same text.
    Pong(ByteString),
    /// A message.
    Message(ByteString),
    /// A message of bytes.
    Binary(Bytes),
    /// The new transport is used from now on.
    Upgrade,
    /// Nothing: ends a waiting poll.
    Noop,
}

impl EnginePacket {
    /// Reads a packet of text.
    ///
    /// # Errors
    /// When its first character is no type, or a type without text has some.
    pub fn parse(text: &ByteString) -> Result<Self, Malformed> {
        let kind = text.as_bytes().first().ok_or(Malformed)?;
        let rest = || text.slice_ref(text.get(1..).unwrap_or_default());
        let alone = |packet| if text.len() == 1 { Ok(packet) } else { Err(Malformed) };
        match kind {
            b'0' => Ok(EnginePacket::Open(rest())),
            b'1' => alone(EnginePacket::Close),
            b'2' => Ok(EnginePacket::Ping(rest())),
            b'3' => Ok(EnginePacket::Pong(rest())),
            b'4' => Ok(EnginePacket::Message(rest())),
            b'5' => alone(EnginePacket::Upgrade),
            b'6' => alone(EnginePacket::Noop),
            _ => Err(Malformed),
        }
    }

    /// Spells a packet as text; none for one of bytes.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            EnginePacket::Open(text) => format!("0{text}"),
            EnginePacket::Close => "1".to_owned(),
            EnginePacket::Ping(text) => format!("2{text}"),
            EnginePacket::Pong(text) => format!("3{text}"),
            EnginePacket::Message(text) => format!("4{text}"),
            EnginePacket::Upgrade => "5".to_owned(),
            EnginePacket::Noop => "6".to_owned(),
            EnginePacket::Binary(_) => return None,
        })
    }
}

/// What a client must know of the hub: the text of the open packet.
pub fn handshake(
    sid: &str,
    can_upgrade: bool,
    ping_interval_ms: u64,
    ping_timeout_ms: u64,
    max_payload: usize,
) -> String {
    let upgrades = if can_upgrade { "\"websocket\"" } else { "" };
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{ping_interval_ms},\
         \"pingTimeout\":{ping_timeout_ms},\"maxPayload\":{max_payload}}}"
    )
}
