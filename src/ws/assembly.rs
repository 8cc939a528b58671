//! Frames become messages: fragments are joined, text is checked, sizes are bounded.
//!
//! What a broken peer did wrong comes out as the close code RFC 6455 asks for.

use actix_http::ws::{Frame, Item, ProtocolError};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::protocol::CloseCode;

/// One thing a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message. Binary frames holding text are read alike.
    Message(ByteString),
    /// A message over the soft bound; it is dropped.
    TooLarge,
    /// A binary message that is not text.
    NotText,
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
    current: Option<(Kind, BytesMut, usize)>,
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
                self.current = Some((Kind::Text, BytesMut::new(), 0));
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.current = Some((Kind::Binary, BytesMut::new(), 0));
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let Some((kind, joined, size)) = &mut self.current else {
            return Some(Incoming::Broken(CloseCode::ProtocolError));
        };
        *size += bytes.len();
        if *size > limits.hard_max {
            self.current = None;
            return Some(Incoming::Broken(CloseCode::TooBig));
        }
        // What passes the soft bound will be dropped: no need to keep it.
        if *size > limits.soft_max {
            *joined = BytesMut::new();
        } else {
            joined.extend_from_slice(&bytes);
        }
        if !is_last {
            return None;
        }
        let is_too_large = *size > limits.soft_max;
        let (kind, joined) = (*kind, std::mem::take(joined).freeze());
        self.current = None;
        if is_too_large {
            return Some(Incoming::TooLarge);
        }
        Some(whole(kind, joined, limits))
    }
}

fn whole(kind: Kind, bytes: Bytes, limits: MessageLimits) -> Incoming {
    if bytes.len() > limits.soft_max {
        return Incoming::TooLarge;
    }
    match (ByteString::try_from(bytes), kind) {
        (Ok(text), _) => Incoming::Message(text),
        (Err(_), Kind::Text) => Incoming::Broken(CloseCode::InvalidText),
        (Err(_), Kind::Binary) => Incoming::NotText,
    }
}

/// The close code for what the codec refused.
pub fn refusal(error: &ProtocolError) -> CloseCode {
    match error {
        ProtocolError::Overflow => CloseCode::TooBig,
        ProtocolError::UnmaskedFrame
        | ProtocolError::MaskedFrame
        | ProtocolError::InvalidOpcode(_)
        | ProtocolError::InvalidLength(_)
        | ProtocolError::BadOpCode
        | ProtocolError::ContinuationNotStarted
        | ProtocolError::ContinuationStarted
        | ProtocolError::ContinuationFragment(_)
        | ProtocolError::Io(_) => CloseCode::ProtocolError,
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
        assert_eq!(assembly.take(last(b"\xab"), LIMITS), Some(Incoming::Message("zoë".into())));
    }

    #[test]
    fn text_that_is_not_utf_8_ends_the_connection_and_binary_does_not() {
        let mut assembly = Assembly::default();
        let bad = Bytes::from_static(b"\xff");
        let broken = Some(Incoming::Broken(CloseCode::InvalidText));
        assert_eq!(assembly.take(Frame::Text(bad.clone()), LIMITS), broken);
        assert_eq!(assembly.take(Frame::Binary(bad), LIMITS), Some(Incoming::NotText));
        assert_eq!(assembly.take(first(b"\xff"), LIMITS), None);
        assert_eq!(assembly.take(last(b""), LIMITS), broken);
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
