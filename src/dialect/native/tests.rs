//! Every spelling of `/ws`, both ways.

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::protocol::{EventContent, NewEvent, Timestamp, UserId};

fn decode(frame: &str) -> Result<Command, DecodeError> {
    Native.decode(&ByteString::from(frame))
}

fn event(data: Option<&str>, seq: Option<i64>) -> serde_json::Value {
    let data = data.map(|data| RawValue::from_string(data.to_owned()).unwrap());
    let new = NewEvent { data, ..NewEvent::new("ad\"ded") };
    let content = EventContent::fix(new, EventId(Uuid::from_u128(7)), Timestamp(1));
    let event = Event { content: Arc::new(content), seq: seq.map(Seq) };
    serde_json::from_str(&Native.encode_event(&event)).unwrap()
}

#[test]
fn object_data_is_spread_other_data_is_kept_apart_and_null_is_left_out() {
    let id = Uuid::from_u128(7).to_string();
    assert_eq!(
        event(Some(r#"{"id":"x","n":1.50}"#), Some(7)),
        json!({"type": "ad\"ded", "id": "x", "n": 1.5, "event_id": id, "seq": 7})
    );
    for data in [Some("{ }"), Some("null"), None] {
        assert_eq!(event(data, Some(7)), json!({"type": "ad\"ded", "event_id": id, "seq": 7}));
    }
    for data in ["[1]", "\"x\"", "3", "false"] {
        let value: serde_json::Value = serde_json::from_str(data).unwrap();
        let expected = json!({"type": "ad\"ded", "data": value, "event_id": id, "seq": 7});
        assert_eq!(event(Some(data), Some(7)), expected);
    }
    assert_eq!(event(None, None), json!({"type": "ad\"ded", "event_id": id}));
}

#[test]
fn the_key_session_id_makes_the_difference() {
    let session = |frame: &str| match decode(frame) {
        Ok(Command::Auth(request)) => request.session,
        other => panic!("{other:?}"),
    };
    assert_eq!(session(r#"{"type":"auth","token":"t"}"#), SessionRequest::Plain);
    assert_eq!(session(r#"{"type":"auth","token":"t","session_id":null}"#), SessionRequest::New);
    let named = SessionRequest::Named(SessionId::new("s").unwrap());
    assert_eq!(session(r#"{"type":"auth","token":"t","session_id":"s"}"#), named);
}

#[test]
fn an_auth_may_ask_for_replay_and_for_confirmation() {
    let frame =
        r#"{"type":"auth","token":"t","session_id":"s","offline":"replay","confirm_sync":true}"#;
    let Ok(Command::Auth(request)) = decode(frame) else { panic!("no auth") };
    assert_eq!(request.offline, Some(OfflinePolicy::Replay));
    assert!(request.confirm_sync);
    assert_eq!(request.token, "t");
    assert!(!format!("{request:?}").contains("\"t\""), "a token never shows in Debug");
}

#[test]
fn acks_come_in_three_spellings() {
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let events =
        |ids: &[Uuid]| Ok(Command::Ack(Ack::Events(ids.iter().copied().map(EventId).collect())));
    let event = Ok(Command::Ack(Ack::Event(EventId(a))));
    assert_eq!(decode(&format!(r#"{{"type":"ack","event_id":"{a}"}}"#)), event);
    assert_eq!(decode(&format!(r#"{{"event_ids":["{a}","{b}"],"type":"ack"}}"#)), events(&[a, b]));
    assert_eq!(decode(r#"{"type":"ack","up_to":7}"#), Ok(Command::Ack(Ack::UpTo(Seq(7)))));
    assert_eq!(decode(r#"{"type":"ack","event_id":"unheard of"}"#), events(&[]));
}

#[test]
fn what_cannot_be_read_is_refused() {
    for frame in [
        "",
        "null",
        "7",
        r#""ping""#,
        r#"["ping"]"#,
        r#"[{"type":"ping"}]"#,
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"ping""#,
        r#"{"type":"ack"}"#,
        r#"{"type":"ack","event_id":7}"#,
        r#"{"type":"ack","event_ids":"x"}"#,
        r#"{"type":"ack","up_to":"7"}"#,
        r#"{"type":"auth","token":7}"#,
        r#"{"type":"auth","token":"t","session_id":7}"#,
        r#"{"type":"auth","token":"t","session_id":"a\nb"}"#,
        r#"{"type":"auth","token":"t","session_id":"s","offline":"never"}"#,
    ] {
        assert_eq!(decode(frame), Err(DecodeError::InvalidFormat), "{frame}");
    }
}

#[test]
fn what_nobody_knows_is_handed_on_whole() {
    let frame = r#"{"type":"shout","token":7,"text":"hey"}"#;
    let expected = Command::Other { kind: "shout".to_owned(), frame: frame.into() };
    assert_eq!(decode(frame), Ok(expected));
}

#[test]
fn every_push_has_its_spelling() {
    let user = UserId::new("u").unwrap();
    let session = SessionId::new("s").unwrap();
    let ok = Push::AuthOk { user: user.clone(), session, need_full_sync: true, cursor: Seq(3) };
    for (push, expected) in [
        (
            Push::Established,
            json!({"type":"connection_established","message":"Please authenticate to continue"}),
        ),
        (
            ok,
            json!({"type":"auth_ok","user":"u","session_id":"s","need_full_sync":true,"cursor":3}),
        ),
        (
            Push::AuthSuccess { user, secret: "00".to_owned() },
            json!({"type":"auth_success","message":"Authentication successful","userId":"u","sessionSecret":"00"}),
        ),
        (
            Push::AuthFailed(AuthRefusal::Failed),
            json!({"type":"auth_failed","message":"Authentication failed","reason":"auth-failed"}),
        ),
        (
            Push::AuthFailed(AuthRefusal::Expired),
            json!({"type":"auth_failed","message":"Token expired","reason":"token-expired"}),
        ),
        (Push::Pong { timestamp: Timestamp(5) }, json!({"type":"pong","timestamp":5})),
        (
            Push::Error(ClientError::AuthTimeout),
            json!({"type":"error","message":"Authentication timeout. Connection will be closed."}),
        ),
        (
            Push::Error(ClientError::UnknownType),
            json!({"type":"error","message":"Unknown message type","code":"unknown_type"}),
        ),
        (Push::Reconnect { retry_after_ms: 9 }, json!({"type":"reconnect","retry_after_ms":9})),
    ] {
        let frame: serde_json::Value =
            serde_json::from_str(&Native.encode(&push).unwrap()).unwrap();
        assert_eq!(frame, expected);
    }
}
