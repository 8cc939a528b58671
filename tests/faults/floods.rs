//! Clients that read nothing, read slowly, say half of something, or too much of it. The hub's
//! memory stays bounded, and those who behave notice nothing.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use staffetta::auth::Scope;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::hub::Extra;
use crate::life::{Life, peak_kib};
use crate::{run, scale};

/// What all of this may add to the hub's resident memory, in MiB.
const GROWTH_MAX_MIB: u64 = 96;
const STUCK: usize = 10;
const HALF_OPEN: usize = 200;
const FRAMES: usize = 10_000;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn attach(life: &Life, user: &str) -> Socket {
    let url = format!("ws://127.0.0.1:{}/ws", life.process.port);
    let (mut socket, _) = connect_async(url).await.unwrap();
    let auth = json!({"type": "auth", "token": life.process.token(user, &[])});
    socket.send(Message::text(auth.to_string())).await.unwrap();
    loop {
        let frame = timeout(Duration::from_secs(20), socket.next()).await.unwrap();
        let Message::Text(text) = frame.unwrap().unwrap() else { continue };
        if text.contains("auth_success") {
            return socket;
        }
    }
}

/// Says the same for ever, reading nothing; says how often it could before it was cut or stuck.
async fn flood(mut socket: Socket, message: Message) -> usize {
    for said in 0..FRAMES * scale() {
        match timeout(Duration::from_secs(3), socket.send(message.clone())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return said,
        }
    }
    FRAMES * scale()
}

/// A request, and a frame, of which only the beginning comes.
async fn half_open(port: u16) -> Vec<TcpStream> {
    let frame = "GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut all = Vec::new();
    for number in 0..HALF_OPEN {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if number % 2 == 0 {
            socket.write_all(b"GET /ws HTTP/1.1\r\nHost:").await.unwrap();
        } else {
            socket.write_all(frame.as_bytes()).await.unwrap();
            // The header of a message of a megabyte, and its first kilobyte.
            socket.write_all(&[0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4]).await.unwrap();
            socket.write_all(&[b'x'; 1_024]).await.unwrap();
        }
        all.push(socket);
    }
    all
}

#[test]
fn who_reads_nothing_or_says_too_much_costs_bounded_memory() {
    run(async {
        let life = Life::start(|_| Extra::default()).await;
        let pid = life.process.child.id();
        let before = peak_kib(pid);
        let halves = half_open(life.process.port).await;

        // Ten who do not read, and one who reads slowly.
        let mut stuck = Vec::new();
        for _ in 0..STUCK {
            stuck.push(attach(&life, "stuck").await);
        }
        let mut slow = attach(&life, "stuck").await;
        let reading = tokio::spawn(async move {
            let mut read = 0;
            while let Some(Ok(_)) = slow.next().await {
                read += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            read
        });
        let token = life.process.token("app", &[Scope::Publish]);
        let large = json!({"type": "large", "data": {"text": "x".repeat(100_000)}});
        for _ in 0..100 * scale() {
            assert_eq!(life.post(&token, "stuck", &large).await.status, 201);
        }
        let after_stuck = peak_kib(pid);

        let id = uuid::Uuid::now_v7();
        let said = [
            json!({"type": "ack", "event_id": id}).to_string(),
            json!({"type": "ping"}).to_string(),
            "{\"type\":".to_owned(),
        ];
        let mut floods = Vec::new();
        for (number, text) in said.into_iter().enumerate() {
            let socket = attach(&life, &format!("flood-{number}")).await;
            floods.push(tokio::spawn(flood(socket, Message::text(text))));
        }
        let control = attach(&life, "flood-control").await;
        floods.push(tokio::spawn(flood(control, Message::Ping(vec![b'p'; 125].into()))));
        let mut said = Vec::new();
        for flood in floods {
            said.push(flood.await.unwrap());
        }
        life.expect_recovery().await;
        let after = peak_kib(pid);
        eprintln!(
            "resident at most: {} MiB before, {} with stuck readers, {} after floods of {said:?} \
             acks, pings, bad frames and control frames",
            before / 1_024,
            after_stuck / 1_024,
            after / 1_024
        );
        assert!((after - before) / 1_024 < GROWTH_MAX_MIB, "it grew from {before} to {after} KiB");
        drop((stuck, halves));
        reading.abort();
        life.end("floods").await;
    });
}
