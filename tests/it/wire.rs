//! Frames: good, bad, huge, and too many.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::device::Device;
use crate::world::{Database, TestHub, eventually};

/// What crosses the wire does not depend on the database.
pub(crate) fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

async fn hub() -> TestHub {
    TestHub::start(Database::Sqlite, |config| config.ws.close_grace_ms = 200).await
}

fn fragment(opcode: Data, is_final: bool, payload: &[u8]) -> Message {
    let opcode = OpCode::Data(opcode);
    let header = FrameHeader { opcode, is_final, ..FrameHeader::default() };
    Message::Frame(Frame::from_payload(header, payload.to_vec().into()))
}

#[test]
fn pings_are_answered_before_and_after_auth() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut device = Device::connect(&hub).await;
        device.send(json!({"type": "ping"})).await;
        let pong = device.next().await;
        assert_eq!(pong["type"], "pong");
        assert!(pong["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
        device.auth(&hub.token("alice"), json!("tab"), json!({})).await;
        device.send(json!({"type": "ping"})).await;
        assert_eq!(device.next().await["type"], "pong");
        device.send_raw(Message::Ping(b"hello".to_vec().into())).await;
        assert_eq!(device.next_raw().await, Message::Pong(b"hello".to_vec().into()));
    });
}

#[test]
fn what_cannot_be_read_is_answered_and_the_connection_lives() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut device = Device::connect(&hub).await;
        for frame in
            ["", "{", "[1]", "7", "{}", r#"{"type":"ack"}"#, r#"{"type":"auth","token":1}"#]
        {
            device.send_raw(Message::text(frame)).await;
            device.error("Invalid message format").await;
        }
        device.send(json!({"type": "shout"})).await;
        device.error("Unknown message type").await;
        device.send_raw(Message::binary(b"\xff\xfe".to_vec())).await;
        device.error("Invalid message format").await;
        device.send(json!({"type": "ack", "event_id": "unknown"})).await;
        device.send(json!({"type": "sync_complete"})).await;
        device.nothing().await;
    });
}

#[test]
fn binary_frames_and_fragments_are_read_alike() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut device = Device::connect(&hub).await;
        device.send_raw(Message::binary(br#"{"type":"ping"}"#.to_vec())).await;
        assert_eq!(device.next().await["type"], "pong");
        device.send_raw(fragment(Data::Text, false, br#"{"ty"#)).await;
        device.send_raw(fragment(Data::Continue, false, br#"pe":"p"#)).await;
        device.send_raw(Message::Ping(b"between".to_vec().into())).await;
        device.send_raw(fragment(Data::Continue, true, br#"ing"}"#)).await;
        assert_eq!(device.next_raw().await, Message::Pong(b"between".to_vec().into()));
        assert_eq!(device.next().await["type"], "pong");
    });
}

#[test]
fn a_message_over_1_mib_is_refused_and_one_over_8_mib_is_the_end() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut device = Device::connect(&hub).await;
        device.send_raw(Message::text("x".repeat(1024 * 1024 + 1))).await;
        device.error("Message too large. Maximum size is 1MB.").await;
        device.send(json!({"type": "ping"})).await;
        assert_eq!(device.next().await["type"], "pong");
        device.send_raw(fragment(Data::Text, false, &vec![b'x'; 5 * 1024 * 1024])).await;
        let _ = futures_util::SinkExt::send(
            &mut device.socket,
            fragment(Data::Continue, true, &vec![b'x'; 4 * 1024 * 1024]),
        )
        .await;
        device.closed(1009).await;
    });
}

#[test]
fn too_many_frames_are_refused_but_acks_and_pings_are_not_counted() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |c| c.limits.frames_per_minute_max = 5).await;
        let mut device = Device::connect(&hub).await;
        for _ in 0..5 {
            device.send(json!({"type": "shout"})).await;
            device.error("Unknown message type").await;
        }
        device.send(json!({"type": "shout"})).await;
        device.error("Rate limit exceeded. Please slow down.").await;
        for _ in 0..20 {
            device.send(json!({"type": "ack", "up_to": 1})).await;
        }
        device.send(json!({"type": "ping"})).await;
        assert_eq!(device.next().await["type"], "pong");
    });
}

