//! Ten thousand damaged frames on one connection: each is answered, or ignored where the contract
//! says so, and the connection is none the worse for it. `MALFORMED_SEED` damages others.

use futures_util::SinkExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::random::Random;
use crate::wire::on_sqlite;
use crate::world::{Database, TestHub, eventually};

const FRAMES: u32 = 10_000;

/// Values that are rarely what is asked for.
const ODD: [&str; 20] = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e400",
    "99999999999999999999999999",
    "-0.0",
    r#""""#,
    r#""text""#,
    r#""\ud800""#,
    r#""\u0000""#,
    "\"é𝄞\u{202e}\u{feff}\"",
    "[]",
    "{}",
    "[[[1]]]",
    r#"{"a":{"b":[1]},"a":2}"#,
    r#"{"type":"ping"}"#,
    "NaN",
    "'",
];

/// Pieces that do not belong into a frame.
const STRAY: [&str; 10] = ["\0", "\u{feff}", "𝄞", "\"", "\\", "{", "]", ",", "//", "\u{7f}"];

/// What a frame must be met with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It is no object of the dialect: the error says so.
    Refused,
    /// Something.
    Answered,
    /// Whatever the contract says of what is in it, also nothing.
    Anything,
}

/// As much as is read of a frame, ours or the hub's. Twice the same name is no frame.
#[derive(Debug, Deserialize)]
struct Peek<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(rename = "noteId", borrow)]
    note: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

struct Damage(Random);

impl Damage {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// One of these frames, damaged.
    fn of(&mut self, frames: &[Value]) -> Vec<u8> {
        let frame = &frames[self.below(frames.len())];
        let text = frame.to_string();
        match self.below(11) {
            0 => text.as_bytes()[..self.below(text.len())].to_vec(),
            1 | 2 => {
                let odd = ODD[self.below(ODD.len())];
                self.with(frame, odd).into_bytes()
            }
            3 => {
                let depth = 1 + self.below(200);
                let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
                self.with(frame, &deep).into_bytes()
            }
            4 => {
                let keys: Vec<_> = frame.as_object().unwrap().keys().collect();
                let (key, odd) = (keys[self.below(keys.len())], ODD[self.below(ODD.len())]);
                format!("{{\"{key}\":{odd},{}", &text[1..]).into_bytes()
            }
            5 => {
                let mut bytes = text.into_bytes();
                let at = self.below(bytes.len());
                bytes[at] ^= 1 << self.below(8);
                bytes
            }
            6 => {
                let mut bytes = text.into_bytes();
                let (at, stray) = (self.below(bytes.len()), STRAY[self.below(STRAY.len())]);
                bytes.splice(at..at, stray.bytes());
                bytes
            }
            7 => format!("[{text}]").into_bytes(),
            8 => format!("{{\"frame\":{text}}}").into_bytes(),
            9 => {
                let mut frame = frame.clone();
                let object = frame.as_object_mut().unwrap();
                let keys: Vec<_> = object.keys().cloned().collect();
                object.remove(&keys[self.below(keys.len())]);
                frame.to_string().into_bytes()
            }
            _ => (0..self.below(40)).map(|_| self.below(256) as u8).collect(),
        }
    }

    /// The frame with another value in some place.
    fn with(&mut self, frame: &Value, value: &str) -> String {
        let mut places = Vec::new();
        collect(frame, "", &mut places);
        let mut frame = frame.clone();
        *frame.pointer_mut(&places[self.below(places.len())]).unwrap() = json!("@@");
        frame.to_string().replacen("\"@@\"", value, 1)
    }

    /// Text where it can be, mostly.
    fn message(&mut self, bytes: &[u8]) -> Message {
        match std::str::from_utf8(bytes) {
            Ok(text) if !self.0.chance(15) => Message::text(text),
            _ => Message::binary(bytes.to_vec()),
        }
    }
}

fn collect(value: &Value, at: &str, places: &mut Vec<String>) {
    let fields = value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value));
    let items = value.as_array().into_iter().flatten().enumerate();
    for (name, value) in fields.chain(items.map(|(n, value)| (n.to_string(), value))) {
        places.push(format!("{at}/{name}"));
        collect(value, &format!("{at}/{name}"), places);
    }
}

/// Reads what stands at the top of a frame, if it is one.
fn peek(text: &str) -> Option<Peek<'_>> {
    text.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Sends a damaged frame and one that is answered last; says the texts that come before that, but
