//! The pending-event table: who is owed which event, and what to do about it now.
//!
//! Pure: the caller supplies the [`Moment`], every decision comes out as an [`Output`], and what
//! must happen elsewhere (appending, reading, claiming) is told back through a method. A delivery
//! is owed, in flight or settled: never two of them, never none.

mod attach;
mod floors;
mod holdings;
mod notices;
mod overdue;
mod publish;
mod replay;
mod slots;
mod watch;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::by_ticket::ByTicket;
use super::closes::Closes;
use super::latency::Latencies;
use super::messages::{
    AttachKind, Attached, FullSyncOrder, PublishError, Revoked, SessionStatus, Submission,
};
use super::output::{Answer, Output};
use super::retry::{DueQueue, RetryPolicy};
use super::trace::Traces;
use super::user::{Tenant, User};
use super::window::{InFlight, WindowLimits};
use crate::dialect::DialectKind;
use crate::persistence::messages::{StoreError, Ticket, UserSnapshot};
use crate::protocol::{CloseCode, ConnectionId, HubEventKinds, Seq, SessionId, Timestamp, UserId};

use self::floors::mark_dirty;
pub use self::floors::{FloorRounds, PARTS};
pub use self::holdings::Holdings;
use self::publish::PendingAppend;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For deadlines.
    pub now: Instant,
    /// For what is written and sent.
    pub wall: Timestamp,
}

/// The figures the table decides by; see `config::DeliveryConfig` and its neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How often an unacked event is sent again.
    pub retry: RetryPolicy,
    /// How much may be in flight for one session.
    pub window: WindowLimits,
    /// A session may be owed this many events.
    pub owed_max: u64,
    /// Connections of one user.
    pub connections_max: usize,
    /// Sessions of one user.
    pub sessions_max: usize,
    /// Users held in memory beside those with connections.
    pub users_cached_max: usize,
    /// Requests that wait for their user to be read.
    pub waiting_max: usize,
    /// Deliveries whose trace is remembered.
    pub traces_max: usize,
    /// Which events of the hub itself are told.
    pub notices: HubEventKinds,
}

/// What the table counted since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a count of what it is named after")]
pub struct Counts {
    pub published: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub acked: u64,
    pub gave_up: u64,
    pub full_syncs_offline: u64,
    pub full_syncs_lost: u64,
    pub full_syncs_owed: u64,
    pub full_syncs_ordered: u64,
    pub acked_within: Latencies,
}

/// A request that waits for its user to be read.
#[derive(Debug)]
enum Waiting {
    Publish(Ticket, Submission),
    Attach(Ticket, AttachRequest),
    Sessions(Ticket),
    Revoke(Ticket, SessionId),
    FullSync(Ticket, SessionId),
}

/// What a connection asks for, as far as the table is concerned.
#[derive(Clone, Debug)]
pub struct AttachRequest {
    /// The connection.
    pub connection: ConnectionId,
    /// How it spells.
    pub dialect: DialectKind,
    /// What it wants to be.
    pub kind: AttachKind,
}

#[derive(Debug)]
enum Entry {
    Loading(Vec<Waiting>),
    /// Boxed: a table has room for more users than there are.
    Loaded(Box<User>),
}

/// What comes up in the due queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Session(UserId, SessionId),
    Waiter(UserId, Ticket),
}

/// The table of one group of slots.
#[derive(Debug)]
pub struct PendingTable {
    limits: Limits,
    users: HashMap<UserId, Entry>,
    /// Every loaded user once, in the order they are looked at for eviction.
    rounds: VecDeque<UserId>,
    waiting: usize,
    due: DueQueue<Due>,
    appends: ByTicket<PendingAppend>,
    claims: ByTicket<(UserId, AttachRequest)>,
    /// Sessions whose floor is to be written, in the order they changed.
    dirty: VecDeque<(UserId, SessionId)>,
    /// The users the end of whose log is kept.
    tails: HashSet<UserId>,
    traces: Traces,
    closes: Closes,
    counts: Counts,
    /// About now, for what is only remembered.
    wall: Timestamp,
    next_ticket: u64,
    outputs: Vec<Output>,
    /// What an ack settled, while it is dealt with; empty otherwise, and kept for its memory.
    settled: Vec<InFlight>,
}

