//! What became of recent deliveries, for `GET /events/{event_id}/trace`.
//!
//! Bounded by deliveries, and per user by events: the oldest events are forgotten first, whole,
//! and a busy user's before a quiet one's.
//!
//! Every delivery is written here four times, so it has a slot that is found without a search, and a slot
//! that was given up is the next to be used: what is looked at stays in the processor's cache.

use std::collections::{HashMap, VecDeque};

use super::messages::{DeliveryTrace, DropReason};
use crate::protocol::{EventContent, EventId, Seq, SessionId, Timestamp, UserId};

/// A place that is not traced, and the end of a chain.
const NONE: u32 = u32::MAX;

/// Events of one user that are remembered, whoever else is busy.
const EVENTS_PER_USER_MAX: usize = 1_024;

/// Sendings of one delivery that are remembered: give-up comes before.
const SENT_MAX: usize = 64;

/// How a delivery became owed, and when.
#[derive(Clone, Copy, Debug)]
pub enum Owed {
    /// Its event was appended just now.
    Appended(Timestamp),
    /// Its event was taken from the log.
    Read(Timestamp),
}

/// One delivery. In a slot that is free it is the one before.
#[derive(Debug)]
struct Delivery {
    event: EventId,
    user: UserId,
    session: SessionId,
    seq: Seq,
    published_at: Timestamp,
    owed: Owed,
    sent_at: Option<Timestamp>,
    acked_at: Option<Timestamp>,
    /// What happens to few.
    rare: Option<Box<Rare>>,
    /// The event's next delivery.
    next: u32,
}

#[derive(Debug, Default)]
struct Rare {
    sent_again_at: Vec<Timestamp>,
    dropped: Option<(Timestamp, DropReason)>,
}

/// The deliveries of an event, in order.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u32,
    last: u32,
}

/// The traces of recent events.
#[derive(Debug)]
pub struct Traces {
    deliveries_max: usize,
    /// As many as there ever were at a time.
    slots: Vec<Delivery>,
    /// The last one was given up last.
    free: Vec<u32>,
    /// Oldest first; some may be forgotten already.
    order: VecDeque<EventId>,
    events: HashMap<EventId, Chain>,
    users: HashMap<UserId, VecDeque<EventId>>,
}

impl Traces {
    /// Remembers at most this many deliveries; zero remembers none.
    pub fn new(deliveries_max: usize) -> Self {
        Self {
            deliveries_max: deliveries_max.min(NONE as usize),
            slots: Vec::new(),
            free: Vec::new(),
            order: VecDeque::new(),
            events: HashMap::new(),
            users: HashMap::new(),
        }
    }

    /// Notes a delivery that became owed, and says where its trace is. Of an event that has more
    /// deliveries than are remembered in all, the first are.
    pub fn queued(
        &mut self,
        content: &EventContent,
        user: &UserId,
        session: &SessionId,
        seq: Seq,
        owed: Owed,
    ) -> u32 {
        let event = content.id;
        if !self.make_room(event) {
            return NONE;
        }
        let place = self.put(Delivery {
            event,
            user: user.clone(),
            session: session.clone(),
            seq,
            published_at: content.published_at,
            owed,
            sent_at: None,
            acked_at: None,
            rare: None,
            next: NONE,
        });
        let chain = self.events.entry(event).or_insert_with(|| {
            self.order.push_back(event);
            Chain { first: place, last: NONE }
        });
        let before = std::mem::replace(&mut chain.last, place);
        let before = self.slots.get_mut(before as usize);
        let mut is_users_first = true;
        if let Some(before) = before {
            before.next = place;
            // Mostly a user's deliveries of an event come one after the other.
            is_users_first = before.user != *user && !self.has_ringed(user, event);
        }
        if is_users_first {
            self.remember_for(user, event);
        }
        place
    }

    /// Notes a sending.
    pub fn sent(&mut self, event: EventId, place: u32, wall: Timestamp) {
        let Some(delivery) = self.at(event, place) else { return };
        if delivery.sent_at.is_none() {
            delivery.sent_at = Some(wall);
            return;
        }
        let again = &mut delivery.rare.get_or_insert_default().sent_again_at;
        if again.len() + 1 < SENT_MAX {
            again.push(wall);
        }
    }

