//! What one session is owed: which events are in flight, which wait in the log, what is settled.
//!
//! Every place in the log above the floor is in exactly one of three states: in flight, acked
//! ahead of the floor, or not offered yet. The caller supplies `now`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{EventContent, EventId, Seq};

/// How much may be in flight for one session.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    /// Events at most.
    pub events_max: usize,
    /// Bytes at most; one event always may.
    pub bytes_max: usize,
}

/// One event sent and not acked.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Its place.
    pub seq: Seq,
    /// What is sent again when overdue.
    pub content: Arc<EventContent>,
    /// When it is overdue.
    pub due_at: Instant,
    /// How often it was sent again for want of an ack.
    pub redeliveries: u32,
    /// Where its trace is.
    pub trace: u32,
}

/// What [`Window::redeliver`] found.
#[derive(Debug, Default)]
pub struct Overdue {
    /// To be sent again, rising.
    pub again: Vec<InFlight>,
    /// An event sent as often as allowed: the session is to be given up.
    pub exhausted: Option<EventId>,
}

/// The deliveries of one session.
#[derive(Debug)]
pub struct Window {
    /// The first place not offered yet.
    next: Seq,
    /// Rising by place.
    in_flight: VecDeque<InFlight>,
    /// Deadlines, rising; an entry that no longer matches its event is passed over.
    due: VecDeque<(Instant, Seq)>,
    /// Acked places at or above `next`, known from before a rewind.
    acked_ahead: BTreeSet<Seq>,
    bytes: usize,
}