/// for events: some sessions are owed them by what other sessions did on this connection.
async fn answers(
    device: &mut Device,
    message: Message,
    last: Value,
    is_last: impl Fn(&str) -> bool,
) -> Vec<String> {
    // In one go: two small packets would wait for each other.
    device.socket.feed(message.clone()).await.unwrap();
    device.send(last).await;
    let mut texts = Vec::new();
    loop {
        match device.next_raw().await {
            Message::Text(text) if is_last(&text) => return texts,
            Message::Text(text) => match peek(&text).and_then(|frame| frame.seq) {
                Some(seq) => {
                    let ack = format!(r#"{{"type":"ack","up_to":{seq}}}"#);
                    device.send_raw(Message::text(ack)).await;
                }
                None => texts.push(text.to_string()),
            },
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?} after {message:?}"),
        }
    }
}

fn seed() -> u64 {
    std::env::var("MALFORMED_SEED").map_or(1, |seed| seed.parse().unwrap())
}

async fn hub() -> TestHub {
    TestHub::start(Database::Sqlite, |config| {
        config.limits.frames_per_minute_max = 1_000_000;
        config.database.synchronous = staffetta::config::Synchronous::Normal;
    })
    .await
}

/// Frames of `/ws`. Their tokens are not damaged: a bad one is the end of a connection.
fn frames_of_ws() -> Vec<Value> {
    let event = uuid::Uuid::nil();
    vec![
        json!({"type": "auth", "session_id": "tab", "offline": "replay", "confirm_sync": true}),
        json!({"type": "auth", "session_id": null}),
        json!({"type": "ack", "event_id": event}),
        json!({"type": "ack", "event_ids": [event, event]}),
        json!({"type": "ack", "up_to": 7}),
        json!({"type": "sync_complete"}),
        json!({"type": "ping"}),
        json!({"type": "join_note", "noteId": "n", "presence": true}),
        json!({"type": "leave_note", "noteId": "n"}),
        json!({"type": "note_update", "noteId": "n", "changes": {"title": "x", "l": [1, {"a": "é"}]}, "base_version": 1}),
        json!({"type": "note_created", "noteData": {"id": "n", "userId": "alice", "title": "x"}}),
        json!({"type": "note_deleted", "noteId": "n"}),
        json!({"type": "note_signal", "noteId": "n", "data": {"cursor": 3}}),
        json!({"type": "folder_created", "folderId": "f", "folderData": {"name": "x"}}),
        json!({"type": "folder_updated", "folderId": "f", "changes": {"a": 1}, "updatedFolder": {"a": 1}}),
        json!({"type": "folder_deleted", "folderId": "f"}),
        json!({"payload": {"type": "ping"}, "signature": "AAAA", "timestamp": 1, "nonce": "n"}),
    ]
}

fn expected_on_ws(bytes: &[u8]) -> Expected {
    let Some(frame) = std::str::from_utf8(bytes).ok().and_then(peek) else {
        return Expected::Refused;
    };
    match frame.kind.as_deref() {
        // What changes something is not answered to who did it. `auth_ok` takes its time.
        Some(
            "auth" | "ack" | "sync_complete" | "note_created" | "note_deleted" | "note_signal"
            | "folder_created" | "folder_updated" | "folder_deleted",
        ) => Expected::Anything,
        Some(_) | None => Expected::Answered,
    }
}

#[test]
fn damaged_frames_on_ws_are_answered_and_the_connection_is_none_the_worse() {
    on_sqlite(|| async {
        let (hub, seed) = (hub().await, seed());
        let bearer = format!("Bearer {}", hub.token("alice"));
        let headers = [("authorization", bearer.as_str())];
        let mut device = Device::connect_to(&hub, "/ws?session_id=tab", &headers).await.unwrap();
        assert_eq!(device.next().await["type"], "connection_established");
        assert_eq!(device.next().await["type"], "auth_ok");
        let (mut damage, frames) = (Damage(Random::new(seed)), frames_of_ws());
        for number in 0..FRAMES {
            let bytes = damage.of(&frames);
            let message = damage.message(&bytes);
            let end = json!(format!("end {number}"));
            let last = json!({"type": "leave_note", "noteId": end});
            let is_last = |text: &str| {
                let frame = peek(text).unwrap();
                let note = frame.note.map(RawValue::get);
                frame.kind.as_deref() == Some("note_left") && note == Some(&*end.to_string())
            };
            let texts = answers(&mut device, message, last, is_last).await;
            let is_refused = texts.iter().any(|text| {
                peek(text).unwrap().code.map(RawValue::get) == Some("\"invalid_format\"")
            });
            let met = match expected_on_ws(&bytes) {
                Expected::Refused => is_refused,
                Expected::Answered => !texts.is_empty(),
                Expected::Anything => true,
            };
            let frame = String::from_utf8_lossy(&bytes);
            assert!(met && texts.len() <= 3, "MALFORMED_SEED={seed}: {frame:?} got {texts:?}");
        }
        let auth = json!({"type": "auth", "session_id": "tab"});
        device.send(auth).await;
        let ok = until(&mut device, |frame| frame["session_id"] == "tab").await;
        assert_eq!(ok["type"], "auth_ok");
        let receipt = hub.publish("alice", "added", json!({"id": "photo-1"})).await;
        let event = until(&mut device, |frame| frame["id"] == "photo-1").await;
        assert_eq!((&event["event_id"], &event["seq"]), (&receipt["event_id"], &receipt["seq"]));
        device.send(json!({"type": "ack", "up_to": event["seq"]})).await;
        all_acked(&hub, "tab").await;
    });
}

