//! The bytes of an upgraded request as frames.
//!
//! Nothing is kept between frames, and what a header alone gives away is refused before the rest is
//! there. After the first error the rest is read and thrown away: closing a socket with something
//! unread resets it, and the peer might never see why.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::ws::{Codec, Frame, ProtocolError};
use actix_web::web::Payload;
use bytes::BytesMut;
use futures_util::Stream;
use tokio_util::codec::Decoder;

use crate::protocol::CloseCode;

/// The opcode of a close frame, in the first byte of its header.
const CLOSE: u8 = 0x8;
/// Set in the opcodes of control frames.
const CONTROL: u8 = 0x8;
const OPCODE: u8 = 0xf;

/// The length in the second byte of a header, or where the length is.
const LENGTH: u8 = 0x7f;
const LENGTH_IN_2_BYTES: u8 = 126;
const LENGTH_IN_8_BYTES: u8 = 127;

/// The frames of one connection. Ends when the other side is gone; says at most one error, the
/// close code RFC 6455 asks for.
pub struct Inbound {
    payload: Payload,
    codec: Codec,
    buffer: BytesMut,
    frame_bytes_max: usize,
    is_broken: bool,
    is_done: bool,
}

impl Inbound {
    /// The frames in `payload`, none longer than `frame_bytes_max`.
    pub fn new(payload: Payload, frame_bytes_max: usize) -> Self {
        let codec = Codec::new().max_size(frame_bytes_max);
        Self {
            payload,
            codec,
            buffer: BytesMut::new(),
            frame_bytes_max,
            is_broken: false,
            is_done: false,
        }
    }

    /// The next whole frame in the buffer.
    fn decode(&mut self) -> Option<Result<Frame, CloseCode>> {
        if let Err(code) = check(&self.buffer, self.frame_bytes_max) {
            return Some(Err(code));
        }
        match self.codec.decode(&mut self.buffer) {
            Ok(Some(frame)) => {
                if self.buffer.is_empty() {
                    // Lets the memory of the last read go.
                    self.buffer = BytesMut::new();
                }
                Some(Ok(frame))
            }
            Ok(None) => None,
            Err(error) => Some(Err(refusal(&error))),
        }
    }
}

impl Stream for Inbound {
    type Item = Result<Frame, CloseCode>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.is_done {
                return Poll::Ready(None);
            }
            if let Some(frame) = this.decode() {
                if frame.is_err() {
                    this.is_broken = true;
                    this.buffer = BytesMut::new();
                }
                return Poll::Ready(Some(frame));
            }
            match ready!(Pin::new(&mut this.payload).poll_next(cx)) {
                Some(Ok(_)) if this.is_broken => {}
                Some(Ok(chunk)) if this.buffer.is_empty() => {
                    this.buffer = chunk.try_into_mut().unwrap_or_else(|chunk| chunk[..].into());
                }
                Some(Ok(chunk)) => this.buffer.extend_from_slice(&chunk),
                // A socket that is gone is gone, whether it said so or not.
                Some(Err(_)) | None => this.is_done = true,
            }
        }
    }
}

/// Refuses what the codec would take, would refuse only once all of it came, or would refuse by
/// another name. A frame that has only begun is judged by what is there of its header.
fn check(buffer: &[u8], frame_bytes_max: usize) -> Result<(), CloseCode> {
    let [first, second, rest @ ..] = buffer else { return Ok(()) };
    let short = second & LENGTH;
    if first & CONTROL != 0 && short >= LENGTH_IN_2_BYTES {
        return Err(CloseCode::ProtocolError);
    }
    if first & OPCODE == CLOSE && has_spoiled_reason(rest, short.into()) {
        return Err(CloseCode::InvalidText);
    }
    let length = match (short, rest) {
        (LENGTH_IN_2_BYTES, [a, b, ..]) => u16::from_be_bytes([*a, *b]).into(),
        (LENGTH_IN_8_BYTES, [a, b, c, d, e, f, g, h, ..]) => {
            u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
        }
        (LENGTH_IN_2_BYTES | LENGTH_IN_8_BYTES, _) => return Ok(()),
        (_, _) => short.into(),
    };
    if i64::try_from(length).is_err() {
        return Err(CloseCode::ProtocolError);
    }
    match usize::try_from(length) {
        Ok(length) if length <= frame_bytes_max => Ok(()),
        Ok(_) | Err(_) => Err(CloseCode::TooBig),
    }
}

/// Whether the reason in a close frame is not UTF-8. `rest` is what follows the first two bytes of
/// its header: the mask, and a payload of `length` bytes that starts with a code.
fn has_spoiled_reason(rest: &[u8], length: usize) -> bool {
    let Some((mask, payload)) = rest.split_at_checked(4) else { return false };
    let Some(payload) = payload.get(..length) else { return false };
    let unmasked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let reason: Vec<u8> = unmasked.skip(2).collect();
    std::str::from_utf8(&reason).is_err()
}

/// The close code for what the codec refused.
fn refusal(error: &ProtocolError) -> CloseCode {
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

    #[test]
    fn a_header_is_judged_as_soon_as_it_says_enough() {
        for (start, verdict) in [
            (&b""[..], Ok(())),
            (b"\x81", Ok(())),
            (b"\x81\xff\0\0\0\0\0", Ok(())),
            (b"\x82\xfe\x03\xe8", Ok(())),
            (b"\x82\xfe\x03\xe9", Err(CloseCode::TooBig)),
            (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", Err(CloseCode::TooBig)),
            (b"\x82\xff\x80\0\0\0\0\0\0\0", Err(CloseCode::ProtocolError)),
            (b"\x89\xfe", Err(CloseCode::ProtocolError)),
            (b"\x88\xff", Err(CloseCode::ProtocolError)),
        ] {
            assert_eq!(check(start, 1000), verdict, "{start:?}");
        }
    }

    #[test]
    fn the_reason_of_a_close_must_be_utf_8() {
        assert_eq!(check(b"\x88\x83\0\0\0\0\x03\xe8\xff", 1000), Err(CloseCode::InvalidText));
        assert_eq!(check(b"\x88\x83\0\0\xff\0\x03\xe8\x86", 1000), Ok(()), "y, masked");
        assert_eq!(check(b"\x88\x83\0\0\0\0\x03\xe8", 1000), Ok(()), "not all there");
        assert_eq!(check(b"\x88\x82\0\0\0\0\xff\xff", 1000), Ok(()), "a code is no text");
    }
}