impl Window {
    /// A window that owes everything above `floor`.
    pub fn new(floor: Seq) -> Self {
        Self {
            next: floor.next(),
            in_flight: VecDeque::new(),
            due: VecDeque::new(),
            acked_ahead: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Puts the next event in flight. `seq` is at or above [`Self::next`]; what lies between is
    /// settled as not there.
    pub fn offer(&mut self, seq: Seq, content: Arc<EventContent>, due_at: Instant, trace: u32) {
        debug_assert!(seq >= self.next, "{seq} was offered before");
        self.next = seq.next();
        self.bytes += content.bytes();
        self.due.push_back((due_at, seq));
        self.in_flight.push_back(InFlight { seq, content, due_at, redeliveries: 0, trace });
    }

    /// Settles every place up to `seq` that was not offered yet, because there is nothing to
    /// send for it.
    pub fn skip(&mut self, seq: Seq) {
        self.next = self.next.max(seq.next());
        self.drop_acked_below_next();
    }

    /// Settles one event by name. Nothing for a late, repeated or unknown ack.
    pub fn ack(&mut self, event: EventId) -> Option<InFlight> {
        let index = self.in_flight.iter().position(|entry| entry.content.id == event)?;
        self.settle_at(index)
    }

    /// Settles everything at or below `seq`, sent or not.
    pub fn ack_up_to(&mut self, seq: Seq) -> Vec<InFlight> {
        let count = self.in_flight.partition_point(|entry| entry.seq <= seq);
        let settled: Vec<_> = self.in_flight.drain(..count).collect();
        self.bytes -= settled.iter().map(|entry| entry.content.bytes()).sum::<usize>();
        self.skip(seq);
        self.trim_due();
        settled
    }

    /// Whether `seq` was acked before a rewind; asked once, when it is about to be offered.
    pub fn take_acked_ahead(&mut self, seq: Seq) -> bool {
        self.acked_ahead.remove(&seq)
    }

    /// Finds what is overdue at `now` and puts it in flight anew.
    pub fn redeliver(
        &mut self,
        now: Instant,
        ack_wait: Duration,
        redeliveries_max: u32,
    ) -> Overdue {
        let mut overdue = Overdue::default();
        while let Some(&(due_at, seq)) = self.due.front() {
            if due_at > now {
                break;
            }
            self.due.pop_front();
            let Some(entry) = self.entry(seq).filter(|entry| entry.due_at == due_at) else {
                continue;
            };
            if entry.redeliveries >= redeliveries_max {
                overdue.exhausted = Some(entry.content.id);
                continue;
            }
            entry.redeliveries += 1;
            entry.due_at = now + ack_wait;
            overdue.again.push(entry.clone());
            self.due.push_back((now + ack_wait, seq));
        }
        overdue.again.sort_unstable_by_key(|entry| entry.seq);
        overdue
    }

    /// Starts every deadline anew, for a fresh connection, and says what to send on it, rising.
    pub fn resume(&mut self, now: Instant, ack_wait: Duration) -> impl Iterator<Item = &InFlight> {
        self.due.clear();
        for entry in &mut self.in_flight {
            entry.due_at = now + ack_wait;
            self.due.push_back((entry.due_at, entry.seq));
        }
        self.in_flight.iter()
    }

    /// Forgets the contents of what is in flight, so that an absent session costs no memory per
    /// event: it is offered again from the log, apart from what was acked.
    pub fn rewind(&mut self) {
        let floor = self.floor();
        let mut place = floor.next();
        for entry in std::mem::take(&mut self.in_flight) {
            while place < entry.seq {
                self.acked_ahead.insert(place);
                place = place.next();
            }
            place = entry.seq.next();
        }
        while place < self.next {
            self.acked_ahead.insert(place);
            place = place.next();
        }
        self.due = VecDeque::new();
        self.bytes = 0;
        self.next = floor.next();
        self.drop_acked_below_next();
    }

    /// Gives up everything at or below `seq`, and says what was in flight.
    pub fn abandon(&mut self, seq: Seq) -> Vec<InFlight> {
        let dropped = std::mem::take(&mut self.in_flight).into();
        *self = Self::new(seq.max(self.next.previous()));
        dropped
    }

    /// Everything at or below is settled.
    pub fn floor(&self) -> Seq {
        self.in_flight.front().map_or(self.next, |entry| entry.seq).previous()
    }

    /// The first place not offered yet.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Whether an event of `bytes` may be put in flight.
    pub fn has_room_for(&self, bytes: usize, limits: WindowLimits) -> bool {
        self.in_flight.is_empty()
            || (self.in_flight.len() < limits.events_max && self.bytes + bytes <= limits.bytes_max)
    }

    /// Whether so much is free that reading the log is worth it.
    pub fn is_half_free(&self, limits: WindowLimits) -> bool {
        self.in_flight.len() <= limits.events_max / 2 && self.bytes <= limits.bytes_max / 2
    }

    /// Whether the delivery of `seq` is settled.
    pub fn is_settled(&self, seq: Seq) -> bool {
        if seq >= self.next {
            return self.acked_ahead.contains(&seq);
        }
        self.in_flight.binary_search_by_key(&seq, |entry| entry.seq).is_err()
    }

    /// Whether it knows of acks above the floor, which the database does not.
    pub fn knows_more_than_the_floor(&self) -> bool {
        !self.acked_ahead.is_empty() || !self.in_flight.is_empty()
    }

    /// How many events are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// When the first event in flight is overdue.
    pub fn due_at(&mut self) -> Option<Instant> {
        while let Some(&(due_at, seq)) = self.due.front() {
            if self.entry(seq).is_some_and(|entry| entry.due_at == due_at) {
                return Some(due_at);
            }
            self.due.pop_front();
        }
        None
    }

    /// Settles one place in flight; nothing if it is not.
    pub fn settle(&mut self, seq: Seq) -> Option<InFlight> {
        let index = self.in_flight.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        self.settle_at(index)
    }

    fn settle_at(&mut self, index: usize) -> Option<InFlight> {
        let entry = self.in_flight.remove(index)?;
        self.bytes -= entry.content.bytes();
        self.trim_due();
        Some(entry)
    }

    /// Keeps the deadlines from outgrowing the events they are for.
    fn trim_due(&mut self) {
        if self.in_flight.is_empty() {
            self.due.clear();
        } else if self.due.len() > 2 * self.in_flight.len() + 16 {
            let in_flight = &self.in_flight;
            self.due.retain(|&(due_at, seq)| {
                in_flight
                    .binary_search_by_key(&seq, |entry| entry.seq)
                    .ok()
                    .and_then(|index| in_flight.get(index))
                    .is_some_and(|entry| entry.due_at == due_at)
            });
        }
    }

    fn drop_acked_below_next(&mut self) {
        while let Some(&seq) = self.acked_ahead.first() {
            if seq > self.next {
                break;
            }
            self.acked_ahead.pop_first();
            if seq == self.next {
                self.next = seq.next();
            }
        }
    }

    fn entry(&mut self, seq: Seq) -> Option<&mut InFlight> {
        let index = self.in_flight.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        self.in_flight.get_mut(index)
    }
}

#[cfg(test)]
mod tests;