impl PendingTable {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: HashMap::new(),
            rounds: VecDeque::new(),
            waiting: 0,
            due: DueQueue::new(),
            appends: ByTicket::default(),
            claims: ByTicket::default(),
            dirty: VecDeque::new(),
            tails: HashSet::new(),
            traces: Traces::new(limits.traces_max),
            closes: Closes::new(limits.traces_max),
            counts: Counts::default(),
            wall: Timestamp::default(),
            next_ticket: 0,
            outputs: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// Draws a ticket for a request.
    pub fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// What was decided since this was last asked, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// What was counted since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Takes what is durable of a user, and goes on with what waited for it.
    pub fn loaded(
        &mut self,
        user: &UserId,
        result: Result<UserSnapshot, StoreError>,
        moment: Moment,
    ) {
        let Some(Entry::Loading(waiting)) = self.users.remove(user) else { return };
        self.waiting -= waiting.len();
        match result {
            Ok(snapshot) => {
                let loaded = User::from_snapshot(snapshot);
                self.users.insert(user.clone(), Entry::Loaded(Box::new(loaded)));
                self.rounds.push_back(user.clone());
                self.expect_back(user, moment);
                for request in waiting {
                    self.go_on(user, request, moment);
                }
            }
            Err(error) => {
                log::warn!("{user:?} cannot be read: {error}");
                for request in waiting {
                    self.refuse(request);
                }
            }
        }
    }

    /// Lists a user's sessions and plain connections.
    pub fn list_sessions(&mut self, ticket: Ticket, user: &UserId, moment: Moment) {
        let Some(loaded) = self.user_or_wait(user, Waiting::Sessions(ticket), moment) else {
            return;
        };
        let last = loaded.last_seq;
        let mut statuses: Vec<_> =
            loaded.sessions.values().map(|session| session.status(last)).collect();
        statuses.sort_by(|a, b| (a.created_at, &a.session).cmp(&(b.created_at, &b.session)));
        statuses.extend(loaded.connections.iter().filter_map(plain_status));
        self.outputs.push(Output::Answer(ticket, Answer::Sessions(Some(statuses))));
    }

    /// Forgets a session and closes its connection.
    pub fn revoke(&mut self, ticket: Ticket, user: &UserId, session: SessionId, moment: Moment) {
        self.wall = moment.wall;
        let waiting = Waiting::Revoke(ticket, session.clone());
        if self.user_or_wait(user, waiting, moment).is_none() {
            return;
        }
        let reason = super::messages::DropReason::Revoked;
        let revoked = match self.forget(user, &session, CloseCode::Revoked, reason) {
            true => Revoked::Forgotten,
            false => Revoked::Unknown,
        };
        self.outputs.push(Output::Answer(ticket, Answer::Revoked(revoked)));
    }

    /// Takes note that a log was pruned.
    pub fn pruned(&mut self, user: &UserId, up_to: Seq) {
        if let Some(loaded) = self.loaded_mut(user) {
            loaded.pruned = loaded.pruned.max(up_to);
        }
    }

    /// The users with a live connection but no durable session.
    pub fn live_users(&self) -> Vec<UserId> {
        self.users
            .iter()
            .filter(|(_, entry)| match entry {
                Entry::Loaded(user) => !user.connections.is_empty() && user.sessions.is_empty(),
                Entry::Loading(_) => false,
            })
            .map(|(user, _)| user.clone())
            .collect()
    }

