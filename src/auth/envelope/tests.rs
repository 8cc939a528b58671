//! Keys and signatures, example by example.

mod properties;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn user() -> UserId {
    UserId::new("u").unwrap()
}

#[test]
fn the_key_holds_for_its_five_minutes() {
    let secret = |now| session_secret("t", &user(), Timestamp(now));
    // printf 't:u:300000' | sha256sum
    let expected = "026d753438941c859d640e9357ffe92245c0350740f485118413173299705c32";
    assert_eq!(secret(300_000), expected);
    assert_eq!(secret(599_999), expected);
    assert_ne!(secret(600_000), expected);
}

fn signed(payload: &str, at: i64, secret: &str) -> SignedFrame {
    let mut frame = SignedFrame {
        payload: payload.into(),
        timestamp: at.to_string().into(),
        nonce: "\"n\"".into(),
        signature: String::new(),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed_text(&frame).as_bytes());
    frame.signature = BASE64_STANDARD.encode(tag.as_ref());
    frame
}

#[test]
fn a_signature_is_that_of_the_text_and_of_the_key_as_64_characters() {
    // key='026d…5c32'; printf '{"payload":{"a":1.0},"timestamp":300000,"nonce":"bg=="}' |
    //   openssl dgst -sha256 -hmac "$key" -binary | base64
    let frame = SignedFrame {
        payload: r#"{"a":1.0}"#.into(),
        timestamp: "300000".into(),
        nonce: r#""bg==""#.into(),
        signature: "7GO9HfZklSoSxnxDzteIapUYLrjbo2XjWBOIFi7e1HE=".to_owned(),
    };
    let keys = SessionKeys::new("t", &user(), Timestamp(300_000));
    assert_eq!(keys.check(&frame, Timestamp(300_000)), Ok(()));
    let rewritten = SignedFrame { payload: r#"{"a":1}"#.into(), ..frame };
    let refused = keys.check(&rewritten, Timestamp(300_000));
    assert_eq!(refused, Err(EnvelopeError::Signature));
}

#[test]
fn the_time_must_be_near_to_the_millisecond() {
    let keys = SessionKeys::new("t", &user(), NOW);
    for (age, expected) in [
        (300_000, Ok(())),
        (300_001, Err(EnvelopeError::Time)),
        (-60_000, Ok(())),
        (-60_001, Err(EnvelopeError::Time)),
    ] {
        let frame = signed("{}", NOW.0 - age, &keys.secret());
        assert_eq!(keys.check(&frame, NOW), expected, "{age}");
    }
    for timestamp in ["\"1000000\"", "1e6", "null", "99999999999999999999"] {
        let frame = SignedFrame { timestamp: timestamp.into(), ..signed("{}", 1, "k") };
        assert_eq!(keys.check(&frame, NOW), Err(EnvelopeError::Time), "{timestamp}");
    }
}

#[test]
fn the_key_of_the_envelopes_own_five_minutes_is_good_too() {
    let keys = SessionKeys::new("t", &user(), Timestamp(300_000));
    let later = Timestamp(650_000);
    let own = session_secret("t", &user(), later);
    assert_eq!(keys.check(&signed("{}", later.0, &own), later), Ok(()));
    assert_eq!(keys.check(&signed("{}", later.0, &keys.secret()), later), Ok(()));
    let other = session_secret("other", &user(), later);
    let refused = keys.check(&signed("{}", later.0, &other), later);
    assert_eq!(refused, Err(EnvelopeError::Signature));
}
