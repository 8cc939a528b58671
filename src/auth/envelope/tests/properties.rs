//! Whatever a frame holds and however it is spelled: it is good as it was signed, and no other way.

use std::ops::Range;

use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::dialect::{Dialect, native::Native};
use crate::protocol::Command;

const HERE: Timestamp = Timestamp(1_800_000_123_456);

/// A frame as it is sent.
#[derive(Clone, Debug)]
struct Sent {
    frame: String,
    /// Where the parts stand whose every byte counts.
    parts: Vec<Range<usize>>,
    /// The payload, the timestamp and the nonce, as they were signed.
    signed: [String; 3],
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

/// A JSON string, with escapes where they must be and where they need not.
fn text() -> impl Strategy<Value = String> {
    let one = (any::<char>(), 0..4u8).prop_map(|(letter, how)| spelled(letter, how));
    let half_a_letter = Just("\\ud83d".to_owned());
    proptest::collection::vec(prop_oneof![19 => one, 1 => half_a_letter], 0..12)
        .prop_map(|letters| format!("\"{}\"", letters.concat()))
}

fn spelled(letter: char, how: u8) -> String {
    let short = match letter {
        '"' | '\\' | '/' => Some(letter),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        _ => None,
    };
    let needs_escape = letter < ' ' || letter == '"' || letter == '\\';
    match (how, short) {
        (0, Some(short)) => format!("\\{short}"),
        (1, _) => escaped(letter),
        _ if needs_escape => escaped(letter),
        _ => letter.to_string(),
    }
}

fn escaped(letter: char) -> String {
    let units = letter.encode_utf16(&mut [0; 2]).to_vec();
    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec!["1", "1.0", "1.00", "1e3", "1E+3", "-0", "1e-7", "1e999"])
            .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?[1-9][0-9]{0,60}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned);
    let leaf = prop_oneof![word, number(), text()];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(a, item, b)| a + &item + &b);
        let list = proptest::collection::vec(item, 0..5)
            .prop_map(|items| format!("[{}]", items.join(",")));
        let fields = proptest::collection::vec((text(), inner), 0..5);
        let object = (fields, space()).prop_map(|(fields, space)| object(&fields, &space));
        prop_oneof![list, object]
    })
}

fn object(fields: &[(String, String)], space: &str) -> String {
    let member =
        |(name, value): &(String, String)| format!("{space}{name}{space}:{space}{value}{space}");
    format!("{{{}}}", fields.iter().map(member).collect::<Vec<_>>().join(","))
}

/// An envelope signed as `docs/protocol/notes.md` says, its members in any order.
fn sent() -> impl Strategy<Value = Sent> {
    let order = Just(vec![0, 1, 2, 3, 4]).prop_shuffle();
    let payload = value().prop_filter("null is no frame", |payload| payload != "null");
    let parts = (payload, -AHEAD_MAX_MS..=AGE_MAX_MS, text(), value());
    (parts, order, proptest::collection::vec(space(), 21)).prop_map(|(parts, order, spaces)| {
        let (payload, age, nonce, more) = parts;
        let timestamp = (HERE.0 - age).to_string();
        let signature = signature_of(&payload, &timestamp, &nonce, HERE.0 - age);
        let members = [
            ("payload", &payload),
            ("timestamp", &timestamp),
            ("nonce", &nonce),
            ("signature", &signature),
            ("v", &more),
        ];
        let mut spaces = spaces.into_iter();
        let mut space = || spaces.next().unwrap_or_default();
        let mut frame = space() + "{";
        let mut ranges = Vec::new();
        for (place, member) in order.into_iter().enumerate() {
            let (name, value) = members[member];
            let comma = if place == 0 { "" } else { "," };
            frame += &format!("{comma}{}\"{name}\"{}:{}", space(), space(), space());
            if name != "v" {
                ranges.push(frame.len()..frame.len() + value.len());
            }
            frame = frame + value + &space();
        }
        frame += "}";
        Sent { frame, parts: ranges, signed: [payload, timestamp, nonce] }
    })
}

/// The signature as a JSON string, its slashes escaped.
fn signature_of(payload: &str, timestamp: &str, nonce: &str, at: i64) -> String {
    let text = format!("{{\"payload\":{payload},\"timestamp\":{timestamp},\"nonce\":{nonce}}}");
    let secret = session_secret("token", &user(), Timestamp(at));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    format!("\"{}\"", signature.replace('/', "\\/"))
}

fn keys() -> SessionKeys {
    SessionKeys::new("token", &user(), HERE)
}

proptest! {
    #[test]
    fn a_frame_is_good_as_it_was_signed(sent in sent()) {
        let decoded = Native.decode(&ByteString::from(sent.frame.as_str()));
        let Ok(Command::Signed(frame)) = decoded else { panic!("{decoded:?}: {}", sent.frame) };
        prop_assert_eq!([&*frame.payload, &*frame.timestamp, &*frame.nonce], sent.signed);
        prop_assert_eq!(keys().check(&frame, HERE), Ok(()));
        for others in [
            SessionKeys::new("other", &user(), HERE),
            SessionKeys::new("token", &UserId::new("v").unwrap(), HERE),
        ] {
            prop_assert_eq!(others.check(&frame, HERE), Err(EnvelopeError::Signature));
        }
    }

    #[test]
    fn a_frame_with_one_byte_changed_is_refused(
        sent in sent(),
        part in any::<proptest::sample::Index>(),
        place in any::<proptest::sample::Index>(),
        byte in prop_oneof![Just(b'"'), Just(b'\\'), Just(b' '), b'0'..=b'9', any::<u8>()],
    ) {
        let range = part.get(&sent.parts).clone();
        let place = range.start + place.index(range.len());
        let mut bytes = sent.frame.into_bytes();
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        // What is not UTF-8 is no text frame, and never gets here.
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        match Native.decode(&ByteString::from(changed.as_str())) {
            Err(_) => {}
            Ok(Command::Signed(frame)) => {
                prop_assert!(keys().check(&frame, HERE).is_err(), "{}", changed);
            }
            Ok(other) => panic!("{changed} became {other:?}"),
        }
    }
}
