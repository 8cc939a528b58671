//! Every spelling of `/updates`, both ways.

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::protocol::{
    ClientError, CommandReply, EventContent, NewEvent, Seq, SessionId, Timestamp, UserId,
};

fn decode(frame: &str) -> Result<Command, DecodeError> {
    Updates.decode(&ByteString::from(frame))
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn to(account: &str, reference: Option<&str>) -> ReplyTo {
    let reference = reference.map(|reference| Reference::new(&raw(reference)).unwrap());
    ReplyTo { account: Some(account.to_owned()), reference }
}

fn event(new: NewEvent) -> String {
    let content = EventContent::fix(new, EventId(Uuid::from_u128(7)), Timestamp(1));
    Updates.encode_event(&Event { content: Arc::new(content), seq: Some(Seq(1)) })
}

fn items(data: Option<&str>) -> String {
    let frame = event(NewEvent { data: data.map(raw), ..NewEvent::new("message") });
    serde_json::from_str::<Value>(&frame).unwrap();
    let (_, items) = frame.split_once("\"items\":").unwrap();
    items.strip_suffix("}}}").unwrap().to_owned()
}

#[test]
fn an_update_says_everything_and_has_its_defaults() {
    let id = Uuid::from_u128(7);
    let bare = format!(
        r#"{{"account":"personal","type":"update","payload":{{"ref":"{id}","silent":false,"action":"new","payload":{{"type":"contact","items":[]}}}}}}"#
    );
    assert_eq!(event(NewEvent::new("contact")), bare);
    let full = NewEvent {
        account: Some("büsiness \"2\"".to_owned()),
        action: Some(Action::Delete),
        silent: true,
        data: Some(raw(r#"[{"id":1}]"#)),
        ..NewEvent::new("con\\tact")
    };
    let expected = json!({"account": "büsiness \"2\"", "type": "update", "payload": {
        "ref": id, "silent": true, "action": "delete",
        "payload": {"type": "con\\tact", "items": [{"id": 1}]},
    }});
    assert_eq!(serde_json::from_str::<Value>(&event(full)).unwrap(), expected);
    let changed = NewEvent { action: Some(Action::Update), ..NewEvent::new("x") };
    assert!(event(changed).contains(r#""action":"update""#));
}

#[test]
fn a_list_is_its_items_anything_else_is_one_item_and_null_is_none() {
    for (data, expected) in [
        (Some("[1, 1.50,\"é\\u00e9\"]"), "[1, 1.50,\"é\\u00e9\"]"),
        (Some("[[1],[]]"), "[[1],[]]"),
        (Some("[]"), "[]"),
        (Some(r#"{"n":1.50}"#), r#"[{"n":1.50}]"#),
        (Some("\"[\""), "[\"[\"]"),
        (Some("false"), "[false]"),
        (Some("null"), "[]"),
        (None, "[]"),
    ] {
        assert_eq!(items(data), expected, "{data:?}");
    }
}

#[test]
fn a_reply_is_an_ack_and_one_of_no_event_is_an_unknown_ack() {
    let id = Uuid::from_u128(1);
    let (known, unknown) = (Ack::Event(EventId(id)), Ack::Events(Vec::new()));
    let (known, unknown) = (Ok(Command::Ack(known)), Ok(Command::Ack(unknown)));
    for reference in [format!("\"{id}\""), format!("\"{}\"", id.to_string().to_uppercase())] {
        let frame = format!(r#"{{"account":"a","type":"reply","payload":{{"ref":{reference}}}}}"#);
        assert_eq!(decode(&frame), known);
    }
    let more = format!(r#" {{"type":"reply","payload":{{"ok":true,"ref":"{id}","x":[1]}}}}"#);
    assert_eq!(decode(&more), known);
    for reference in ["\"unheard of\"", "7", "null", "{}", "\"\"", "\"é\""] {
        let frame = format!(r#"{{"type":"reply","payload":{{"ref":{reference}}}}}"#);
        assert_eq!(decode(&frame), unknown, "{reference}");
    }
}

#[test]
fn a_command_keeps_its_account_its_data_and_its_reference_as_they_came() {
    let call = |account: &str, name: &str, data: Option<&str>, reference| {
        let (name, data) = (name.to_owned(), data.map(raw));
        Ok(Command::Call(Call { reply_to: to(account, reference), name, data }))
    };
    for (frame, expected) in [
        (
            r#"{"account":"business","type":"command","payload":{"name":"send","data":{"n":1.50},"ref":"a\u0062"}}"#,
            call("business", "send", Some(r#"{"n":1.50}"#), Some(r#""a\u0062""#)),
        ),
        (
            r#"{"type":"command","payload":{"ref":1.0e2,"data":[1, 2],"name":"s\u00e9nd"}}"#,
            call("personal", "sénd", Some("[1, 2]"), Some("1.0e2")),
        ),
        (
            r#"{"account":null,"type":"command","payload":{"name":"日本","data":null,"ref":null}}"#,
            call("personal", "日本", None, None),
        ),
        (
            r#"{"account":"b\u00fcro","type":"command","payload":{"name":"x","ref":-7}}"#,
            call("büro", "x", None, Some("-7")),
        ),
    ] {
        assert_eq!(decode(frame), expected, "{frame}");
    }
}

#[test]
fn the_hubs_own_commands_are_known_by_name() {
    let own = |name: &str| {
        decode(&format!(
            r#"{{"account":"b","type":"command","payload":{{"name":"{name}","ref":3}}}}"#
        ))
    };
    assert_eq!(own("ping"), Ok(Command::Ping(to("b", Some("3")))));
    assert_eq!(own("sync_complete"), Ok(Command::SyncComplete(to("b", Some("3")))));
    let Ok(Command::Auth(bare)) = own("auth") else { panic!("no auth") };
    assert_eq!((bare.token.as_str(), &bare.session), ("", &SessionRequest::New));
    assert_eq!(bare.reply_to, to("b", Some("3")));
}

#[test]
fn an_auth_is_always_for_a_session() {
    let auth = |data: &str| {
        let frame = format!(r#"{{"type":"command","payload":{{"name":"auth","data":{data}}}}}"#);
        match decode(&frame) {
            Ok(Command::Auth(request)) => request,
            other => panic!("{other:?}"),
        }
    };
    let full = auth(r#"{"token":"t","session_id":"s","offline":"full_sync","confirm_sync":true}"#);
    assert_eq!(full.token, "t");
    assert_eq!(full.session, SessionRequest::Named(SessionId::new("s").unwrap()));
    assert_eq!((full.offline, full.confirm_sync), (Some(OfflinePolicy::FullSync), true));
    for data in ["null", "{}", r#"{"session_id":null}"#, r#"{"session_id":"","more":1}"#] {
        let request = auth(data);
        assert_eq!(request.session, SessionRequest::New, "{data}");
        assert_eq!((request.offline, request.confirm_sync), (None, false));
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let long = "x".repeat(129);
    let long_reference = format!(
        r#"{{"type":"command","payload":{{"name":"x","ref":"{}"}}}}"#,
        "y".repeat(Reference::BYTES_MAX)
    );
    for frame in [
        "",
        "null",
        "7",
        "{",
        "{}",
        "\u{c}{\"type\":\"reply\",\"payload\":{\"ref\":\"x\"}}",
        r#"["personal","reply",{"ref":"x"}]"#,
        r#"{"type":7,"payload":{}}"#,
        r#"{"type":"reply"}"#,
        r#"{"type":"reply","payload":null}"#,
        r#"{"type":"reply","payload":{}}"#,
        r#"{"type":"reply","payload":["x"]}"#,
        r#"{"type":"reply","payload":{"ref":1,"ref":2}}"#,
        r#"{"account":7,"type":"reply","payload":{"ref":"x"}}"#,
        r#"{"account":"","type":"reply","payload":{"ref":"x"}}"#,
        r#"{"account":"a\nb","type":"reply","payload":{"ref":"x"}}"#,
        r#"{"type":"command"}"#,
        r#"{"type":"command","payload":"ping"}"#,
        r#"{"type":"command","payload":["ping"]}"#,
        r#"{"type":"command","payload":{}}"#,
        r#"{"type":"command","payload":{"name":7}}"#,
        r#"{"type":"command","payload":{"name":""}}"#,
        r#"{"type":"command","payload":{"name":"a\u0000"}}"#,
        r#"{"type":"command","payload":{"name":"x","ref":{}}}"#,
        r#"{"type":"command","payload":{"name":"x","ref":[1]}}"#,
        r#"{"type":"command","payload":{"name":"x","ref":true}}"#,
        r#"{"type":"command","payload":{"name":"auth","data":"t"}}"#,
        r#"{"type":"command","payload":{"name":"auth","data":["t"]}}"#,
        r#"{"type":"command","payload":{"name":"auth","data":{"token":7}}}"#,
        r#"{"type":"command","payload":{"name":"auth","data":{"token":"t","session_id":7}}}"#,
        r#"{"type":"command","payload":{"name":"auth","data":{"session_id":"a\nb"}}}"#,
        r#"{"type":"command","payload":{"name":"auth","data":{"offline":"never"}}}"#,
        &format!(r#"{{"type":"command","payload":{{"name":"{long}"}}}}"#),
        &format!(r#"{{"account":"{long}","type":"command","payload":{{"name":"x"}}}}"#),
        &long_reference,
    ] {
        assert_eq!(decode(frame), Err(DecodeError::InvalidFormat), "{frame}");
    }
}

#[test]
fn what_nobody_knows_is_handed_on_whole() {
    let frame = r#"{"account":"personal","type":"update","payload":7}"#;
    let expected = Command::Other { kind: "update".to_owned(), frame: frame.into() };
    assert_eq!(decode(frame), Ok(expected));
}

#[test]
fn every_push_has_its_spelling() {
    let user = UserId::new("u").unwrap();
    let session = SessionId::new("s").unwrap();
    let ok = Push::AuthOk { user: user.clone(), session, need_full_sync: true, cursor: Seq(3) };
    let reply = |mut payload: Value| {
        payload["ref"] = json!("r");
        Some(json!({"account": "business", "type": "reply", "payload": payload}))
    };
    let refused = |code: &str, message: &str| {
        reply(json!({"ok": false, "error": {"code": code, "message": message}}))
    };
    let told = CommandReply { data: Some(raw("[1.50]")) };
    for (push, expected) in [
        (Push::Established, None),
        (Push::AuthSuccess { user, secret: "00".to_owned() }, None),
        (
            ok,
            reply(json!({"ok": true, "data": {
                "user": "u", "session_id": "s", "need_full_sync": true, "cursor": 3,
            }})),
        ),
        (Push::AuthFailed(AuthRefusal::Failed), refused("auth-failed", "Authentication failed")),
        (Push::AuthFailed(AuthRefusal::Expired), refused("token-expired", "Token expired")),
        (
            Push::Pong { timestamp: Timestamp(5) },
            reply(json!({"ok": true, "data": {"timestamp": 5}})),
        ),
        (Push::Error(ClientError::UnknownType), refused("unknown_type", "Unknown message type")),
        (Push::Reply(Ok(told)), reply(json!({"ok": true, "data": [1.5]}))),
        (Push::Reply(Ok(CommandReply::default())), reply(json!({"ok": true}))),
        (Push::Reply(Err(CommandError::new("no", "Não \"x\""))), refused("no", "Não \"x\"")),
        (
            Push::Reconnect { retry_after_ms: 9 },
            Some(json!({
                "account": "personal", "type": "reconnect", "payload": {"retry_after_ms": 9},
            })),
        ),
    ] {
        let frame = Updates.encode_reply(&push, &to("business", Some("\"r\"")));
        let frame: Option<Value> = frame.map(|frame| serde_json::from_str(&frame).unwrap());
        assert_eq!(frame, expected);
    }
}

#[test]
fn references_and_reply_data_pass_through_as_text() {
    let told = CommandReply { data: Some(raw(r#"{"n":1.50,"n":"\u00e9"}"#)) };
    for reference in ["7.0", "-1e400", r#""a\/b""#, "123456789012345678901234567890"] {
        let frame = Updates
            .encode_reply(&Push::Reply(Ok(told.clone())), &to("personal", Some(reference)))
            .unwrap();
        let expected = format!(
            r#"{{"account":"personal","type":"reply","payload":{{"ref":{reference},"ok":true,"data":{{"n":1.50,"n":"\u00e9"}}}}}}"#
        );
        assert_eq!(frame, expected);
    }
    let nobody = Updates.encode(&Push::Error(ClientError::InvalidFormat)).unwrap();
    let expected = json!({"account": "personal", "type": "reply", "payload": {
        "ref": null, "ok": false,
        "error": {"code": "invalid_format", "message": "Invalid message format"},
    }});
    assert_eq!(serde_json::from_str::<Value>(&nobody).unwrap(), expected);
}