    /// Notes an ack.
    pub fn acked(&mut self, event: EventId, place: u32, wall: Timestamp) {
        if let Some(delivery) = self.at(event, place) {
            delivery.acked_at = Some(wall);
        }
    }

    /// Notes that a delivery will not happen.
    pub fn dropped(&mut self, event: EventId, place: u32, reason: DropReason, wall: Timestamp) {
        if let Some(delivery) = self.at(event, place) {
            delivery.rare.get_or_insert_default().dropped = Some((wall, reason));
        }
    }

    /// The deliveries of an event, as far as they are remembered.
    pub fn of(&self, event: EventId) -> Vec<DeliveryTrace> {
        let first = self.events.get(&event).map_or(NONE, |chain| chain.first);
        self.chain(first).map(Delivery::tell).collect()
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = &Delivery> {
        let slot = |place: u32| self.slots.get(place as usize);
        std::iter::successors(slot(first), move |delivery| slot(delivery.next))
    }

    fn deliveries(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Forgets the oldest until one more delivery of this event may be remembered, and says whether it
    /// may.
    fn make_room(&mut self, event: EventId) -> bool {
        while self.deliveries() >= self.deliveries_max {
            match self.order.pop_front() {
                None => return false,
                Some(oldest) if oldest == event && self.events.contains_key(&event) => {
                    self.order.push_back(event);
                    if self.events.len() == 1 {
                        return false;
                    }
                }
                Some(oldest) => self.forget(oldest),
            }
        }
        true
    }

    fn put(&mut self, delivery: Delivery) -> u32 {
        let free = self.free.pop();
        if let Some(place) = free
            && let Some(slot) = self.slots.get_mut(place as usize)
        {
            *slot = delivery;
            return place;
        }
        self.slots.push(delivery);
        self.slots.len() as u32 - 1
    }

    fn has_ringed(&self, user: &UserId, event: EventId) -> bool {
        self.users.get(user).is_some_and(|ring| ring.contains(&event))
    }

    /// Adds to a user's ring; what is beyond it is forgotten, unless it is others' too.
    fn remember_for(&mut self, user: &UserId, event: EventId) {
        let ring = match self.users.get_mut(user) {
            Some(ring) => ring,
            None => self.users.entry(user.clone()).or_default(),
        };
        ring.push_back(event);
        if ring.len() <= EVENTS_PER_USER_MAX {
            return;
        }
        let Some(oldest) = ring.pop_front() else { return };
        let first = self.events.get(&oldest).map_or(NONE, |chain| chain.first);
        if self.chain(first).all(|delivery| delivery.user == *user) {
            self.forget(oldest);
        }
        if self.order.len() > 2 * self.events.len() + 64 {
            self.order.retain(|event| self.events.contains_key(event));
        }
    }

    fn forget(&mut self, event: EventId) {
        let Some(chain) = self.events.remove(&event) else { return };
        let mut place = chain.first;
        let mut rid: Option<&UserId> = None;
        while let Some(delivery) = self.slots.get(place as usize) {
            self.free.push(place);
            place = delivery.next;
            if rid == Some(&delivery.user) {
                continue;
            }
            rid = Some(&delivery.user);
            let Some(ring) = self.users.get_mut(&delivery.user) else { continue };
            if let Some(place) = ring.iter().position(|known| *known == event) {
                ring.remove(place);
            }
            if ring.is_empty() {
                self.users.remove(&delivery.user);
            }
        }
    }

    /// A delivery that is still remembered: a slot may be another's by now, or nobody's.
    fn at(&mut self, event: EventId, place: u32) -> Option<&mut Delivery> {
        let delivery = self.slots.get_mut(place as usize)?;
        (delivery.event == event).then_some(delivery)
    }
}

impl Delivery {
    fn tell(&self) -> DeliveryTrace {
        let (queued_at, durable_at) = match self.owed {
            Owed::Appended(at) => (at, Some(at)),
            Owed::Read(at) => (at, None),
        };
        let again = self.rare.iter().flat_map(|rare| &rare.sent_again_at);
        DeliveryTrace {
            user: self.user.clone(),
            session: Some(self.session.clone()),
            seq: Some(self.seq),
            published_at: self.published_at,
            durable_at,
            queued_at,
            sent_at: self.sent_at.iter().chain(again).copied().collect(),
            acked_at: self.acked_at,
            dropped: self.rare.as_ref().and_then(|rare| rare.dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
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
    fn of_an_event_with_too_many_deliveries_the_first_are_remembered() {
        let mut traces = Traces::new(3);
        queue(&mut traces, 1, "u");
        for user in ["a", "b", "c", "d"] {
            queue(&mut traces, 2, user);
        }
        let users: Vec<_> = traces.of(event(2)).into_iter().map(|trace| trace.user).collect();
        assert_eq!(users, ["a", "b", "c"].map(|user| UserId::new(user).unwrap()));
        assert_eq!((traces.of(event(1)), traces.deliveries()), (Vec::new(), 3));
        queue(&mut traces, 3, "u");
        assert_eq!((traces.of(event(2)), traces.of(event(3)).len()), (Vec::new(), 1));
        assert_eq!(queue(&mut Traces::new(0), 1, "u"), NONE);
    }

    #[test]
    fn an_old_event_that_is_owed_again_outlives_what_came_between() {
        let mut traces = Traces::new(3);
        for n in [1, 2, 3, 1] {
            queue(&mut traces, n, "u");
        }
        assert_eq!(traces.of(event(1)).len(), 2);
        assert_eq!(traces.of(event(2)), []);
        assert_eq!(traces.of(event(3)).len(), 1);
    }

    #[test]
    fn a_slot_that_is_anothers_by_now_is_left_alone() {
        let mut traces = Traces::new(1);
        let place = queue(&mut traces, 1, "u");
        assert_eq!(queue(&mut traces, 2, "u"), place);
        traces.sent(event(1), place, Timestamp(6));
        traces.acked(event(1), place, Timestamp(7));
        traces.dropped(event(1), place, DropReason::Expired, Timestamp(8));
        let trace = &traces.of(event(2))[0];
        assert_eq!((&trace.sent_at[..], trace.acked_at, trace.dropped), (&[][..], None, None));
    }

    proptest! {
        /// However events come, nobody has more than may be, and what is told is what was noted last.
        #[test]
        fn what_is_remembered_holds_together(
            steps in proptest::collection::vec((0u128..12, 0u8..4), 0..300),
            deliveries_max in 0usize..20,
        ) {
            let mut traces = Traces::new(deliveries_max);
            let mut noted: HashMap<(u128, u32), i64> = HashMap::new();
            for (at, (n, user)) in steps.into_iter().enumerate() {
                let place = queue(&mut traces, n, &format!("u{user}"));
                noted.retain(|(_, known), _| *known != place);
                if place != NONE {
                    traces.acked(event(n), place, Timestamp(at as i64));
                    noted.insert((n, place), at as i64);
                }
                let told: usize = (0..12).map(|n| traces.of(event(n)).len()).sum();
                prop_assert_eq!(told, traces.deliveries());
                prop_assert!(told <= deliveries_max && traces.slots.len() <= deliveries_max);
                for n in 0..12 {
                    for trace in traces.of(event(n)) {
                        let acked = trace.acked_at.unwrap().0;
                        prop_assert!(noted.iter().any(|((of, _), at)| (*of, *at) == (n, acked)));
                    }
                }
                for (user, ring) in &traces.users {
                    let is_own = |id: &EventId| traces.of(*id).iter().any(|t| t.user == *user);
                    let own: HashSet<_> = (0..12).map(event).filter(is_own).collect();
                    prop_assert!(ring.len() == own.len() && ring.iter().all(|id| own.contains(id)));
                }
            }
        }
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
        assert_eq!(traces.deliveries(), EVENTS_PER_USER_MAX + 3);
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
