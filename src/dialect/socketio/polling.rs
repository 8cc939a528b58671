//! Several packets in one HTTP body: joined by U+001E, bytes in base64 after a `b`.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use bytestring::ByteString;

use super::engine::{EnginePacket, Malformed};
use crate::dialect::frame::{self, Opcode};

/// What stands between two packets.
const SEPARATOR: char = '\x1e';

/// Clients pad or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The body of a POST whose every packet can be read. They are read one by one: a body of small
/// packets takes no more memory than its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(ByteString);

impl Payload {
    /// Takes a body.
    ///
    /// # Errors
    /// When it is not UTF-8, or one of its packets is malformed.
    pub fn parse(body: Bytes) -> Result<Self, Malformed> {
        let payload = Self(ByteString::try_from(body).map_err(|_| Malformed)?);
        for packet in payload.packets() {
            packet?;
        }
        Ok(payload)
    }

    /// Its packets, in order.
    pub fn packets(&self) -> impl Iterator<Item = Result<EnginePacket, Malformed>> {
        self.0.split(SEPARATOR).map(|text| match text.strip_prefix('b') {
            Some(base64) => {
                let bytes = BASE64.decode(base64).map_err(|_| Malformed)?;
                Ok(EnginePacket::Binary(bytes.into()))
            }
            None => EnginePacket::parse(&self.0.slice_ref(text)),
        })
    }
}

/// What a poll is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollBody {
    /// The packets, joined.
    pub text: String,
    /// Whether the last one ends the session.
    pub is_last: bool,
}

impl PollBody {
    /// Adds what waits in an outbox: WebSocket frames. Those about the WebSocket itself are left
    /// out, a close frame is a close packet.
    pub fn push(&mut self, frames: &[u8]) {
        for (opcode, payload) in frame::parts(frames) {
            match opcode {
                Opcode::Text => self.join(&String::from_utf8_lossy(payload)),
                Opcode::Binary => self.join(&format!("b{}", BASE64.encode(payload))),
                Opcode::Close => {
                    self.join("1");
                    self.is_last = true;
                }
                Opcode::Ping | Opcode::Pong => {}
            }
        }
    }

    fn join(&mut self, packet: &str) {
        if !self.text.is_empty() {
            self.text.push(SEPARATOR);
        }
        self.text.push_str(packet);
    }
}