    /// What became of an event, as far as it is remembered.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Forgets users nobody needed for `idle`, a bounded number per call.
    pub fn evict(&mut self, idle: Duration, now: Instant) {
        let surplus = self.users.len().saturating_sub(self.limits.users_cached_max);
        let rounds = (self.rounds.len() / 16 + 16 + surplus).min(self.rounds.len());
        for _ in 0..rounds {
            let Some(user) = self.rounds.pop_front() else { return };
            let Some(Entry::Loaded(loaded)) = self.users.get(&user) else { continue };
            let is_old = loaded.touched.is_none_or(|touched| now >= touched + idle);
            let is_surplus = self.users.len() > self.limits.users_cached_max;
            // Memory has the last word: a surplus user's acks above its floors are forgotten, and
            // those events sent again.
            let is_due = (is_old && !loaded.knows_more_than_the_floors()) || is_surplus;
            if loaded.is_idle() && is_due {
                self.users.remove(&user);
            } else {
                self.rounds.push_back(user);
            }
        }
    }

    /// How many users are in memory.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    fn loaded_mut(&mut self, user: &UserId) -> Option<&mut User> {
        match self.users.get_mut(user)? {
            Entry::Loaded(loaded) => Some(loaded),
            Entry::Loading(_) => None,
        }
    }

    /// The user if it is in memory; else the request waits until it is read.
    fn user_or_wait(
        &mut self,
        user: &UserId,
        request: Waiting,
        moment: Moment,
    ) -> Option<&mut User> {
        if !matches!(self.users.get(user), Some(Entry::Loaded(_))) {
            self.wait(user, request);
            return None;
        }
        let loaded = self.loaded_mut(user)?;
        loaded.touched = Some(moment.now);
        Some(loaded)
    }

    fn wait(&mut self, user: &UserId, request: Waiting) {
        if self.waiting >= self.limits.waiting_max {
            self.refuse(request);
            return;
        }
        self.waiting += 1;
        let outputs = &mut self.outputs;
        let entry = self.users.entry(user.clone()).or_insert_with(|| {
            outputs.push(Output::LoadUser(user.clone()));
            Entry::Loading(Vec::new())
        });
        if let Entry::Loading(waiting) = entry {
            waiting.push(request);
        }
    }

    fn go_on(&mut self, user: &UserId, request: Waiting, moment: Moment) {
        match request {
            Waiting::Publish(ticket, submission) => self.publish(ticket, submission, moment),
            Waiting::Attach(ticket, request) => self.attach(ticket, user, request, moment),
            Waiting::Sessions(ticket) => self.list_sessions(ticket, user, moment),
            Waiting::Revoke(ticket, session) => self.revoke(ticket, user, session, moment),
            Waiting::FullSync(ticket, session) => {
                self.order_full_sync(ticket, user, session, moment);
            }
        }
    }

    fn refuse(&mut self, request: Waiting) {
        let (ticket, answer) = match request {
            Waiting::Publish(ticket, _) => {
                (ticket, Answer::Published(Err(PublishError::Unavailable)))
            }
            Waiting::Attach(ticket, _) => (ticket, Answer::Attached(Attached::Unavailable)),
            Waiting::Sessions(ticket) => (ticket, Answer::Sessions(None)),
            Waiting::Revoke(ticket, _) => (ticket, Answer::Revoked(Revoked::Unavailable)),
            Waiting::FullSync(ticket, _) => (ticket, Answer::FullSync(FullSyncOrder::Unavailable)),
        };
        self.outputs.push(Output::Answer(ticket, answer));
    }
}

fn plain_status((connection, tenant): (&ConnectionId, &Tenant)) -> Option<SessionStatus> {
    match tenant {
        Tenant::Reliable(_) => None,
        Tenant::Plain { dialect, since, .. } => Some(SessionStatus {
            session: None,
            connection: Some((*connection, *dialect)),
            policy: None,
            need_full_sync: false,
            floor: Seq::ZERO,
            pending: 0,
            in_flight: 0,
            created_at: *since,
            acked_at: None,
        }),
    }
}

#[cfg(test)]
mod tests;
