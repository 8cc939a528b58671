//! The dialects: frames of clients, and packets of Socket.IO and Engine.IO.

use std::sync::LazyLock;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;
use staffetta::UserId;
use staffetta::auth::SessionKeys;
use staffetta::dialect::socketio::engine::EnginePacket;
use staffetta::dialect::socketio::packet::{Body, Packet};
use staffetta::dialect::socketio::polling::{Payload, PollBody};
use staffetta::dialect::socketio::{parse_offset, spell_offset};
use staffetta::dialect::{Dialect, frame, native::Native, updates::Updates};
use staffetta::protocol::{Command, Timestamp};

/// What an envelope of the seeds is signed at.
const NOW: Timestamp = Timestamp(1_700_000_000_000);

static KEYS: LazyLock<SessionKeys> = LazyLock::new(|| {
    let user = UserId::new("alice").expect("a name within the limits");
    SessionKeys::new("token", &user, NOW)
});

const NOTE_KINDS: [&str; 9] = [
    "join_note",
    "leave_note",
    "note_update",
    "note_created",
    "note_deleted",
    "folder_created",
    "folder_updated",
    "folder_deleted",
    "note_signal",
];

fn text(data: &[u8]) -> Option<ByteString> {
    ByteString::try_from(Bytes::copy_from_slice(data)).ok()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

pub fn native(data: &[u8]) {
    let Some(frame) = text(data) else { return };
    let Ok(command) = Native.decode(&frame) else { return };
    assert!(is_json(&frame), "a frame that is no JSON was taken");
    if let Command::Signed(signed) = command {
        assert!(is_json(&signed.payload));
        let _ = KEYS.check(&signed, NOW);
    }
}

/// The first byte chooses the command, the rest is what its object holds.
pub fn notes(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Some(rest) = text(rest) else { return };
    let kind = NOTE_KINDS[usize::from(*first) % NOTE_KINDS.len()];
    let frame = ByteString::from(format!("{{\"type\":\"{kind}\",{rest}}}"));
    if Native.decode(&frame).is_ok() {
        assert!(is_json(&frame), "a frame that is no JSON was taken");
    }
}

/// Two lines and the rest: timestamp, signature, payload.
pub fn envelope(data: &[u8]) {
    let Some(all) = text(data) else { return };
    let mut parts = all.splitn(3, '\n');
    let (Some(timestamp), Some(signature), Some(payload)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let frame = format!(
        "{{\"payload\":{payload},\"signature\":{signature},\"timestamp\":{timestamp},\"nonce\":\"n\"}}"
    );
    let Ok(Command::Signed(signed)) = Native.decode(&frame.into()) else { return };
    if KEYS.check(&signed, NOW).is_ok() {
        // Signed in good time, or not at all.
        let signed_at: i64 = signed.timestamp.parse().expect("a number was checked");
        assert!((NOW.0 - signed_at).abs() <= 300_000);
    }
}

pub fn updates(data: &[u8]) {
    let Some(frame) = text(data) else { return };
    if Updates.decode(&frame).is_ok() {
        assert!(is_json(&frame), "a frame that is no JSON was taken");
    }
}

pub fn engine(data: &[u8]) {
    let Some(frame) = text(data) else { return };
    let Ok(packet) = EnginePacket::parse(&frame) else { return };
    assert_eq!(packet.text().as_deref(), Some(&*frame), "read and spelled alike");
}

pub fn socketio(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(seq) = parse_offset(text) {
        assert_eq!(parse_offset(&spell_offset(seq)), Some(seq));
    }
    let Ok(packet) = Packet::parse(text) else { return };
    match packet.body {
        Body::Connect(payload) => assert!(payload.is_none_or(|json| is_json(&json))),
        Body::Disconnect => {}
        Body::Event { args, .. } | Body::Ack { args, .. } => {
            let read = serde_json::from_str::<Vec<&RawValue>>(&args.json);
            assert!(read.is_ok(), "arguments are a list of JSON");
        }
    }
}

pub fn polling(data: &[u8]) {
    let mut body = PollBody::default();
    if let Ok(payload) = Payload::parse(Bytes::copy_from_slice(data)) {
        for packet in payload.packets() {
            match packet.expect("every packet was read before") {
                EnginePacket::Binary(bytes) => body.push(&frame::binary(&bytes)),
                packet => {
                    body.push(&frame::text(&packet.text().expect("a packet of text")));
                }
            }
        }
        let count = payload.packets().count();
        let again = Payload::parse(body.text.into()).expect("what is spelled can be read");
        assert_eq!(again.packets().count(), count);
    }
    // The frames of an outbox are our own; whatever they are, they must not end the process.
    PollBody::default().push(data);
}
