//! A world in which the table is alone: a store that answers at once, late or not at all, and a
//! clock that is moved by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::store::Store;
use crate::delivery::messages::{
    AttachKind, Attached, PublishError, Receipt, Revoked, SessionStatus, Submission,
};
use crate::delivery::output::{Answer, Output};
use crate::delivery::pending::{AttachRequest, Limits, Moment, PendingTable};
use crate::delivery::retry::RetryPolicy;
use crate::delivery::window::WindowLimits;
use crate::dialect::DialectKind;
use crate::persistence::messages::{DuplicateKey, Ticket};
use crate::protocol::{
    Accounts, Ack, Audience, CloseCode, ConnectionId, EventContent, EventId, HubEventKinds,
    NewEvent, NoteId, OfflinePolicy, Push, Seq, SessionId, SessionRecord, SessionRequest,
    Timestamp, UserId,
};
use crate::registry::messages::SendKind;

pub(super) use SendKind::{First, Redelivery};

pub(super) const WAIT_MS: u64 = 3_000;
pub(super) const WINDOW: usize = 4;
pub(super) const REDELIVERIES_MAX: u32 = 3;

/// What the store does with what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    AtOnce,
    Held,
    Away,
    /// It stores an event, and its answer is lost.
    Silent,
}

/// What a connection asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) session: Option<&'static str>,
    pub(super) policy: Option<OfflinePolicy>,
    pub(super) confirm_sync: bool,
    /// The only account its token is for, if it is limited.
    pub(super) account: Option<&'static str>,
}

pub(super) struct World {
    pub(super) table: PendingTable,
    pub(super) store: Store,
    pub(super) mode: Mode,
    /// Whether changed floors are taken from the table.
    pub(super) takes_floors: bool,
    limits: Limits,
    start: Instant,
    ms: u64,
    drawn: u32,
    held: Vec<Output>,
    owners: HashMap<ConnectionId, UserId>,
    names: HashMap<(UserId, Seq), EventId>,
    sent: HashMap<ConnectionId, Vec<(i64, SendKind)>>,
    /// What was sent to those only who joined a room.
    pub(super) in_rooms: Vec<(ConnectionId, i64, NoteId)>,
    told: HashMap<ConnectionId, Push>,
    closed: HashMap<ConnectionId, CloseCode>,
    pub(super) answers: HashMap<Ticket, Answer>,
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(super) fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn accounts(account: Option<&str>) -> Accounts {
    Accounts::new(account.map(|account| vec![account.to_owned()]).as_deref())
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(adjust: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            retry: RetryPolicy {
                ack_wait: Duration::from_millis(WAIT_MS),
                redeliveries_max: REDELIVERIES_MAX,
            },
            window: WindowLimits { events_max: WINDOW, bytes_max: 10_000 },
            owed_max: 20,
            connections_max: 3,
            sessions_max: 3,
            users_cached_max: 100,
            waiting_max: 4,
            traces_max: 100,
            notices: HubEventKinds::default(),
        };
        adjust(&mut limits);
        Self {
            table: PendingTable::new(limits),
            store: Store::default(),
            mode: Mode::AtOnce,
            takes_floors: true,
            limits,
            start: crate::clock::now(),
            ms: 0,
            drawn: 0,
            held: Vec::new(),
            owners: HashMap::new(),
            names: HashMap::new(),
            sent: HashMap::new(),
            in_rooms: Vec::new(),
            told: HashMap::new(),
            closed: HashMap::new(),
            answers: HashMap::new(),
        }
    }

    pub(super) fn moment(&self) -> Moment {
        let now = self.start + Duration::from_millis(self.ms);
        Moment { now, wall: Timestamp(1_000_000 + self.ms as i64) }
    }

    /// Lets time pass, and the table look at what is due.
    pub(super) fn pass(&mut self, ms: u64) {
        self.ms += ms;
        self.table.tick(self.moment());
        self.settle();
    }

    /// Ends the process, as far as the table is concerned: what is durable stays.
    pub(super) fn crash(&mut self) {
        self.table = PendingTable::new(self.limits);
        self.held.clear();
    }

    /// Lets the store do what it held back, and be in `mode` from now on.
    pub(super) fn release(&mut self, mode: Mode) {
        self.mode = mode;
        for output in std::mem::take(&mut self.held) {
            self.perform(output);
        }
        self.settle();
    }

