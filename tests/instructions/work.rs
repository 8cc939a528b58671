//! The hot pure pieces, each as a piece of work that is the same every time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use staffetta::clock;
use staffetta::delivery::messages::{AttachKind, Submission};
use staffetta::delivery::output::Output;
use staffetta::delivery::pending::{AttachRequest, Limits, Moment, PendingTable};
use staffetta::delivery::retry::RetryPolicy;
use staffetta::delivery::window::WindowLimits;
use staffetta::dialect::socketio::Marking;
use staffetta::dialect::socketio::packet::Packet;
use staffetta::dialect::{Dialect, DialectKind, native::Native, updates::Updates};
use staffetta::persistence::messages::{AppendOutcome, Claim, DuplicateKey, UserSnapshot};
use staffetta::protocol::{
    Accounts, Ack, Audience, ConnectionId, Event, EventContent, EventId, HubEventKinds, NewEvent,
    OfflinePolicy, Seq, SessionId, SessionRequest, Timestamp, UserId,
};
use staffetta::registry::messages::SendKind;
use staffetta::ws::outbox::{Outbox, Pushed};
use uuid::Uuid;

/// A piece of work: so many times the same.
pub(crate) type Work = fn(usize);

/// Every piece by its name, and how often it is done when its instructions are counted.
pub(crate) const WORKS: &[(&str, Work, usize)] = &[
    ("publish, fan out, ack", deliver, 2_000),
    ("publish, redeliver, ack", redeliver, 2_000),
    ("outbox: push, take", pass_through_outbox, 5_000),
    ("decode acks of /ws", decode_native, 5_000),
    ("decode replies of /updates", decode_updates, 5_000),
    ("decode acks of Socket.IO", decode_socketio, 5_000),
    ("encode events of /ws", |times| encode(DialectKind::Native, times), 5_000),
    ("encode events of /updates", |times| encode(DialectKind::Updates, times), 5_000),
    (
        "encode events of Socket.IO",
        |times| encode(DialectKind::SocketIo(Marking::Acked), times),
        5_000,
    ),
];

const USERS: usize = 50;
const SESSIONS: usize = 2;

/// A table whose store answers at once, and whose devices ack at once.
struct World {
    table: PendingTable,
    moment: Moment,
    users: Vec<UserId>,
    lengths: Vec<i64>,
    acks: Acks,
}

/// When the devices ack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acks {
    AtOnce,
    OnRedelivery,
}

const ACK_WAIT: Duration = Duration::from_secs(3);

fn limits() -> Limits {
    Limits {
        retry: RetryPolicy { ack_wait: ACK_WAIT, redeliveries_max: 40 },
        window: WindowLimits { events_max: 256, bytes_max: 1 << 20 },
        owed_max: 10_000,
        connections_max: 20,
        sessions_max: 20,
        users_cached_max: 1_000,
        waiting_max: 1_000,
        traces_max: 1_000,
        notices: HubEventKinds::default(),
    }
}

impl World {
    fn new(acks: Acks) -> Self {
        let moment = Moment { now: clock::now(), wall: Timestamp(1_700_000_000_000) };
        let users = (0..USERS).map(|n| UserId::new(&format!("user-{n}")).unwrap()).collect();
        let (table, lengths) = (PendingTable::new(limits()), vec![0; USERS]);
        let mut world = Self { table, moment, users, lengths, acks };
        for place in 0..USERS * SESSIONS {
            world.attach(place);
        }
        world
    }

    fn attach(&mut self, place: usize) {
        let connection = ConnectionId { worker: 0, place: place as u32, generation: 0 };
        let name = |prefix| SessionId::new(&format!("{prefix}-{place}")).unwrap();
        let kind = AttachKind::Reliable {
            session: SessionRequest::Named(name("tab")),
            fresh: name("fresh"),
            offline: None,
            offline_default: OfflinePolicy::Replay,
            confirm_sync: false,
            accounts: Accounts::new(None),
        };
        let request = AttachRequest { connection, dialect: DialectKind::Native, kind };
        let ticket = self.table.ticket();
        let user = self.users[place / SESSIONS].clone();
        self.table.attach(ticket, &user, request, self.moment);
        self.settle(place / SESSIONS);
    }

