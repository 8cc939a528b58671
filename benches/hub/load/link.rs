//! A socket with what was read of it and not used yet.

use std::cell::Cell;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::piece::{Framing, Piece};

thread_local! {
    static OPENED: Cell<u8> = const { Cell::new(0) };
}

pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    pub(crate) framing: Framing,
    buffer: Vec<u8>,
    start: usize,
}

impl Link {
    pub(crate) async fn connect(port: u16, framing: Framing) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // One address has 28,000 ports, and finding a free one takes long when most are taken.
        let turn = OPENED.replace(OPENED.get().wrapping_add(1));
        socket.bind(SocketAddr::from(([127, 0, 1, turn], 0))).unwrap();
        let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, framing, buffer: Vec::new(), start: 0 }
    }

    /// Connects, and upgrades to a WebSocket.
    pub(crate) async fn upgrade(port: u16, path: &str) -> Self {
        let mut link = Self::connect(port, Framing::Http).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        link.send(request.as_bytes()).await;
        let (status, answer) = link.next(|piece| (piece.kind, piece.body.to_vec())).await;
        assert_eq!(status, 1, "{path}: {}", String::from_utf8_lossy(&answer));
        link.framing = Framing::WebSocket;
        link
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends one text frame, masked with zeros.
    pub(crate) async fn say(&mut self, text: &str) {
        let mut frame = Vec::new();
        super::piece::text_frame(text.as_bytes(), &mut frame);
        self.send(&frame).await;
    }

    /// What `take` makes of the next piece.
    pub(crate) async fn next<T>(&mut self, take: impl FnOnce(Piece<'_>) -> T) -> T {
        loop {
            if let Some(piece) = self.framing.piece(&self.buffer[self.start..]) {
                let taken = piece.taken;
                let made = take(piece);
                self.start += taken;
                return made;
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed");
        }
    }

    /// The next piece that is text of a WebSocket; pings are answered.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            let (kind, body) = self.next(|piece| (piece.kind, piece.body.to_vec())).await;
            if kind == super::piece::TEXT {
                return String::from_utf8(body).unwrap();
            }
        }
    }

    /// Uses every whole piece of what was read before and of `read`; keeps what is left.
    pub(crate) fn feed(&mut self, read: &[u8], mut each: impl FnMut(Piece<'_>)) {
        if self.start == self.buffer.len() {
            let taken = all(self.framing, read, &mut each);
            self.buffer.clear();
            self.start = 0;
            self.buffer.extend_from_slice(&read[taken..]);
            return;
        }
        self.buffer.drain(..self.start);
        self.buffer.extend_from_slice(read);
        self.start = all(self.framing, &self.buffer, &mut each);
    }
}

/// How much of `bytes` was whole pieces.
fn all(framing: Framing, bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) -> usize {
    let mut at = 0;
    while let Some(piece) = framing.piece(&bytes[at..]) {
        at += piece.taken;
        each(piece);
    }
    at
}
