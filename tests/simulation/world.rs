//! The world around the delivery core: publishers, devices, the network, the store and the
//! clock, each doing something at random, and the checks of the promise.

mod check;
mod driver;
mod steps;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use staffetta::delivery::messages::Submission;
use staffetta::delivery::pending::{Limits, Moment, PendingTable};
use staffetta::delivery::retry::RetryPolicy;
use staffetta::delivery::window::WindowLimits;
use staffetta::persistence::messages::Ticket;
use staffetta::protocol::{
    ConnectionId, EventId, HubEventKinds, OfflinePolicy, SessionId, Timestamp, UserId,
};

use crate::client::Client;
use crate::random::Random;
use crate::store::{Answer, Store};

const WAIT_MS: u64 = 3_000;
const WINDOW: usize = 4;

/// What the driver does wrong on purpose, to see that the checks notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// Some events reach a device of another user too.
    CrossUsers,
    /// Nobody is ever told to do a full sync.
    ForgetFullSync,
    /// Some events are acked for a device that never got them.
    StealAcks,
}

/// An event whose publisher was answered.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) user: usize,
    pub(crate) seq: i64,
    pub(crate) expires_at: Option<Timestamp>,
    /// The devices that had a session when it was asked for, and were not excluded.
    pub(crate) owed_to: Vec<usize>,
}

/// A publish that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) submission: Submission,
    pub(crate) user: usize,
    pub(crate) owed_to: Vec<usize>,
    pub(crate) waits: bool,
}

/// What waits for an answer of the core, by ticket.
#[derive(Debug)]
pub(crate) enum Open {
    Publish(Box<Asked>),
    Attach(usize, ConnectionId),
    List,
    Revoke(SessionId),
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) sabotage: Sabotage,
    pub(crate) transcript: Option<Vec<String>>,
    pub(crate) start: Instant,
    pub(crate) ms: u64,
    pub(crate) table: PendingTable,
    pub(crate) store: Store,
    pub(crate) answers: Vec<Answer>,
    pub(crate) users: Vec<UserId>,
    pub(crate) clients: Vec<Client>,
    pub(crate) open: HashMap<Ticket, Open>,
    pub(crate) promises: Vec<Promise>,
    pub(crate) known_ids: HashMap<(usize, EventId), i64>,
    pub(crate) again: Vec<(usize, Submission)>,
    pub(crate) detaches: Vec<(usize, ConnectionId)>,
    /// Connections the core believes in, with what was sent on each.
    pub(crate) sent: HashMap<ConnectionId, BTreeSet<i64>>,
    pub(crate) owners: HashMap<ConnectionId, usize>,
    /// Which session a connection is of, once it was told.
    pub(crate) names: HashMap<ConnectionId, SessionId>,
    /// What each session settled in this life of the hub.
    pub(crate) settled: HashMap<SessionId, BTreeSet<i64>>,
    /// Sessions the core told to be open.
    pub(crate) online: HashSet<SessionId>,
    pub(crate) next_place: u32,
    pub(crate) next_id: u128,
    pub(crate) performed: u64,
    /// Nothing fails any more.
    pub(crate) healed: bool,
}

fn start() -> Instant {
    staffetta::clock::now()
}

pub(crate) fn limits() -> Limits {
    Limits {
        retry: RetryPolicy { ack_wait: Duration::from_millis(WAIT_MS), redeliveries_max: 5 },
        window: WindowLimits { events_max: WINDOW, bytes_max: 600 },
        owed_max: 12,
        connections_max: 6,
        sessions_max: 8,
        users_cached_max: 100,
        waiting_max: 50,
        traces_max: 100,
        notices: HubEventKinds::all(),
    }
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Sabotage) -> Self {
        let mut random = Random::new(seed);
        let users: Vec<_> = (0..2).map(|n| UserId::new(&format!("user-{n}")).unwrap()).collect();
        let mut clients = Vec::new();
        for user in 0..users.len() {
            for _ in 0..1 + random.below(3) {
                let policy =
                    if random.chance(50) { OfflinePolicy::Replay } else { OfflinePolicy::FullSync };
                let is_plain = random.chance(15);
                clients.push(Client::new(user, is_plain, policy, random.chance(30)));
            }
        }
        Self {
            random,
            sabotage,
            transcript: None,
            start: start(),
            ms: 0,
            table: PendingTable::new(limits()),
            store: Store::default(),
            answers: Vec::new(),
            users,
            clients,
            open: HashMap::new(),
            promises: Vec::new(),
            known_ids: HashMap::new(),
            again: Vec::new(),
            detaches: Vec::new(),
            sent: HashMap::new(),
            owners: HashMap::new(),
            names: HashMap::new(),
            settled: HashMap::new(),
            online: HashSet::new(),
            next_place: 0,
            next_id: 0,
            performed: 0,
            healed: false,
        }
    }

    /// Lives for a while, heals, and checks the promise.
    pub(crate) fn run(&mut self) {
        let steps = 60 + self.random.below(140);
        for _ in 0..steps {
            self.step();
            self.drive();
        }
        self.heal();
        self.check_promises();
    }

    pub(crate) fn promised(&self) -> u64 {
        self.promises.len() as u64
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.start + Duration::from_millis(self.ms),
            wall: Timestamp(1_000_000 + self.ms as i64),
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let ms = self.ms;
        if let Some(transcript) = &mut self.transcript {
            transcript.push(format!("{ms:>7} {}", line()));
        }
    }
}
