//! The bytes of an upgraded request as frames.
//!
//! Nothing is kept between frames, and no frame may grow past the hard cap before it is refused.
//! After the first error the rest is read and thrown away: closing a socket with something unread
//! resets it, and the peer might never see why.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::ws::{Codec, Frame, ProtocolError};
use actix_web::web::Payload;
use bytes::BytesMut;
use futures_util::Stream;
use tokio_util::codec::Decoder;

/// The longest header of a frame, in bytes (RFC 6455, 5.2).
const HEADER_MAX: usize = 14;

/// The frames of one connection. Ends when the other side is gone; says at most one error.
pub(super) struct Inbound {
    payload: Payload,
    codec: Codec,
    buffer: BytesMut,
    frame_bytes_max: usize,
    is_broken: bool,
    is_done: bool,
}

impl Inbound {
    pub(super) fn new(payload: Payload, frame_bytes_max: usize) -> Self {
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
    fn decode(&mut self) -> Option<Result<Frame, ProtocolError>> {
        if self.buffer.is_empty() {
            return None;
        }
        match self.codec.decode(&mut self.buffer) {
            Ok(Some(frame)) => {
                if self.buffer.is_empty() {
                    // Lets the memory of the last read go.
                    self.buffer = BytesMut::new();
                }
                Some(Ok(frame))
            }
            Ok(None) if self.buffer.len() > self.frame_bytes_max + HEADER_MAX => {
                Some(Err(ProtocolError::Overflow))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Stream for Inbound {
    type Item = Result<Frame, ProtocolError>;

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
