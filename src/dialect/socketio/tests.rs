//! Packets of Engine.IO and Socket.IO, and the events Immich's clients know.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use proptest::prelude::*;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::engine::{EnginePacket, Malformed};
use super::packet::{
    Args, Body, Packet, spell_ack, spell_connect, spell_connect_error, spell_disconnect,
    spell_event,
};
use super::polling::{Payload, PollBody};
use super::{Marking, SocketIo, events};
use crate::dialect::{Dialect, frame};
use crate::protocol::{
    Event, EventContent, EventId, NewEvent, Push, Seq, SessionId, Timestamp, UserId,
};

fn raw(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.to_owned()).unwrap())
}

fn event(args: Option<&str>, data: Option<&str>) -> Event {
    let new = NewEvent {
        args: args.and_then(raw),
        data: data.and_then(raw),
        ..NewEvent::new("on_asset_delete")
    };
    let content = EventContent::fix(new, EventId(Uuid::nil()), Timestamp(0));
    Event::at(Seq(7), Arc::new(content))
}

#[test]
fn an_event_is_its_name_and_its_arguments_with_nothing_appended() {
    let bare = |event| SocketIo(Marking::Bare).encode_event(&event);
    assert_eq!(bare(event(Some(r#"["a",2]"#), Some("{}"))), r#"42["on_asset_delete","a",2]"#);
    assert_eq!(bare(event(None, Some(r#""a""#))), r#"42["on_asset_delete","a"]"#);
    assert_eq!(bare(event(None, None)), r#"42["on_asset_delete"]"#);
    assert_eq!(bare(event(Some("[ ]"), None)), r#"42["on_asset_delete"]"#);
}

#[test]
fn a_session_that_acks_gets_an_id_and_one_that_recovers_an_offset() {
    let acked = |event| SocketIo(Marking::Acked).encode_event(&event);
    assert_eq!(acked(event(None, Some(r#""a""#))), r#"427["on_asset_delete","a"]"#);
    let offset = |event| SocketIo(Marking::Offset).encode_event(&event);
    assert_eq!(offset(event(None, Some(r#"["a"]"#))), r#"42["on_asset_delete",["a"],"seq-7"]"#);
    assert_eq!(offset(event(None, None)), r#"42["on_asset_delete","seq-7"]"#);
    let content = event(None, None).content;
    assert_eq!(acked(Event::ephemeral(content)), r#"42["on_asset_delete"]"#);
}

#[test]
fn a_reliable_session_is_told_its_name() {
    let push = Push::AuthOk {
        user: UserId::new("alice").unwrap(),
        session: SessionId::new("s").unwrap(),
        need_full_sync: true,
        cursor: Seq(3),
    };
    assert_eq!(
        SocketIo(Marking::Acked).encode(&push).unwrap(),
        r#"42["session",{"cursor":3,"need_full_sync":true,"session_id":"s"}]"#
    );
}

#[test]
fn packets_read_as_the_protocol_spells_them() {
    let root = |body| Ok(Packet { namespace: "/".to_owned(), body });
    let args = |json: &str, attachments| Args { json: json.to_owned(), attachments };
    assert_eq!(Packet::parse("0"), root(Body::Connect(None)));
    assert_eq!(
        Packet::parse(r#"0{"token":"123"}"#),
        root(Body::Connect(Some(r#"{"token":"123"}"#.to_owned())))
    );
    assert_eq!(Packet::parse("1"), root(Body::Disconnect));
    assert_eq!(Packet::parse(r#"0/admin,{"a":1}"#).unwrap().namespace, "/admin");
    assert_eq!(Packet::parse("0/admin").unwrap().namespace, "/admin");
    assert_eq!(
        Packet::parse(r#"212["x", 1 ,{"a":[2]}]"#),
        root(Body::Event { name: "x".into(), args: args(r#"[1,{"a":[2]}]"#, 0), id: Some(12) })
    );
    assert_eq!(Packet::parse("34[]"), root(Body::Ack { id: 4, args: args("[]", 0) }));
    assert_eq!(
        Packet::parse(r#"51-["x",{"_placeholder":true,"num":0}]"#),
        root(Body::Event {
            name: "x".into(),
            args: args(r#"[{"_placeholder":true,"num":0}]"#, 1),
            id: None
        })
    );
}

#[test]
fn a_packet_that_breaks_the_protocol_is_refused() {
    for text in [
        "",
        "4",
        "7",
        "abc",
        "00",
        "0abc",
        "0[]",
        "0\"a\"",
        "0null",
        "1{}",
        "11",
        "2",
        "2{}",
        "2[]",
        "2[1]",
        r#"2["connect"]"#,
        r#"2["disconnect"]"#,
        r#"2abc["x"]"#,
        r#"2["x""#,
        "3[]",
        "31{}",
        "5[\"x\"]",
        r#"5-["x"]"#,
        r#"511-["x"]"#,
        r#"5a-["x"]"#,
        r#"5+1-["x"]"#,
        r#"51-["x",{"_placeholder":true,"num":1}]"#,
        r#"51-["x",{"_placeholder":true}]"#,
        r#"51-["x",[{"a":{"_placeholder":true,"num":-1}}]]"#,
        "61-[]",
        "2/admin",
        "299999999999999999999[\"x\"]",
    ] {
        assert_eq!(Packet::parse(text), Err(Malformed), "accepted {text:?}");
    }
}

#[test]
fn what_the_hub_says_is_spelled_as_the_protocol_has_it() {
    assert_eq!(spell_event("/", "a\"b", "[]", None, 0), r#"42["a\"b"]"#);
    assert_eq!(spell_event("/x", "m", "[1]", Some(5), 2), r#"452-/x,5["m",1]"#);
    assert_eq!(spell_ack("/", 456, "[1]", 0), "43456[1]");
    assert_eq!(spell_ack("/x", 7, "[]", 1), "461-/x,7[]");
    assert_eq!(spell_connect("/", "abc", None), r#"40{"sid":"abc"}"#);
    assert_eq!(spell_connect("/x", "abc", Some("p")), r#"40/x,{"sid":"abc","pid":"p"}"#);
    assert_eq!(
        spell_connect_error("/r", "Invalid namespace"),
        r#"44/r,{"message":"Invalid namespace"}"#
    );
    assert_eq!(spell_disconnect("/"), "41");
    assert_eq!(spell_disconnect("/x"), "41/x,");
}

#[test]
fn a_poll_holds_what_waits_as_packets() {
    let mut body = PollBody::default();
    let two = [frame::text("4a"), frame::binary(&[1, 2, 3, 4]), frame::ping(b"")].concat();
    body.push(&two);
    body.push(&frame::text(&"x".repeat(70_000)));
    body.push(&frame::text(&"y".repeat(300)));
    assert!(!body.is_last);
    body.push(&frame::close(Some(1012), "restarting"));
    assert!(body.is_last);
    let (x, y) = ("x".repeat(70_000), "y".repeat(300));
    assert_eq!(body.text, format!("4a\x1ebAQIDBA==\x1e{x}\x1e{y}\x1e1"));
}

#[test]
fn a_body_is_read_packet_by_packet_or_refused() {
    let packets = |body: &'static str| {
        let payload = Payload::parse(Bytes::from_static(body.as_bytes()))?;
        payload.packets().collect::<Result<Vec<_>, _>>()
    };
    let message = |text: &str| EnginePacket::Message(text.into());
    assert_eq!(
        packets("4hello\x1ebAQIDBA==\x1ebAQ"),
        Ok(vec![
            message("hello"),
            EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4])),
            EnginePacket::Binary(Bytes::from_static(&[1]))
        ])
    );
    for body in ["", "abc", "4a\x1e", "\x1e4a", "b!", "7", "15"] {
        assert_eq!(packets(body), Err(Malformed), "accepted {body:?}");
    }
    assert_eq!(Payload::parse(Bytes::from_static(b"4\xff")), Err(Malformed));
}

#[test]
fn an_event_known_by_name_must_have_the_arguments_its_clients_read() {
    for (name, args, data) in [
        ("on_upload_success", Some(r#"[{"id":"a"}]"#), None),
        ("on_upload_success", None, Some(r#"{"id":"a"}"#)),
        ("on_asset_delete", None, Some(r#""a""#)),
        ("on_asset_trash", None, Some(r#"["a","b"]"#)),
        ("on_asset_trash", Some(r#"[["a"]]"#), None),
        ("on_asset_stack_update", None, None),
        ("on_asset_stack_update", Some("[]"), Some(r#"{"for":"others"}"#)),
        ("on_config_update", None, Some("null")),
        ("on_new_release", None, Some(r#"{"serverVersion":"1","releaseVersion":"2","x":1}"#)),
        ("on_server_version", None, Some(r#"{"major":1,"minor":2,"patch":3}"#)),
        ("AssetUploadReadyV1", None, Some(r#"{"asset":{},"exif":{}}"#)),
        ("anything_else", Some("[1,2,3]"), None),
    ] {
        assert_eq!(events::check(name, args, data), Ok(()), "{name} {args:?} {data:?}");
    }
    for (name, args, data) in [
        ("on_upload_success", None, None),
        ("on_upload_success", None, Some(r#""a""#)),
        ("on_asset_delete", None, Some(r#"{"id":"a"}"#)),
        ("on_asset_trash", Some(r#"["a"]"#), None),
        ("on_asset_restore", None, Some("[1]")),
        ("on_asset_stack_update", None, Some("{}")),
        ("on_new_release", None, Some("{}")),
        ("on_server_version", None, Some(r#"{"major":"1","minor":2,"patch":3}"#)),
        ("AssetEditReadyV1", Some("[]"), None),
    ] {
        let (said, _) = events::check(name, args, data).unwrap_err();
        assert_eq!(said, name);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}|[0-9/,\\-\\[\\]\"a{}:]{0,40}") {
        let _ = Packet::parse(&text);
        let _ = EnginePacket::parse(&ByteString::from(text.as_str()));
        let _ = Payload::parse(Bytes::from(text.into_bytes()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for _ in frame::parts(&bytes) {}
        let _ = Payload::parse(Bytes::from(bytes));
    }

    #[test]
    fn an_event_that_was_spelled_is_read_as_it_was(
        name in "[a-z_\"\\\\]{1,12}",
        numbers in prop::collection::vec(any::<i32>(), 0..5),
        namespace in prop::option::of("[a-z]{1,8}"),
        id in prop::option::of(any::<u64>()),
    ) {
        let namespace = namespace.map_or("/".to_owned(), |name| format!("/{name}"));
        prop_assume!(name != "connect" && name != "disconnect");
        let json = serde_json::to_string(&numbers).unwrap();
        let text = spell_event(&namespace, &name, &json, id, 0);
        let packet = EnginePacket::parse(&text.into()).unwrap();
        let EnginePacket::Message(text) = packet else { panic!("no message") };
        let args = Args { json, attachments: 0 };
        prop_assert_eq!(
            Packet::parse(&text),
            Ok(Packet { namespace, body: Body::Event { name, args, id } })
        );
    }

    #[test]
    fn what_a_poll_was_answered_is_read_as_it_was(
        messages in prop::collection::vec(
            prop_oneof![
                "[^\\x1e]{0,30}".prop_map(|text| EnginePacket::Message(text.into())),
                prop::collection::vec(any::<u8>(), 0..200)
                    .prop_map(|bytes| EnginePacket::Binary(bytes.into())),
                Just(EnginePacket::Ping("".into())),
                Just(EnginePacket::Noop),
            ],
            1..8,
        ),
    ) {
        let mut body = PollBody::default();
        for packet in &messages {
            match packet {
                EnginePacket::Binary(bytes) => body.push(&frame::binary(bytes)),
                other => body.push(&frame::text(&other.text().unwrap())),
            }
        }
        let payload = Payload::parse(Bytes::from(body.text)).unwrap();
        let read: Result<Vec<_>, _> = payload.packets().collect();
        prop_assert_eq!(read, Ok(messages));
    }
}
