//! What is written is read as it was; what was not written is refused, and never panics.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;
use crate::delivery::messages::{Attached, PublishError, Receipt};
use crate::dialect::EventFrames;
use crate::notebook::{NoteAnswer, Source};
use crate::notes::{Access, Note, NoteChange, NoteError, NoteFields, Role, SharedNote};
use crate::persistence::messages::DuplicateKey;
use crate::protocol::{
    Accounts, Ack, Audience, CloseCode, Event, EventContent, NewEvent, OfflinePolicy, Push, Seq,
    SessionRequest,
};
use crate::registry::messages::SendKind;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn content(kind: String, data: Option<String>, number: u128) -> EventContent {
    let json = data.map(|text| serde_json::json!({ "text": text }).to_string());
    EventContent {
        id: EventId(Uuid::from_u128(number)),
        kind,
        data: json.map(|json| RawValue::from_string(json).unwrap()),
        account: number.is_multiple_of(2).then(|| "business".to_owned()),
        action: None,
        silent: number.is_multiple_of(3),
        args: None,
        exclude_session: None,
        published_at: Timestamp(number as i64),
        expires_at: Some(Timestamp(-1)),
    }
}

fn connection(place: u32) -> ConnectionId {
    ConnectionId { worker: NodeNumber(3).worker(1), place, generation: 9 }
}

/// Written and read again, and then compared as what is written of it.
fn round_trip(message: &Message) {
    let mut bytes = Vec::new();
    put(message, &mut bytes);
    let (read, unread) = read_body(&bytes);
    assert_eq!((read.len(), unread), (1, 0), "{message:?}");
    let mut again = Vec::new();
    put(&read[0], &mut again);
    assert_eq!(again, bytes, "{message:?}");
    assert_eq!(format!("{:?}", read[0]), format!("{message:?}"));
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let accounts = Accounts::new(Some(&["a".to_owned()])).or_default(Some("personal"));
    let session = SessionId::new("s").unwrap();
    let note = NoteId::new("n").unwrap();
    let kinds = [
        AttachKind::Plain {
            greeting: Push::AuthSuccess { user: user("u"), secret: "x".to_owned() },
            accounts: accounts.clone(),
        },
        AttachKind::Reliable {
            session: SessionRequest::Named(session.clone()),
            fresh: session.clone(),
            offline: Some(OfflinePolicy::Replay),
            offline_default: OfflinePolicy::FullSync,
            confirm_sync: true,
            accounts: Accounts::default().of_session(Some("sid")),
        },
        AttachKind::Again { session: Some(session.clone()), accounts },
    ];
    for kind in kinds {
        let request = Request::Attach(user("u"), connection(1), DialectKind::Updates, kind);
        round_trip(&Message::Ask(7, request));
    }
    for request in [
        Request::ListSessions(user("u")),
        Request::Revoke(user("u"), session),
        Request::Trace(EventId(Uuid::from_u128(1))),
        Request::LiveUsers,
        Request::ListCloses(user("u")),
        Request::OrderFullSync(user("u"), SessionId::new("s").unwrap()),
        Request::TakeCensus,
    ] {
        round_trip(&Message::Ask(1, request));
    }
    let event = |name| EventId(Uuid::from_u128(name));
    let detach = Detach { user: user("u"), connection: connection(2) };
    let done = SyncComplete { user: user("u"), connection: connection(2) };
    let present = Present { user: user("u"), connections: 3 };
    for message in [
        Message::Hello(Hello {
            number: NodeNumber(5),
            name: "a".to_owned(),
            advertise: Some("https://a".to_owned()),
            is_leaving: true,
            slots: vec![(Slot(255), Epoch(9))],
        }),
        Message::Answer(3, vec![1, 2, 3]),
        Message::Acks(
            [Ack::Event(event(1)), Ack::Events(vec![event(1), event(2)]), Ack::Events(Vec::new())]
                .map(|ack| AckEntry { user: user("u"), connection: connection(4), ack })
                .to_vec(),
        ),
        Message::Detach(detach),
        Message::Unreachable(vec![(user("u"), connection(5))]),
        Message::SyncComplete(done),
        Message::Back(vec![(Slot(0), Epoch(1))]),
        Message::Room(note.clone(), RoomWord::Count(present)),
        Message::Room(note.clone(), RoomWord::Ask),
        Message::Room(note.clone(), RoomWord::Signal(user("u"), Some("{}".into()), Timestamp(4))),
        Message::Room(note, RoomWord::TurnOut(user("u"))),
        Message::Doubt,
    ] {
        round_trip(&message);
    }
}

