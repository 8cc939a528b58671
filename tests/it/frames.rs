//! The WebSocket protocol, case by case, on `/ws`: what the Autobahn fuzzing client asks of an
//! echo server, asked of the hub.

use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::{Value, json};
use staffetta::extension::{ClientMessage, Connected, Extension, Handled};

use crate::raw::{BINARY, CLOSE, CONTINUE, FIN, PING, PONG, Raw, TEXT, close, frame};
use crate::world::{Database, TestHub};

const HEY: &[u8] = br#"{"type":"ping"}"#;

/// Says every message of type `echo` again, byte by byte.
struct Echo;

impl Extension for Echo {
    fn on_message<'a>(
        &'a self,
        _connection: &'a Connected,
        message: &'a ClientMessage,
    ) -> BoxFuture<'a, Handled> {
        async move { Handled::Reply(message.frame.clone()) }.boxed()
    }
}

/// What crosses the wire does not depend on the database.
fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

async fn hub() -> TestHub {
    let adjust = |config: &mut staffetta::Config| config.limits.frames_per_minute_max = 100_000;
    TestHub::start_with(Database::Sqlite, adjust, |builder| builder.extension(Echo)).await
}

/// A connection that may use `echo`.
async fn echoing(hub: &TestHub) -> Raw {
    let mut raw = Raw::connect(hub).await;
    let auth = json!({"type": "auth", "token": hub.token("alice")}).to_string();
    raw.send(&frame(FIN | TEXT, auth.as_bytes())).await;
    assert_eq!(raw.json().await["type"], "auth_success");
    raw
}

/// An `echo` of exactly this many bytes.
fn echo(bytes: usize) -> Vec<u8> {
    let (head, tail) = (r#"{"type":"echo","text":""#, r#""}"#);
    let text = "*".repeat(bytes - head.len() - tail.len());
    format!("{head}{text}{tail}").into_bytes()
}

/// Expects that the connection is alive.
async fn lives(raw: &mut Raw) {
    raw.send(&frame(FIN | TEXT, HEY)).await;
    assert_eq!(raw.json().await["type"], "pong");
}

/// Expects that each of these ends a connection with this code.
async fn break_it(hub: &TestHub, all: impl IntoIterator<Item = Vec<u8>>, code: u16) {
    let each = all.into_iter().map(|bytes| async move {
        let mut raw = Raw::connect(hub).await;
        raw.send(&bytes).await;
        let payload = raw.end().await;
        let shown = &bytes[..bytes.len().min(40)];
        assert_eq!(payload.get(..2), Some(&code.to_be_bytes()[..]), "{shown:02x?}");
        assert!(payload.len() > 2, "the hub says why");
    });
    join_all(each).await;
}

#[test]
fn messages_of_every_length_come_through() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = echoing(&hub).await;
        for kind in [TEXT, BINARY] {
            for bytes in [125, 126, 127, 128, 65_534, 65_535, 65_536, 500_000] {
                let message = echo(bytes);
                raw.send(&frame(FIN | kind, &message)).await;
                assert!(raw.next().await == Some((FIN | TEXT, message)), "{bytes} bytes");
            }
            raw.send(&frame(FIN | kind, b"")).await;
            assert_eq!(raw.json().await["message"], "Invalid message format");
        }
        // Longer spellings of a length than it needs are read alike.
        for long in [&b"\x81\xfe\0\x0f\0\0\0\0"[..], b"\x81\xff\0\0\0\0\0\0\0\x0f\0\0\0\0"] {
            raw.send(&[long, HEY].concat()).await;
            assert_eq!(raw.json().await["type"], "pong");
        }
    });
}

#[test]
fn a_message_is_the_same_however_it_is_cut() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = echoing(&hub).await;
        let message = "{\"type\":\"echo\",\"text\":\"κόσμε 𝄞\"}".as_bytes();
        for kind in [TEXT, BINARY] {
            for middle in 0..=message.len() {
                let (one, two) = message.split_at(middle);
                raw.send(&[frame(kind, one), frame(FIN, two)].concat()).await;
                assert_eq!(raw.next().await, Some((FIN | TEXT, message.to_vec())), "{middle}");
            }
            // A frame for every byte, empty frames and pings between.
            let mut bytes = frame(kind, b"");
            for byte in message {
                bytes.extend(frame(CONTINUE, &[*byte]));
                bytes.extend(frame(CONTINUE, b""));
                bytes.extend(frame(FIN | PONG, b"unasked"));
            }
            bytes.extend(frame(FIN | PING, b"between"));
            bytes.extend(frame(FIN, b""));
            raw.send(&bytes).await;
            assert_eq!(raw.next().await, Some((FIN | PONG, b"between".to_vec())));
            assert_eq!(raw.next().await, Some((FIN | TEXT, message.to_vec())));
        }
        // A segment for every byte.
        for byte in frame(FIN | TEXT, message) {
            raw.send(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(raw.next().await, Some((FIN | TEXT, message.to_vec())));
    });
}

