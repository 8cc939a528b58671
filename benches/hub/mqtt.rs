//! The durable bench's load on mosquitto: MQTT 3.1.1, every publish and every delivery QoS 1.

use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::durable::{BATCH, BATCHES, Figure, PUBLISHERS, USERS};
use crate::server::Server;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS_1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;

/// Nothing is logged and nothing waits to be sent: both would only slow it down.
const SETTINGS: &str = "allow_anonymous true\nlog_dest none\nset_tcp_nodelay true\n";

/// Whether there is a mosquitto to compare with.
pub(crate) fn is_installed() -> bool {
    Command::new("mosquitto").arg("-h").output().is_ok()
}

/// Deliveries of QoS 1, each acked by its subscriber, each publish acked to its publisher.
pub(crate) async fn run() -> Figure {
    let server = Server::mosquitto(SETTINGS).await;
    let mut subscribers = Vec::new();
    for user in 0..USERS {
        for device in 0..2 {
            let name = format!("session-{user}-{device}");
            let mut subscriber = Mqtt::connect(server.port, &name).await;
            subscriber.subscribe(&format!("user-{user}")).await;
            subscribers.push(subscriber);
        }
    }
    let each = PUBLISHERS * BATCHES * BATCH / USERS;
    let (start, before) = (Instant::now(), server.cpu());
    let acking: Vec<_> = subscribers.into_iter().map(|s| tokio::spawn(s.ack_all(each))).collect();
    let mut publishing = Vec::new();
    for publisher in 0..PUBLISHERS {
        let publisher = Mqtt::connect(server.port, &format!("app-{publisher}")).await;
        publishing.push(tokio::spawn(publisher.publish_all()));
    }
    for task in publishing.into_iter().chain(acking) {
        task.await.unwrap();
    }
    Figure::new(each * USERS * 2, start.elapsed(), server.cpu() - before)
}

struct Mqtt {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Mqtt {
    /// Connects with a session that outlives the connection, as the hub's do.
    async fn connect(port: u16, name: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut mqtt = Self { stream, buffer: Vec::new(), start: 0 };
        let mut body = text("MQTT");
        // Version 3.1.1, no flags (so no clean session), no keep-alive.
        body.extend([4, 0, 0, 0]);
        body.extend(text(name));
        mqtt.send(&packet(CONNECT, &body)).await;
        let (kind, answer) = mqtt.next().await;
        assert_eq!((kind, answer[1]), (CONNACK, 0), "not connected");
        mqtt
    }

    async fn subscribe(&mut self, topic: &str) {
        let mut body = vec![0, 1];
        body.extend(text(topic));
        body.push(1);
        self.send(&packet(SUBSCRIBE, &body)).await;
        let (kind, answer) = self.next().await;
        assert_eq!((kind, answer[2]), (SUBACK, 1), "not subscribed");
    }

    /// Takes `count` events and acks each, one write per ack as the hub's devices do; then waits
    /// for the answer to a ping, which comes after the acks were read.
    async fn ack_all(mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let (kind, body) = self.next().await;
            assert_eq!(kind & 0xf6, PUBLISH_QOS_1);
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            self.send(&packet(PUBACK, &body[2 + topic..4 + topic])).await;
            left -= usize::from(kind & 0x08 == 0);
        }
        self.send(&packet(PINGREQ, &[])).await;
        assert_eq!(self.next().await.0, PINGRESP);
    }

    /// Publishes every batch in one write, and waits until all of it is acked.
    async fn publish_all(mut self) {
        let mut batch = Vec::new();
        for n in 0..BATCH {
            let mut body = text(&format!("user-{}", n % USERS));
            body.extend((n as u16 + 1).to_be_bytes());
            body.extend(format!(r#"{{"type":"added","id":"photo-{n}"}}"#).bytes());
            batch.extend(packet(PUBLISH_QOS_1, &body));
        }
        for _ in 0..BATCHES {
            self.send(&batch).await;
            for _ in 0..BATCH {
                let acked = tokio::time::timeout(Duration::from_secs(30), self.next()).await;
                assert_eq!(acked.unwrap().0, PUBACK);
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet: its first byte and its body.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(packet) = self.buffered() {
                return packet;
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "closed");
        }
    }

    fn buffered(&mut self) -> Option<(u8, Vec<u8>)> {
        let bytes = &self.buffer[self.start..];
        let kind = *bytes.first()?;
        let (mut length, mut at) = (0, 1);
        loop {
            let byte = *bytes.get(at)?;
            length |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = bytes.get(at..at + length)?.to_vec();
        self.start += at + length;
        Some((kind, body))
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        packet.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}
