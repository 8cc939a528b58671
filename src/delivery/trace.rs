//! What became of recent deliveries, for `GET /events/{event_id}/trace`.
//!
//! Bounded by deliveries: the oldest events are forgotten first, whole.

use std::collections::{HashMap, VecDeque};

use super::messages::{DeliveryTrace, DropReason};
use crate::protocol::{EventId, Seq, SessionId, Timestamp, UserId};

/// A place that is not traced.
const UNTRACED: u32 = u32::MAX;

/// The traces of recent events.
#[derive(Debug)]
pub struct Traces {
    deliveries_max: usize,
    deliveries: usize,
    order: VecDeque<EventId>,
    events: HashMap<EventId, Vec<DeliveryTrace>>,
}

impl Traces {
    /// Remembers at most this many deliveries; zero remembers none.
    pub fn new(deliveries_max: usize) -> Self {
        Self { deliveries_max, deliveries: 0, order: VecDeque::new(), events: HashMap::new() }
    }

    /// Notes a delivery that became owed, and says where its trace is.
    pub fn queued(
        &mut self,
        event: EventId,
        user: &UserId,
        session: &SessionId,
        seq: Seq,
        wall: Timestamp,
    ) -> u32 {
        if self.deliveries_max == 0 {
            return UNTRACED;
        }
        let traces = self.events.entry(event).or_insert_with(|| {
            self.order.push_back(event);
            Vec::new()
        });
        let place = traces.len() as u32;
        traces.push(DeliveryTrace {
            user: user.clone(),
            session: Some(session.clone()),
            seq: Some(seq),
            queued_at: wall,
            sent_at: Vec::new(),
            acked_at: None,
            dropped: None,
        });
        self.deliveries += 1;
        while self.deliveries > self.deliveries_max && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            self.deliveries -= self.events.remove(&oldest).map_or(0, |traces| traces.len());
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
    pub fn dropped(&mut self, event: EventId, place: u32, reason: DropReason) {
        if let Some(trace) = self.at(event, place) {
            trace.dropped = Some(reason);
        }
    }

    /// The deliveries of an event, as far as they are remembered.
    pub fn of(&self, event: EventId) -> &[DeliveryTrace] {
        self.events.get(&event).map_or(&[], Vec::as_slice)
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

    fn event(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    #[test]
    fn the_oldest_event_is_forgotten_first_and_whole() {
        let (user, session) = (UserId::new("u").unwrap(), SessionId::new("s").unwrap());
        let mut traces = Traces::new(3);
        for n in [1, 1, 2, 2] {
            traces.queued(event(n), &user, &session, Seq(1), Timestamp(5));
        }
        assert_eq!(traces.of(event(1)), []);
        assert_eq!(traces.of(event(2)).len(), 2);
    }

    #[test]
    fn a_trace_tells_when_it_was_sent_and_acked() {
        let (user, session) = (UserId::new("u").unwrap(), SessionId::new("s").unwrap());
        let mut traces = Traces::new(3);
        let place = traces.queued(event(1), &user, &session, Seq(1), Timestamp(5));
        traces.sent(event(1), place, Timestamp(6));
        traces.sent(event(1), place, Timestamp(9));
        traces.acked(event(1), place, Timestamp(10));
        let trace = &traces.of(event(1))[0];
        assert_eq!(trace.sent_at, [Timestamp(6), Timestamp(9)]);
        assert_eq!(trace.acked_at, Some(Timestamp(10)));
    }
}
