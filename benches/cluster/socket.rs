//! Clients that cost as little as can be: the load must not be what is measured.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A WebSocket after its handshake, read frame by frame.
pub(crate) struct Ws {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Ws {
    /// Connects and authenticates, as this session.
    pub(crate) async fn attach(port: u16, token: &str, session: &str) -> Self {
        let mut ws = Self::open(port, "/ws").await;
        let auth = format!(
            r#"{{"type":"auth","token":"{token}","session_id":"{session}","offline":"replay"}}"#
        );
        ws.send(auth.as_bytes()).await;
        let answer = ws.next().await;
        assert!(answer.windows(6).any(|w| w == b"auth_o"), "not attached");
        ws
    }

    /// Upgrades, and passes over the first word.
    async fn open(port: u16, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut ws = Self { stream, buffer: Vec::new(), start: 0 };
        loop {
            ws.fill().await;
            if let Some(end) = ws.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                ws.start = end + 4;
                break;
            }
        }
        ws.next().await;
        ws
    }

    async fn fill(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(read > 0, "the server closed");
    }

    /// The next frame's payload; pings are passed over.
    pub(crate) async fn next(&mut self) -> Vec<u8> {
        loop {
            match self.buffered() {
                Some((0x1, payload)) => return payload,
                Some(_) => {}
                None => self.fill().await,
            }
        }
    }

    fn buffered(&mut self) -> Option<(u8, Vec<u8>)> {
        let bytes = &self.buffer[self.start..];
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (header, len) = match second {
            126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
            len => (2, usize::from(len)),
        };
        let payload = bytes.get(header..header + len)?.to_vec();
        self.start += header + len;
        Some((first & 0x0f, payload))
    }

    /// Sends a text frame, masked with zeros.
    pub(crate) async fn send(&mut self, payload: &[u8]) {
        let mut frame = vec![0x81];
        if payload.len() < 126 {
            frame.push(0x80 | payload.len() as u8);
        } else {
            frame.push(0x80 | 126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Reads `count` events and acks each.
    pub(crate) async fn ack_all(mut self, count: usize) -> Self {
        for _ in 0..count {
            let event = self.next().await;
            self.ack(std::str::from_utf8(&event).unwrap()).await;
        }
        self
    }

    /// Acks an event.
    pub(crate) async fn ack(&mut self, event: &str) {
        let at = event.find("\"event_id\":\"").unwrap() + 12;
        let ack = format!(r#"{{"type":"ack","event_id":"{}"}}"#, &event[at..at + 36]);
        self.send(ack.as_bytes()).await;
    }
}

/// A keep-alive HTTP connection.
pub(crate) struct Http {
    stream: TcpStream,
}

impl Http {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            assert!(self.stream.read_buf(&mut answer).await.unwrap() > 0, "no answer");
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if answer.len() >= end + 4 + length {
                let status = head[9..12].parse().unwrap();
                return (status, String::from_utf8_lossy(&answer[end + 4..]).into_owned());
            }
        }
    }
}
