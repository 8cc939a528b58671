//! What became of recent deliveries, for `GET /events/{event_id}/trace`.
//!
//! Bounded by deliveries, and per user by events: the oldest events are forgotten first, whole,
//! and a busy user's before a quiet one's.

use std::collections::{HashMap, VecDeque};

use super::messages::{DeliveryTrace, DropReason};
use crate::protocol::{EventContent, EventId, Seq, SessionId, Timestamp, UserId};

/// A place that is not traced.
const UNTRACED: u32 = u32::MAX;

/// Events of one user that are remembered, whoever else is busy.
const EVENTS_PER_USER_MAX: usize = 1_024;

/// How a delivery became owed, and when.
#[derive(Clone, Copy, Debug)]
pub enum Owed {
    /// Its event was appended just now.
    Appended(Timestamp),
    /// Its event was taken from the log.
    Read(Timestamp),
}

/// The traces of recent events.
#[derive(Debug)]
pub struct Traces {
    deliveries_max: usize,
    deliveries: usize,
    /// Oldest first; some may be forgotten already.
    order: VecDeque<EventId>,
    events: HashMap<EventId, Vec<DeliveryTrace>>,
    users: HashMap<UserId, VecDeque<EventId>>,
}

impl Traces {
    /// Remembers at most this many deliveries; zero remembers none.
    pub fn new(deliveries_max: usize) -> Self {
        Self {
            deliveries_max,
            deliveries: 0,
            order: VecDeque::new(),
            events: HashMap::new(),
            users: HashMap::new(),
        }
    }

    /// Notes a delivery that became owed, and says where its trace is.
    pub fn queued(
        &mut self,
        content: &EventContent,
        user: &UserId,
        session: &SessionId,
        seq: Seq,
        owed: Owed,
    ) -> u32 {
        if self.deliveries_max == 0 {
            return UNTRACED;
        }
        let event = content.id;
        let (queued_at, durable_at) = match owed {
            Owed::Appended(at) => (at, Some(at)),
            Owed::Read(at) => (at, None),
        };
        let traces = self.events.entry(event).or_insert_with(|| {
            self.order.push_back(event);
            Vec::new()
        });
        let is_first = traces.iter().all(|trace| trace.user != *user);
        let place = traces.len() as u32;
        traces.push(DeliveryTrace {
            user: user.clone(),
            session: Some(session.clone()),
            seq: Some(seq),
            published_at: content.published_at,
            durable_at,
            queued_at,
            sent_at: Vec::new(),
            acked_at: None,
            dropped: None,
        });
        self.deliveries += 1;
        if is_first {
            self.remember_for(user, event);
        }
        while self.deliveries > self.deliveries_max && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            self.forget(oldest);
        }
        place
    }

    /// Notes a sending. At most 64 are kept: give-up comes before.
    pub fn sent(&mut self, event: EventId, place: u32, wall: Timestamp) {
        if let Some(trace) = self.at(event, place)
            && trace.sent_at.len() < 64
        {
            trace.sent_at.push(wall);
        }
    }

    /// Notes an ack.
    pub fn acked(&mut self, event: EventId, place: u32, wall: Timestamp) {
        if let Some(trace) = self.at(event, place) {
            trace.acked_at = Some(wall);
        }
    }

    /// Notes that a delivery will not happen.
    pub fn dropped(&mut self, event: EventId, place: u32, reason: DropReason, wall: Timestamp) {
        if let Some(trace) = self.at(event, place) {
            trace.dropped = Some((wall, reason));
        }
    }

    /// The deliveries of an event, as far as they are remembered.
    pub fn of(&self, event: EventId) -> &[DeliveryTrace] {
        self.events.get(&event).map_or(&[], Vec::as_slice)
    }

    /// Adds to a user's ring; what is beyond it is forgotten, unless it is others' too.
    fn remember_for(&mut self, user: &UserId, event: EventId) {
        let ring = self.users.entry(user.clone()).or_default();
        ring.push_back(event);
        if ring.len() <= EVENTS_PER_USER_MAX {
            return;
        }
        let Some(oldest) = ring.pop_front() else { return };
        let is_own = self
            .events
            .get(&oldest)
            .is_some_and(|traces| traces.iter().all(|trace| trace.user == *user));
        if is_own {
            self.forget(oldest);
        }
        if self.order.len() > 2 * self.events.len() + 64 {
            self.order.retain(|event| self.events.contains_key(event));
        }
    }

    fn forget(&mut self, event: EventId) {
        let Some(traces) = self.events.remove(&event) else { return };
        self.deliveries -= traces.len();
        for trace in traces {
            let Some(ring) = self.users.get_mut(&trace.user) else { continue };
            if let Some(place) = ring.iter().position(|known| *known == event) {
                ring.remove(place);
            }
            if ring.is_empty() {
                self.users.remove(&trace.user);
            }
        }
    }

    fn at(&mut self, event: EventId, place: u32) -> Option<&mut DeliveryTrace> {
        if place == UNTRACED {
            return None;
        }
        self.events.get_mut(&event)?.get_mut(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::protocol::NewEvent;

    fn event(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    fn queue(traces: &mut Traces, n: u128, user: &str) -> u32 {
        let content = EventContent::fix(NewEvent::new("added"), event(n), Timestamp(4));
        let (user, session) = (UserId::new(user).unwrap(), SessionId::new("s").unwrap());
        traces.queued(&content, &user, &session, Seq(1), Owed::Appended(Timestamp(5)))
    }

    #[test]
    fn the_oldest_event_is_forgotten_first_and_whole() {
        let mut traces = Traces::new(3);
        for n in [1, 1, 2, 2] {
            queue(&mut traces, n, "u");
        }
        assert_eq!(traces.of(event(1)), []);
        assert_eq!(traces.of(event(2)).len(), 2);
    }

    #[test]
    fn a_busy_user_does_not_push_out_a_quiet_one() {
        let mut traces = Traces::new(100_000);
        queue(&mut traces, 1, "quiet");
        queue(&mut traces, 2, "busy");
        queue(&mut traces, 2, "quiet");
        for n in 0..4_000 {
            queue(&mut traces, 10 + n, "busy");
        }
        assert_eq!(traces.of(event(1)).len(), 1);
        assert_eq!(traces.of(event(2)).len(), 2, "it is the quiet one's too");
        assert_eq!(traces.of(event(10)), []);
        assert_eq!(traces.of(event(4_009)).len(), 1);
        assert!(traces.order.len() <= 2 * traces.events.len() + 64, "{}", traces.order.len());
        assert_eq!(traces.deliveries, EVENTS_PER_USER_MAX + 3);
    }

    #[test]
    fn a_trace_tells_when_it_was_sent_and_acked() {
        let mut traces = Traces::new(3);
        let place = queue(&mut traces, 1, "u");
        traces.sent(event(1), place, Timestamp(6));
        traces.sent(event(1), place, Timestamp(9));
        traces.acked(event(1), place, Timestamp(10));
        let trace = &traces.of(event(1))[0];
        assert_eq!((trace.published_at, trace.durable_at), (Timestamp(4), Some(Timestamp(5))));
        assert_eq!(trace.sent_at, [Timestamp(6), Timestamp(9)]);
        assert_eq!(trace.acked_at, Some(Timestamp(10)));
    }
}
