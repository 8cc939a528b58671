//! Frames become messages: fragments are joined, text is checked, sizes are bounded.
//!
//! What a broken peer did wrong comes out as the close code RFC 6455 asks for.

use actix_http::ws::{Frame, Item};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::protocol::CloseCode;

/// One thing a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message.
    Text(ByteString),
    /// A whole binary message.
    Binary(Bytes),
    /// A message over the soft bound; it is dropped.
    TooLarge,
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// The answer to a ping of ours.
    Pong,
    /// The peer ends the connection, with this code if it gave one.
    Close(Option<u16>),
    /// The peer broke the protocol: end the connection.
    Broken(CloseCode),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// The fragments of one connection's current message.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Boxed: most messages are whole.
    current: Option<Box<Fragments>>,
}

#[derive(Debug)]
struct Fragments {
    kind: Kind,
    /// What came, as long as it is within the soft bound.
    joined: BytesMut,
    /// How much came, in bytes.
    size: usize,
    /// How much of `joined` is known to be UTF-8, in bytes.
    checked: usize,
}

/// How large a message may be.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// A longer one is dropped, in bytes.
    pub soft_max: usize,
    /// A longer one ends the connection, in bytes.
    pub hard_max: usize,
}

impl Assembly {
    /// Takes a frame; nothing comes of a fragment that is not the last.
    pub fn take(&mut self, frame: Frame, limits: MessageLimits) -> Option<Incoming> {
        match frame {
            Frame::Text(bytes) => Some(whole(Kind::Text, bytes, limits)),
            Frame::Binary(bytes) => Some(whole(Kind::Binary, bytes, limits)),
            Frame::Ping(payload) => Some(Incoming::Ping(payload)),
            Frame::Pong(_) => Some(Incoming::Pong),
            Frame::Close(reason) => {
                Some(Incoming::Close(reason.map(|reason| u16::from(reason.code))))
            }
            Frame::Continuation(item) => self.take_fragment(item, limits),
        }
    }

    fn take_fragment(&mut self, item: Item, limits: MessageLimits) -> Option<Incoming> {
        let (bytes, is_last) = match item {
            Item::FirstText(bytes) => {
                self.current = Some(Box::new(Fragments::of(Kind::Text)));
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.current = Some(Box::new(Fragments::of(Kind::Binary)));
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let Some(fragments) = &mut self.current else {
            return Some(Incoming::Broken(CloseCode::ProtocolError));
        };
        if let Err(code) = fragments.add(&bytes, limits) {
            self.current = None;
            return Some(Incoming::Broken(code));
        }
        if !is_last {
            return None;
        }
        let Fragments { kind, joined, size, .. } = *self.current.take()?;
        if size > limits.soft_max {
            return Some(Incoming::TooLarge);
        }
        Some(whole(kind, joined.freeze(), limits))
    }
}

impl Fragments {
    fn of(kind: Kind) -> Self {
        Self { kind, joined: BytesMut::new(), size: 0, checked: 0 }
    }

    /// Adds a fragment. Text is refused with the fragment that spoils it, not at its end.
    fn add(&mut self, bytes: &[u8], limits: MessageLimits) -> Result<(), CloseCode> {
        self.size += bytes.len();
        if self.size > limits.hard_max {
            return Err(CloseCode::TooBig);
        }
        // What passes the soft bound will be dropped: no need to keep it.
        if self.size > limits.soft_max {
            self.joined = BytesMut::new();
            return Ok(());
        }
        self.joined.extend_from_slice(bytes);
        if self.kind == Kind::Binary {
            return Ok(());
        }
        let unchecked = self.joined.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(unchecked) {
            Ok(_) => self.checked = self.joined.len(),
            // A character may be cut by the end of its fragment.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(CloseCode::InvalidText),
        }
        Ok(())
    }
}

fn whole(kind: Kind, bytes: Bytes, limits: MessageLimits) -> Incoming {
    if bytes.len() > limits.soft_max {
        return Incoming::TooLarge;
    }
    match kind {
        Kind::Binary => Incoming::Binary(bytes),
        Kind::Text => match ByteString::try_from(bytes) {
            Ok(text) => Incoming::Text(text),
            Err(_) => Incoming::Broken(CloseCode::InvalidText),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MessageLimits = MessageLimits { soft_max: 10, hard_max: 20 };

    fn first(text: &'static [u8]) -> Frame {
        Frame::Continuation(Item::FirstText(Bytes::from_static(text)))
    }

    fn last(text: &'static [u8]) -> Frame {
        Frame::Continuation(Item::Last(Bytes::from_static(text)))
    }

    #[test]
    fn fragments_are_joined_even_inside_a_character() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(first(b"zo\xc3"), LIMITS), None);
        assert_eq!(
            assembly.take(Frame::Ping(Bytes::new()), LIMITS),
            Some(Incoming::Ping(Bytes::new()))
        );
        assert_eq!(assembly.take(last(b"\xab"), LIMITS), Some(Incoming::Text("zoë".into())));
    }

    #[test]
    fn text_that_is_not_utf_8_ends_the_connection_and_binary_does_not() {
        let mut assembly = Assembly::default();
        let bad = Bytes::from_static(b"\xff");
        let broken = Some(Incoming::Broken(CloseCode::InvalidText));
        assert_eq!(assembly.take(Frame::Text(bad.clone()), LIMITS), broken);
        assert_eq!(assembly.take(Frame::Binary(bad.clone()), LIMITS), Some(Incoming::Binary(bad)));
        assert_eq!(assembly.take(first(b"zo\xc3"), LIMITS), None);
        assert_eq!(assembly.take(last(b""), LIMITS), broken, "half a character");
    }

    #[test]
    fn the_fragment_that_spoils_a_text_ends_the_connection() {
        let more = |text| Frame::Continuation(Item::Continue(Bytes::from_static(text)));
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(first(b"zo\xf4"), LIMITS), None);
        let broken = Some(Incoming::Broken(CloseCode::InvalidText));
        assert_eq!(assembly.take(more(b"\x90"), LIMITS), broken);
        assert_eq!(assembly.take(first(b"\xff"), LIMITS), broken);
    }

    #[test]
    fn a_message_over_the_soft_bound_is_dropped_and_over_the_hard_bound_is_fatal() {
        let mut assembly = Assembly::default();
        let eleven = Bytes::from_static(b"0123456789x");
        assert_eq!(assembly.take(Frame::Text(eleven), LIMITS), Some(Incoming::TooLarge));
        assembly.take(first(b"0123456789"), LIMITS);
        assert_eq!(assembly.take(last(b"x"), LIMITS), Some(Incoming::TooLarge));
        assembly.take(first(b"0123456789"), LIMITS);
        let fatal = Some(Incoming::Broken(CloseCode::TooBig));
        assert_eq!(assembly.take(last(b"01234567890"), LIMITS), fatal);
    }
}