    /// Attaches a reliable session, which must go well.
    pub(super) fn tab(
        &mut self,
        user: &str,
        name: &'static str,
        policy: OfflinePolicy,
    ) -> ConnectionId {
        let wish = Wish { session: Some(name), policy: Some(policy), ..Wish::default() };
        let (connection, ticket) = self.ask(user, wish);
        let expected = Attached::Attached { session: Some(session(name)) };
        assert_eq!(self.attached(ticket), expected);
        connection
    }

    /// Attaches a plain connection, which must go well.
    pub(super) fn plain(&mut self, name: &str) -> ConnectionId {
        self.plain_for(name, None)
    }

    /// Attaches a plain connection whose token is for one account only.
    pub(super) fn plain_for(&mut self, name: &str, account: Option<&str>) -> ConnectionId {
        let connection = self.connection();
        let greeting = Push::AuthSuccess { user: user(name), secret: String::new() };
        let kind = AttachKind::Plain { greeting, accounts: accounts(account) };
        let ticket = self.ask_on(connection, name, kind);
        assert_eq!(self.attached(ticket), Attached::Attached { session: None });
        connection
    }

    /// Asks for a reliable session on a new connection.
    pub(super) fn ask(&mut self, user: &str, wish: Wish) -> (ConnectionId, Ticket) {
        let connection = self.connection();
        (connection, self.ask_again(connection, user, wish))
    }

    /// Asks for a reliable session on a connection that is there.
    pub(super) fn ask_again(&mut self, connection: ConnectionId, user: &str, wish: Wish) -> Ticket {
        self.drawn += 1;
        let kind = AttachKind::Reliable {
            session: match wish.session {
                Some(name) => SessionRequest::Named(session(name)),
                None => SessionRequest::New,
            },
            fresh: session(&format!("fresh-{}", self.drawn)),
            offline: wish.policy,
            offline_default: OfflinePolicy::FullSync,
            confirm_sync: wish.confirm_sync,
            accounts: accounts(wish.account),
        };
        self.ask_on(connection, user, kind)
    }

    fn ask_on(&mut self, connection: ConnectionId, name: &str, kind: AttachKind) -> Ticket {
        let ticket = self.table.ticket();
        self.owners.insert(connection, user(name));
        let request = AttachRequest { connection, dialect: DialectKind::Native, kind };
        self.table.attach(ticket, &user(name), request, self.moment());
        self.settle();
        ticket
    }

    fn connection(&mut self) -> ConnectionId {
        self.drawn += 1;
        ConnectionId { worker: 0, place: self.drawn, generation: 0 }
    }

    /// The socket of this connection is gone.
    pub(super) fn cut(&mut self, connection: ConnectionId) {
        let owner = self.owners[&connection].clone();
        self.table.detach(&owner, connection, self.moment());
        self.settle();
    }

    /// Publishes an event, which must be stored; says where.
    pub(super) fn publish(&mut self, user: &str) -> i64 {
        self.publish_event(user, NewEvent::new("added")).seq.unwrap().0
    }

    pub(super) fn publish_event(&mut self, user: &str, event: NewEvent) -> Receipt {
        let ticket = self.submit(user, event, |_| {});
        self.published(ticket).unwrap()
    }

    /// Hands in an event, and says under which ticket its answer comes.
    pub(super) fn submit(
        &mut self,
        name: &str,
        event: NewEvent,
        adjust: impl FnOnce(&mut Submission),
    ) -> Ticket {
        self.drawn += 1;
        let id = event.id.unwrap_or(EventId(Uuid::from_u128(u128::from(self.drawn))));
        let ephemeral = event.ephemeral;
        let mut submission = Submission {
            user: user(name),
            content: Arc::new(EventContent::fix(event, id, self.moment().wall)),
            duplicate: DuplicateKey::Fresh,
            ephemeral,
            wait_acked: None,
            audience: Audience::default(),
        };
        adjust(&mut submission);
        let ticket = self.table.ticket();
        self.table.publish(ticket, submission, self.moment());
        self.settle();
        ticket
    }

    /// Acks these places by their events' names.
    pub(super) fn ack(&mut self, connection: ConnectionId, seqs: &[i64]) {
        let owner = self.owners[&connection].clone();
        let name = |seq: &i64| self.names[&(owner.clone(), Seq(*seq))];
        self.ack_as(connection, Ack::Events(seqs.iter().map(name).collect()));
    }