/// Sends raw bytes after a handshake of our own; says the close code that comes back.
async fn close_code_for(hub: &TestHub, bytes: &[u8]) -> u16 {
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", hub.port)).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    let read = socket.read_to_end(&mut all);
    tokio::time::timeout(std::time::Duration::from_secs(5), read).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&all);
    assert!(text.starts_with("HTTP/1.1 101"), "{text}");
    assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
    // The last frame is the close frame: 0x88, a length, a code.
    let close = all.iter().rposition(|byte| *byte == 0x88).unwrap();
    u16::from_be_bytes([all[close + 2], all[close + 3]])
}

#[test]
fn who_breaks_the_protocol_is_told_how_and_the_socket_ends() {
    on_sqlite(|| async {
        let hub = hub().await;
        for (bytes, code) in [
            (&b"\x81\x82\0\0\0\0\xff\xff"[..], 1007), // text that is not UTF-8
            (b"\x81\x02hi", 1002),                    // not masked
            (b"\xc1\x80\0\0\0\0", 1002),              // a reserved bit
            (b"\x83\x80\0\0\0\0", 1002),              // a reserved opcode
            (b"\x80\x80\0\0\0\0", 1002),              // nothing to continue
            (b"\x09\x80\0\0\0\0", 1002),              // a fragmented ping
            (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),      // a long ping, cut short below
            (b"\x88\x81\0\0\0\0\x03", 1002),          // half a close code
            (b"\x88\x82\0\0\0\0\x03\xed", 1002),      // a close code that must not be sent
        ] {
            let mut bytes = bytes.to_vec();
            if bytes[..2] == [0x89, 0xfe] {
                bytes.extend([0; 126]);
            }
            assert_eq!(close_code_for(&hub, &bytes).await, code, "{bytes:?}");
        }
        // A good end is answered with its own code.
        assert_eq!(close_code_for(&hub, b"\x88\x82\0\0\0\0\x03\xe8").await, 1000);
    });
}

#[test]
fn a_stuck_reader_is_cut_off_and_the_others_get_everything() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |config| {
            config.ws.close_grace_ms = 200;
            config.limits.outbox_bytes_max = 256 * 1024;
            config.delivery.in_flight_bytes_max = 128 * 1024;
        })
        .await;
        let stuck = Device::plain(&hub, "alice").await;
        let mut reader = Device::plain(&hub, "alice").await;
        let data = json!("x".repeat(64 * 1024));
        let reading = async {
            for seq in 1..=256 {
                reader.event(seq).await;
            }
        };
        let publishing = async {
            for _ in 0..256 {
                hub.publish("alice", "big", data.clone()).await;
            }
        };
        tokio::join!(reading, publishing);
        hub.wait_for_live("alice", 1).await;
        let text = hub.hub.metrics().text();
        assert!(text.contains("staffetta_outbox_overflows_total 1"), "{text}");
        eventually("the socket is gone", || async {
            hub.hub.metrics().text().contains("staffetta_connections{dialect=\"native\"} 1")
        })
        .await;
        drop(stuck);
    });
}

#[test]
fn who_answers_no_ping_is_dead() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |c| c.ws.ping_interval_ms = 200).await;
        let silent = Device::plain(&hub, "alice").await;
        let mut lively = Device::plain(&hub, "alice").await;
        let living = async {
            // Reading answers the pings.
            lively.event(1).await;
        };
        let dying = async {
            hub.wait_for_live("alice", 1).await;
            hub.publish("alice", "added", json!({})).await;
        };
        tokio::join!(living, dying);
        drop(silent);
    });
}