#[test]
fn pings_of_every_length_are_answered_in_order() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = Raw::connect(&hub).await;
        let payloads: Vec<Vec<u8>> = (0..=125).map(|length| vec![0xfe; length]).collect();
        let pings: Vec<u8> = payloads.iter().flat_map(|bytes| frame(FIN | PING, bytes)).collect();
        raw.send(&pings).await;
        for payload in payloads {
            assert_eq!(raw.next().await, Some((FIN | PONG, payload)));
        }
        raw.send(&frame(FIN | PONG, b"unasked")).await;
        raw.send(&frame(FIN | PONG, b"")).await;
        lives(&mut raw).await;
    });
}

#[test]
fn a_frame_that_must_not_be_is_a_protocol_error() {
    on_sqlite(|| async {
        let hub = hub().await;
        let reserved_bits = (1..8).map(|bits| frame(FIN | (bits << 4) | TEXT, HEY));
        let reserved_opcodes = (0x3..=0x7).chain(0xb..=0xf).map(|opcode| frame(FIN | opcode, b""));
        let unmasked = [TEXT, BINARY, PING, PONG, CLOSE].map(|opcode| vec![FIN | opcode, 0]);
        let control = [PING, PONG, CLOSE].into_iter().flat_map(|opcode| {
            [frame(FIN | opcode, &[0; 126]), vec![FIN | opcode, 0xfe], frame(opcode, b"")]
        });
        let all = reserved_bits.chain(reserved_opcodes).chain(unmasked).chain(control);
        // The first bit of the length.
        let length = b"\x82\xff\x80\0\0\0\0\0\0\x01\0\0\0\0".to_vec();
        break_it(&hub, all.chain([length]), 1002).await;
    });
}

#[test]
fn fragments_out_of_order_are_a_protocol_error() {
    on_sqlite(|| async {
        let hub = hub().await;
        let start = frame(TEXT, b"{");
        let cases: [Vec<Vec<u8>>; 8] = [
            vec![frame(FIN, HEY)],
            vec![frame(CONTINUE, HEY)],
            vec![frame(CONTINUE, b""), frame(FIN, HEY)],
            vec![start.clone(), frame(FIN | TEXT, HEY)],
            vec![start.clone(), frame(TEXT, b"}"), frame(FIN, b"")],
            vec![start.clone(), frame(BINARY, b"}"), frame(FIN, b"")],
            vec![start.clone(), frame(FIN | BINARY, b"}")],
            vec![start, frame(PING, b"cut"), frame(FIN, b"}")],
        ];
        break_it(&hub, cases.map(|frames| frames.concat()), 1002).await;
        // A message that has ended cannot go on.
        let mut raw = Raw::connect(&hub).await;
        raw.send(&[frame(TEXT, HEY), frame(FIN, b""), frame(FIN, b"")].concat()).await;
        assert_eq!(raw.json().await["type"], "pong");
        raw.ends_with(1002).await;
    });
}

#[test]
fn text_that_is_not_utf_8_ends_the_connection() {
    on_sqlite(|| async {
        let hub = hub().await;
        let bad = [
            &b"\x80"[..],            // a continuation byte alone
            b"\xbf\xbf",             // two of them
            b"\xc0\x80",             // NUL, too long
            b"\xc1\xbf",             // too long
            b"\xe0\x9f\xbf",         // too long
            b"\xf0\x8f\xbf\xbf",     // too long
            b"\xed\xa0\x80",         // a surrogate
            b"\xed\xbf\xbf",         // a surrogate
            b"\xf4\x90\x80\x80",     // past the last character
            b"\xf8\x88\x80\x80\x80", // five bytes
            b"\xfe",
            b"\xff",
            b"\xc3\x28",         // a character that does not go on
            b"\xce\xba\xe1\xbd", // a character cut by the end
        ];
        let all = bad.into_iter().flat_map(|bad| {
            [
                frame(FIN | TEXT, bad),
                [frame(TEXT, bad), frame(FIN, b"")].concat(),
                [frame(TEXT, b"x"), frame(FIN, bad)].concat(),
                close(1000, bad),
            ]
        });
        break_it(&hub, all, 1007).await;
        let mut raw = Raw::connect(&hub).await;
        for good in ["\0", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{ffff}", "\u{10ffff}"] {
            raw.send(&frame(FIN | TEXT, good.as_bytes())).await;
            assert_eq!(raw.json().await["message"], "Invalid message format");
        }
        raw.send(&frame(FIN | BINARY, b"\xff")).await;
        assert_eq!(raw.json().await["message"], "Invalid message format");
        lives(&mut raw).await;
    });
}