    pub(super) fn ack_as(&mut self, connection: ConnectionId, ack: Ack) {
        let owner = self.owners[&connection].clone();
        self.table.ack(&owner, connection, &ack, self.moment());
        self.settle();
    }

    pub(super) fn sync_complete(&mut self, connection: ConnectionId) {
        let owner = self.owners[&connection].clone();
        self.table.sync_complete(&owner, connection);
        self.settle();
    }

    pub(super) fn revoke(&mut self, owner: &str, name: &str) -> Revoked {
        let ticket = self.table.ticket();
        self.table.revoke(ticket, &user(owner), session(name), self.moment());
        self.settle();
        match self.answers.remove(&ticket) {
            Some(Answer::Revoked(revoked)) => revoked,
            other => panic!("not revoked: {other:?}"),
        }
    }

    /// The user's sessions as an administrator sees them; none when the store is away.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<SessionStatus>> {
        let ticket = self.table.ticket();
        self.table.list_sessions(ticket, &user(name), self.moment());
        self.settle();
        match self.answers.remove(&ticket) {
            Some(Answer::Sessions(sessions)) => sessions,
            other => panic!("not listed: {other:?}"),
        }
    }

    /// One session as an administrator sees it.
    pub(super) fn status(&mut self, owner: &str, name: &str) -> SessionStatus {
        let sessions = self.list(owner).unwrap();
        sessions.into_iter().find(|status| status.session == Some(session(name))).unwrap()
    }

    /// What was sent on a connection since this was last asked.
    pub(super) fn sent(&mut self, connection: ConnectionId) -> Vec<(i64, SendKind)> {
        self.sent.remove(&connection).unwrap_or_default()
    }

    /// What a connection was told last: its session, whether to do a full sync, its cursor.
    pub(super) fn told(&self, connection: ConnectionId) -> (&str, bool, i64) {
        match &self.told[&connection] {
            Push::AuthOk { session, need_full_sync, cursor, .. } => {
                (session.as_str(), *need_full_sync, cursor.0)
            }
            other => panic!("not attached: {other:?}"),
        }
    }

    pub(super) fn closed(&self, connection: ConnectionId) -> Option<CloseCode> {
        self.closed.get(&connection).copied()
    }

    /// Whether what came in under `ticket` still waits for its answer.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    pub(super) fn published(&mut self, ticket: Ticket) -> Result<Receipt, PublishError> {
        match self.answers.remove(&ticket) {
            Some(Answer::Published(result)) => result,
            other => panic!("not published: {other:?}"),
        }
    }

    pub(super) fn attached(&mut self, ticket: Ticket) -> Attached {
        match self.answers.remove(&ticket) {
            Some(Answer::Attached(attached)) => attached,
            other => panic!("not attached: {other:?}"),
        }
    }

    /// A session as it rests in the store.
    pub(super) fn record(&self, name: &str) -> Option<&SessionRecord> {
        self.store.sessions.get(&session(name)).map(|(_, record)| record)
    }

    /// Does what the table decided, until it has nothing more to say.
    pub(super) fn settle(&mut self) {
        loop {
            let outputs = self.table.take_outputs();
            if outputs.is_empty() {
                break;
            }
            outputs.into_iter().for_each(|output| self.perform(output));
        }
        if self.takes_floors {
            for floor in self.table.take_floors(usize::MAX) {
                self.store.save_floor(floor);
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::FanOut { user, frames, room, targets, kind } => {
                let event = frames.event();
                assert!(!targets.is_empty(), "an event for nobody");
                for target in targets {
                    assert_eq!(self.owners[&target], user, "an event of another user");
                    if let Some(seq) = event.seq {
                        let name = self.names.entry((user.clone(), seq)).or_insert(event.id());
                        assert_eq!(*name, event.id(), "another event at {seq}");
                    }
                    let seq = event.seq.map_or(0, |seq| seq.0);
                    if let Some(room) = &room {
                        self.in_rooms.push((target, seq, room.clone()));
                        continue;
                    }
                    self.sent.entry(target).or_default().push((seq, kind));
                }
            }
            Output::Say { connection, push } => {
                self.told.insert(connection, push);
            }
            Output::Close { connection, code } => {
                assert!(self.closed.insert(connection, code).is_none(), "closed twice");
            }
            Output::Answer(ticket, answer) => {
                assert!(self.answers.insert(ticket, answer).is_none(), "answered twice");
            }
            other if self.mode == Mode::Held => self.held.push(other),
            other => self.ask_store(other),
        }
    }
}