/// Reads on to a frame.
async fn until(device: &mut Device, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let Message::Text(text) = device.next_raw().await else { continue };
        // What others keep in notes may be too deep for a `Value`.
        let frame = serde_json::from_str(&text).unwrap_or(Value::Null);
        if is_it(&frame) {
            return frame;
        }
    }
}

async fn all_acked(hub: &TestHub, session: &str) {
    eventually("the event is acked", || async {
        let sessions = hub.sessions("alice").await;
        let own = sessions.iter().find(|found| found["session_id"] == session);
        own.is_some_and(|own| own["pending"] == 0 && own["in_flight"] == 0)
    })
    .await;
}

fn frames_of_updates() -> Vec<Value> {
    let command =
        |payload: Value| json!({"account": "personal", "type": "command", "payload": payload});
    let auth = json!({"session_id": "tab", "offline": "replay", "confirm_sync": true});
    vec![
        command(json!({"name": "auth", "ref": 1, "data": auth})),
        command(json!({"name": "auth", "data": {}})),
        command(json!({"name": "ping", "ref": "p"})),
        command(json!({"name": "sync_complete", "ref": 1.5})),
        command(json!({"name": "echo", "ref": "e", "data": {"a": [1, "é"]}})),
        json!({"account": "büro", "type": "reply", "payload": {"ref": uuid::Uuid::nil()}}),
        json!({"account": "büro", "type": "update", "payload": {"ref": "x"}}),
    ]
}

fn expected_on_updates(bytes: &[u8]) -> Expected {
    let Some(frame) = std::str::from_utf8(bytes).ok().and_then(peek) else {
        return Expected::Refused;
    };
    // What no `Value` can hold, such as 1e400, is not looked into.
    let payload: Result<Value, _> =
        serde_json::from_str(frame.payload.map_or("null", RawValue::get));
    let Ok(payload) = payload else { return Expected::Anything };
    match frame.kind.as_deref() {
        None => Expected::Refused,
        Some("reply") if !payload.is_object() => Expected::Answered,
        Some("reply") if payload.get("ref").is_some() => Expected::Anything,
        Some("command") if payload["name"] == "auth" => Expected::Anything,
        Some(_) => Expected::Answered,
    }
}

#[test]
fn damaged_frames_on_updates_are_answered_and_the_connection_is_none_the_worse() {
    on_sqlite(|| async {
        let (hub, seed) = (hub().await, seed());
        let path = format!("/updates?session_id=tab&token={}", hub.token("alice"));
        let mut device = Device::connect_to(&hub, &path, &[]).await.unwrap();
        assert_eq!(device.next().await["payload"]["ok"], true);
        let (mut damage, frames) = (Damage(Random::new(seed)), frames_of_updates());
        let ping =
            |end: &Value| json!({"type": "command", "payload": {"name": "ping", "ref": end}});
        let payload = |text: &str| -> Value {
            serde_json::from_str::<Value>(text).unwrap_or_default()["payload"].take()
        };
        for number in 0..FRAMES {
            let bytes = damage.of(&frames);
            let message = damage.message(&bytes);
            let end = json!(format!("end {number}"));
            let is_last = |text: &str| payload(text)["ref"] == end;
            let texts = answers(&mut device, message, ping(&end), is_last).await;
            let is_refused =
                texts.iter().any(|text| payload(text)["error"]["code"] == "invalid_format");
            let met = match expected_on_updates(&bytes) {
                Expected::Refused => is_refused,
                Expected::Answered => !texts.is_empty(),
                Expected::Anything => true,
            };
            let frame = String::from_utf8_lossy(&bytes);
            assert!(met && texts.len() <= 3, "MALFORMED_SEED={seed}: {frame:?} got {texts:?}");
        }
        let auth = json!({"name": "auth", "ref": "last", "data": {"session_id": "tab"}});
        device.send(json!({"type": "command", "payload": auth})).await;
        let reply = until(&mut device, |frame| frame["payload"]["ref"] == "last").await;
        assert_eq!(reply["payload"]["data"]["session_id"], "tab", "{reply}");
        hub.publish("alice", "added", json!({"id": "photo-1"})).await;
        let update = device.next().await;
        assert_eq!(update["payload"]["payload"]["items"], json!([{"id": "photo-1"}]), "{update}");
        let reference = &update["payload"]["ref"];
        device.send(json!({"type": "reply", "payload": {"ref": reference}})).await;
        all_acked(&hub, "tab").await;
    });
}