#[test]
fn a_text_is_refused_with_the_fragment_that_spoils_it() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = Raw::connect(&hub).await;
        raw.send(&frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xf4")).await;
        raw.nothing().await;
        raw.send(&frame(CONTINUE, b"\x90")).await;
        raw.ends_with(1007).await;
    });
}

#[test]
fn a_close_is_answered_with_its_own_code() {
    on_sqlite(|| async {
        let hub = hub().await;
        let good = (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]);
        for code in good {
            for reason in [&b""[..], b"bye", &[b'*'; 123]] {
                let mut raw = Raw::connect(&hub).await;
                raw.send(&close(code, reason)).await;
                assert_eq!(raw.end().await, code.to_be_bytes(), "{code}");
            }
        }
        let mut raw = Raw::connect(&hub).await;
        raw.send(&frame(FIN | CLOSE, b"")).await;
        assert_eq!(raw.end().await, b"");
    });
}

#[test]
fn a_close_that_must_not_be_is_a_protocol_error() {
    on_sqlite(|| async {
        let hub = hub().await;
        let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
        let half = frame(FIN | CLOSE, b"\x03");
        let all = codes.map(|code| close(code, b"")).into_iter();
        break_it(&hub, all.chain([half, close(1000, &[b'*'; 124])]), 1002).await;
    });
}

#[test]
fn nothing_is_read_after_a_close() {
    on_sqlite(|| async {
        let hub = hub().await;
        for after in [
            frame(FIN | PING, b"late"),
            frame(FIN | TEXT, HEY),
            close(1001, b""),
            vec![0xff; 300_000],
        ] {
            let mut raw = Raw::connect(&hub).await;
            raw.send(&[close(1000, b""), after].concat()).await;
            assert_eq!(raw.end().await, 1000_u16.to_be_bytes());
        }
        // Nor after what broke the protocol.
        let mut raw = Raw::connect(&hub).await;
        raw.send(&[b"\x81\0".to_vec(), vec![0x55; 3_000_000]].concat()).await;
        raw.ends_with(1002).await;
    });
}

#[test]
fn who_has_said_goodbye_need_not_wait() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = echoing(&hub).await;
        raw.send(&frame(FIN | TEXT, &echo(200_000))).await;
        raw.send(&close(1000, b"")).await;
        let start = start();
        while let Some((first, _)) = raw.next().await {
            assert!([FIN | TEXT, FIN | CLOSE].contains(&first), "{first}");
        }
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    });
}

#[expect(clippy::disallowed_methods, reason = "the test measures how long the hub takes")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn a_message_within_the_cap_is_answered_and_one_beyond_is_the_end() {
    const MIB: usize = 1024 * 1024;
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = echoing(&hub).await;
        raw.send(&frame(FIN | TEXT, &echo(MIB))).await;
        assert_eq!(raw.next().await.map(|(_, payload)| payload.len()), Some(MIB));
        for bytes in [MIB + 1, 8 * MIB] {
            raw.send(&frame(FIN | BINARY, &vec![0; bytes])).await;
            assert_eq!(raw.json().await["message"], "Message too large. Maximum size is 1MB.");
        }
        // In fragments of 64 KiB.
        let mut bytes = frame(TEXT, b"");
        for _ in 0..128 {
            bytes.extend(frame(CONTINUE, &vec![b'*'; MIB / 16]));
        }
        raw.send(&bytes).await;
        raw.send(&frame(FIN, b"")).await;
        assert_eq!(raw.json().await["message"], "Message too large. Maximum size is 1MB.");
        raw.send(&bytes).await;
        raw.send(&frame(FIN, b"*")).await;
        raw.ends_with(1009).await;
        // A header is enough.
        let headers = [
            &b"\x82\xff\0\0\0\0\0\x80\0\x01\0\0\0\0"[..],
            b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
        ];
        break_it(&hub, headers.map(<[u8]>::to_vec), 1009).await;
    });
}

#[test]
fn many_small_messages_are_answered_in_order() {
    on_sqlite(|| async {
        let hub = hub().await;
        let mut raw = echoing(&hub).await;
        for round in 0..10 {
            let messages: Vec<Value> = (0..10)
                .map(|number| json!({"type": "echo", "number": round * 10 + number}))
                .collect();
            let bytes: Vec<u8> = messages
                .iter()
                .flat_map(|message| frame(FIN | TEXT, message.to_string().as_bytes()))
                .collect();
            raw.send(&bytes).await;
            for message in messages {
                assert_eq!(raw.json().await, message);
            }
        }
    });
}
