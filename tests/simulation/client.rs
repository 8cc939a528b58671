//! A model of one device: it dedupes by name, applies, acks when it feels like it, and does a
//! full sync when told.

use std::collections::{BTreeSet, HashMap, VecDeque};

use staffetta::protocol::{Ack, ConnectionId, Event, EventId, OfflinePolicy, Seq, SessionId};

/// What the hub sends a device.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    AuthOk { session: SessionId, need_full_sync: bool },
    Event(Event),
    Close,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) user: usize,
    /// Plain clients have none, and never ack.
    pub(crate) session: Option<SessionId>,
    pub(crate) is_plain: bool,
    pub(crate) policy: OfflinePolicy,
    pub(crate) confirms: bool,
    /// Its live connection, as the hub names it; none while it is away.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) attached: bool,
    /// Frames on their way to it.
    pub(crate) inbox: VecDeque<Frame>,
    /// Acks on their way to the hub; they may be reordered and doubled.
    pub(crate) acks: Vec<Ack>,
    /// It has everything up to here, applied or by a full sync.
    pub(crate) applied: BTreeSet<i64>,
    /// Everything at or below came with a full sync.
    pub(crate) synced_to: i64,
    /// The hub said, up to here, that a full sync is needed, and whether the frame arrived or
    /// not: who cannot bear to miss it asks to confirm.
    pub(crate) told_to: i64,
    pub(crate) must_confirm: bool,
    names: HashMap<EventId, Seq>,
    /// The highest place that arrived for the first time on this session.
    highest: i64,
}

impl Client {
    pub(crate) fn new(user: usize, is_plain: bool, policy: OfflinePolicy, confirms: bool) -> Self {
        Self {
            user,
            session: None,
            is_plain,
            policy,
            confirms,
            connection: None,
            attached: false,
            inbox: VecDeque::new(),
            acks: Vec::new(),
            applied: BTreeSet::new(),
            synced_to: 0,
            told_to: 0,
            must_confirm: false,
            names: HashMap::new(),
            highest: 0,
        }
    }

    /// The connection is gone, with everything on its way.
    pub(crate) fn cut(&mut self) {
        self.connection = None;
        self.attached = false;
        self.inbox.clear();
        self.acks.clear();
        // What it says on the next connection must be about what it is told there.
        self.must_confirm = false;
    }

    /// Whether it has the event at `seq`, one way or the other.
    pub(crate) fn has(&self, seq: i64) -> bool {
        seq <= self.synced_to.max(self.told_to) || self.applied.contains(&seq)
    }

    /// Takes the whole state: `last` is the end of the log.
    pub(crate) fn full_sync(&mut self, last: i64) {
        self.synced_to = self.synced_to.max(last);
        // What arrives from here on is new, whatever came before.
        self.highest = self.highest.max(last);
    }

    /// Applies an event; says whether it is to be acked.
    pub(crate) fn apply(&mut self, event: &Event) -> bool {
        let Some(seq) = event.seq else { return false };
        match self.names.get(&event.id()) {
            Some(known) => assert_eq!(*known, seq, "one name, two places"),
            None => {
                if !self.is_plain {
                    let is_behind = seq.0 <= self.highest && seq.0 > self.synced_to;
                    assert!(!is_behind, "{seq} arrives first after {}", self.highest);
                }
                self.names.insert(event.id(), seq);
                self.highest = self.highest.max(seq.0);
            }
        }
        self.applied.insert(seq.0);
        !self.is_plain
    }
}