#[test]
fn what_is_done_to_notes_travels_with_what_comes_of_it() {
    let note = NoteId::new("n").unwrap();
    let fields: NoteFields = serde_json::from_str(r#"{"title":"a","n":[1,2]}"#).unwrap();
    let by = Source { user: user("u"), session: SessionId::new("s").ok(), connection: None };
    let event = NewEvent::new("comment").data(&serde_json::json!({"text": "x"})).unwrap();
    for order in [
        NoteOrder::Update {
            note: note.clone(),
            by: by.clone(),
            fields: fields.clone(),
            base_version: Some(3),
        },
        NoteOrder::Create { note: note.clone(), by: by.clone(), fields: fields.clone() },
        NoteOrder::Delete { note: note.clone(), by },
        NoteOrder::Share {
            note: note.clone(),
            member: user("v"),
            role: Role::Write,
            by: user("u"),
        },
        NoteOrder::Unshare { note: note.clone(), member: user("v"), by: user("u") },
        NoteOrder::Publish { note: note.clone(), event: Box::new(event) },
        NoteOrder::Read { note: note.clone(), user: user("u") },
        NoteOrder::ReadMembers { note: note.clone() },
    ] {
        round_trip(&Message::Ask(1, Request::Note(Box::new(order))));
    }
    let query = NoteQuery { user: user("u"), updated_since: None, after: None, limit: 3 };
    round_trip(&Message::Ask(2, Request::ListNotes(query)));
    let kept = Note {
        id: note,
        owner: user("u"),
        version: 2,
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        deleted_at: None,
        fields,
        field_versions: [("title".to_owned(), 2)].into(),
    };
    let shared = SharedNote { note: kept.clone(), access: Access::Member(Role::Read) };
    let change = NoteChange { note: kept, conflicts: [].into(), event: None };
    let answers: [Result<NoteAnswer, NoteError>; 5] = [
        Ok(NoteAnswer::Changed(Box::new(change))),
        Ok(NoteAnswer::Note(Box::new(shared))),
        Ok(NoteAnswer::Unshared(true)),
        Ok(NoteAnswer::Published(vec![(user("u"), Err(PublishError::Moved))])),
        Err(NoteError::TooLarge { bytes_max: 9 }),
    ];
    for answer in answers {
        let mut bytes = Vec::new();
        answer.put(&mut bytes);
        let read: Result<NoteAnswer, NoteError> = Wire::get(&mut Input::new(&bytes)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{answer:?}"));
    }
}

#[test]
fn orders_travel_without_their_frames() {
    let event = Event::at(Seq(4), Arc::new(content("added".to_owned(), None, 7)));
    let push = Push::AuthOk {
        user: user("u"),
        session: SessionId::new("s").unwrap(),
        need_full_sync: true,
        cursor: Seq(2),
    };
    let orders = vec![
        Order::FanOut {
            user: user("u"),
            frames: EventFrames::new(event),
            room: None,
            targets: vec![connection(1), connection(2)],
            kind: SendKind::Redelivery,
        },
        Order::Say { connection: connection(1), push },
        Order::Close { connection: connection(1), code: CloseCode::Restart },
        Order::Resumed { connection: connection(1) },
    ];
    round_trip(&Message::Orders(orders));
}

#[test]
fn a_message_that_cannot_be_read_does_not_hide_the_next() {
    let mut bytes = Vec::new();
    put(&Message::Doubt, &mut bytes);
    bytes.extend_from_slice(&[1, 0, 0, 0, 200]);
    put(&Message::Back(Vec::new()), &mut bytes);
    let (read, unread) = read_body(&bytes);
    assert_eq!((read.len(), unread), (2, 1));
    let (read, unread) = read_body(&bytes[..bytes.len() - 1]);
    assert_eq!((read.len(), unread), (1, 2));
}

#[test]
fn answers_are_read_by_who_asked() {
    let receipt = Receipt {
        event_id: EventId(Uuid::from_u128(1)),
        seq: Some(Seq(1)),
        live: 2,
        offline: 3,
        duplicate: true,
        acked: None,
    };
    let answers = vec![Ok(receipt), Err(PublishError::Moved), Err(PublishError::Conflict)];
    let mut bytes = Vec::new();
    answers.put(&mut bytes);
    assert_eq!(Wire::get(&mut Input::new(&bytes)), Some(answers));
    let mut bytes = Vec::new();
    Attached::TooManyConnections.put(&mut bytes);
    assert_eq!(Wire::get(&mut Input::new(&bytes)), Some(Attached::TooManyConnections));
    assert_eq!(Attached::get(&mut Input::new(&[9])), None);
}

proptest! {
    #[test]
    fn publishes_are_read_as_they_were_written(
        kind in "[a-z]{1,9}",
        data in prop::option::of(".*"),
        key in "\\PC{1,20}",
        number in any::<u64>(),
    ) {
        let content = content(kind, data, u128::from(number));
        let submission = Submission {
            user: user("u"),
            content: Arc::new(content),
            duplicate: DuplicateKey::Key { key, fingerprint: "f".to_owned() },
            ephemeral: number.is_multiple_of(2),
            wait_acked: Some(std::time::Duration::from_millis(number % 1_000)),
            audience: Audience { except: Some(connection(1)), room: None },
        };
        round_trip(&Message::Ask(number, Request::Publish(vec![submission])));
    }

    #[test]
    fn garbage_is_passed_over_and_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        kind in 0u8..14,
    ) {
        read_body(&bytes);
        let mut framed = ((bytes.len() + 1) as u32).to_le_bytes().to_vec();
        framed.push(kind);
        framed.extend_from_slice(&bytes);
        let (read, unread) = read_body(&framed);
        prop_assert_eq!(read.len() + unread, 1);
    }

    #[test]
    fn a_message_that_was_cut_or_changed_never_panics(
        number in any::<u64>(), cut in 0usize..200, flip in 0usize..200,
    ) {
        let event = Event::at(Seq(1), Arc::new(content("x".to_owned(), None, number.into())));
        let (frames, targets) = (EventFrames::new(event), vec![connection(1)]);
        let order =
            Order::FanOut { user: user("u"), frames, room: None, targets, kind: SendKind::First };
        let mut bytes = Vec::new();
        put(&Message::Orders(vec![order]), &mut bytes);
        let place = flip % bytes.len();
        bytes[place] ^= number as u8;
        bytes.truncate(bytes.len().saturating_sub(cut % 3));
        read_body(&bytes);
    }
}
