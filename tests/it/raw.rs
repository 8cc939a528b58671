//! A WebSocket client that frames by hand, so that it can do it wrong.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::TestHub;

/// Longer than anything a test waits for.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longer than a frame on its way takes.
const SILENCE: Duration = Duration::from_millis(100);

/// A mask that changes every byte, each in its own way.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUE: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The headers of a good handshake, after its first line.
pub(crate) const HANDSHAKE: &str = "Host: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A frame as a client sends it: `first` is its first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A close frame with a code and a reason.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// The connection.
pub(crate) struct Raw {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    /// Connects, says `request`, and takes the head of the answer.
    pub(crate) async fn request(hub: &TestHub, request: &str) -> (Self, String) {
        let socket = TcpStream::connect(("127.0.0.1", hub.port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut raw = Self { socket, read: Vec::new() };
        raw.send(request.as_bytes()).await;
        loop {
            if let Some(end) = raw.read.windows(4).position(|end| end == b"\r\n\r\n") {
                let head: Vec<u8> = raw.read.drain(..end + 4).collect();
                return (raw, String::from_utf8(head).unwrap());
            }
            assert!(raw.fill().await, "the end, after {:?}", raw.read);
        }
    }

    /// Connects to `/ws` and takes the greeting.
    pub(crate) async fn connect(hub: &TestHub) -> Self {
        let (mut raw, head) =
            Self::request(hub, &format!("GET /ws HTTP/1.1\r\n{HANDSHAKE}\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(raw.json().await["type"], "connection_established");
        raw
    }

    /// Sends bytes. A hub that has already hung up is no failure: it has said why.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// Reads on; says whether there was anything.
    async fn fill(&mut self) -> bool {
        let mut chunk = vec![0; 64 * 1024];
        let read = timeout(DEADLINE, self.socket.read(&mut chunk)).await.expect("bytes in time");
        let read = read.unwrap();
        self.read.extend(&chunk[..read]);
        read > 0
    }

    /// The next frame, its first byte and its payload; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, length)) = measure(&self.read)
                && self.read.len() >= header + length
            {
                let frame: Vec<u8> = self.read.drain(..header + length).collect();
                return Some((frame[0], frame[header..].to_vec()));
            }
            if !self.fill().await {
                assert!(self.read.is_empty(), "half a frame: {:?}", self.read);
                return None;
            }
        }
    }

    /// The next frame, which must be JSON text in one frame.
    pub(crate) async fn json(&mut self) -> Value {
        let (first, payload) = self.next().await.expect("a frame");
        assert_eq!(first, FIN | TEXT, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// Expects that the hub waits for more.
    pub(crate) async fn nothing(&mut self) {
        if let Ok(frame) = timeout(SILENCE, self.next()).await {
            panic!("unexpected: {frame:?}");
        }
    }

    /// Expects a close frame, then the end of the stream; says the close frame's payload.
    pub(crate) async fn end(&mut self) -> Vec<u8> {
        let (first, payload) = self.next().await.expect("a close frame");
        assert_eq!(first, FIN | CLOSE, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(self.next().await, None);
        payload
    }

    /// Expects the end with this code.
    pub(crate) async fn ends_with(&mut self, code: u16) {
        let payload = self.end().await;
        assert_eq!(payload.get(..2), Some(&code.to_be_bytes()[..]), "{payload:?}");
        assert!(payload.len() > 2, "the hub says why");
    }
}

/// The lengths of a frame's header and payload, once they are there.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = *bytes.get(1)?;
    assert_eq!(second & 0x80, 0, "a hub does not mask");
    let extended = |end| bytes.get(2..end);
    match second {
        126 => Some((4, u16::from_be_bytes(extended(4)?.try_into().unwrap()).into())),
        127 => {
            let length = u64::from_be_bytes(extended(10)?.try_into().unwrap());
            Some((10, usize::try_from(length).unwrap()))
        }
        length => Some((2, length.into())),
    }
}