    fn publish(&mut self, number: usize, content: &Arc<EventContent>) {
        let ticket = self.table.ticket();
        let submission = Submission {
            user: self.users[number % USERS].clone(),
            content: Arc::clone(content),
            duplicate: DuplicateKey::Fresh,
            ephemeral: false,
            wait_acked: None,
            audience: Audience::default(),
        };
        self.table.publish(ticket, submission, self.moment);
        self.settle(number % USERS);
    }

    /// Does what the table wants for a user, until it wants nothing more.
    fn settle(&mut self, of: usize) {
        loop {
            let outputs = self.table.take_outputs();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.perform(of, output);
            }
        }
    }

    fn perform(&mut self, of: usize, output: Output) {
        match output {
            Output::LoadUser(user) => {
                let nothing =
                    UserSnapshot { last_seq: Seq::ZERO, pruned: Seq::ZERO, sessions: Vec::new() };
                self.table.loaded(&user, Ok(nothing), self.moment);
            }
            Output::Claim { ticket, .. } => {
                self.table.claimed(ticket, Ok(Claim::Created), self.moment);
            }
            Output::Append(append) => {
                self.lengths[of] += 1;
                let seq = Seq(self.lengths[of]);
                self.table.appended(append.ticket, Ok(AppendOutcome::Stored(seq)), self.moment);
            }
            Output::FanOut { user, frames, targets, kind, .. } => {
                black_box(frames.framed(DialectKind::Native));
                if self.acks == Acks::OnRedelivery && kind == SendKind::First {
                    return;
                }
                for target in targets {
                    let ack = Ack::Event(frames.event().id());
                    self.table.ack(&user, target, &ack, self.moment);
                }
            }
            Output::Say { .. }
            | Output::Resumed { .. }
            | Output::Close { .. }
            | Output::SaveSession { .. }
            | Output::DeleteSession(..)
            | Output::ReadLog { .. }
            | Output::Notice(_)
            | Output::Answer(..) => {}
        }
    }
}

fn content(number: usize) -> Arc<EventContent> {
    let data = serde_json::json!({"id": "photo-1", "size": 17, "tags": ["a", "b"]});
    let new = NewEvent::new("added").data(&data).unwrap();
    let id = EventId(Uuid::from_u128(number as u128 + 1));
    Arc::new(EventContent::fix(new, id, Timestamp(1_700_000_000_000)))
}

fn deliver(times: usize) {
    let mut world = World::new(Acks::AtOnce);
    for number in 0..times {
        world.publish(number, &content(number));
    }
    assert_eq!(world.table.take_counts().acked, (times * SESSIONS) as u64, "not all is acked");
}

/// Every event is lost once.
fn redeliver(times: usize) {
    let mut world = World::new(Acks::OnRedelivery);
    for number in 0..times {
        world.publish(number, &content(number));
        world.moment.now += ACK_WAIT;
        world.table.tick(world.moment);
        world.settle(number % USERS);
    }
    assert_eq!(world.table.take_counts().acked, (times * SESSIONS) as u64, "not all is acked");
}

fn pass_through_outbox(times: usize) {
    let outbox = Outbox::new(1 << 20);
    let frame = Bytes::from_static(&[b'x'; 200]);
    for _ in 0..times {
        assert_eq!(outbox.push_shared(black_box(&frame)), Pushed::Queued);
        black_box(outbox.take(usize::MAX, || true));
    }
}

fn decode_native(times: usize) {
    let frame = ByteString::from_static(
        r#"{"type":"ack","event_id":"0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10"}"#,
    );
    for _ in 0..times {
        black_box(Native.decode(black_box(&frame)).unwrap());
    }
}

fn decode_updates(times: usize) {
    let frame = ByteString::from_static(
        r#"{"account":"personal","type":"reply","payload":{"ref":"0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10"}}"#,
    );
    for _ in 0..times {
        black_box(Updates.decode(black_box(&frame)).unwrap());
    }
}

fn decode_socketio(times: usize) {
    for _ in 0..times {
        black_box(Packet::parse(black_box(r#"31234["ok"]"#)).unwrap());
    }
}

fn encode(kind: DialectKind, times: usize) {
    let event = Event::at(Seq(7), content(7));
    for _ in 0..times {
        black_box(kind.dialect().encode_event(black_box(&event)));
    }
}
