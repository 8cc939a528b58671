//! WebSocket framing of what the hub sends: unmasked, never fragmented (RFC 6455, 5.2).

use bytes::{BufMut, Bytes, BytesMut};

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A text frame.
pub fn text(payload: &str) -> Bytes {
    frame(TEXT, payload.as_bytes())
}

/// A binary frame.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(BINARY, payload)
}

/// A ping; `payload` is at most 125 bytes.
pub fn ping(payload: &[u8]) -> Bytes {
    frame(PING, payload)
}

/// A pong; `payload` is at most 125 bytes, the ping's.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, payload)
}

/// A close frame; `reason` is at most 123 bytes. Without a code the frame is empty.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let mut payload = Vec::with_capacity(2 + reason.len());
    if let Some(code) = code {
        payload.put_u16(code);
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(CLOSE, &payload)
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

/// The frames made by this file that stand one after the other in `frames`, with their payloads.
pub fn parts(mut frames: &[u8]) -> impl Iterator<Item = (Opcode, &[u8])> {
    std::iter::from_fn(move || {
        let (opcode, payload, rest) = split(frames)?;
        frames = rest;
        Some((opcode, payload))
    })
}

/// The first frame: what it is, its payload, and what follows.
fn split(frames: &[u8]) -> Option<(Opcode, &[u8], &[u8])> {
    let (&[first, len], rest) = frames.split_first_chunk()?;
    let opcode = match first & !FIN {
        TEXT => Opcode::Text,
        BINARY => Opcode::Binary,
        CLOSE => Opcode::Close,
        PING => Opcode::Ping,
        PONG => Opcode::Pong,
        _ => return None,
    };
    let (len, rest) = match len {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*len)).ok()?, rest)
        }
        len => (usize::from(len), rest),
    };
    let (payload, rest) = rest.split_at_checked(len)?;
    Some((opcode, payload, rest))
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(FIN | opcode);
    match payload.len() {
        len @ 0..=125 => out.put_u8(len as u8),
        len @ 126..=0xffff => {
            out.put_u8(126);
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
    out.extend_from_slice(payload);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_the_shortest_form() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        assert_eq!(&text(&"x".repeat(126))[..4], b"\x81\x7e\x00\x7e");
        assert_eq!(&text(&"x".repeat(65536))[..10], b"\x81\x7f\0\0\0\0\0\x01\0\0");
        assert_eq!(&close(Some(4401), "no")[..], b"\x88\x04\x11\x31no");
        assert_eq!(&close(None, "")[..], b"\x88\0");
    }
}
