//! What a window promises, event by event and against a model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::protocol::{NewEvent, Timestamp};

const WAIT: Duration = Duration::from_secs(3);

fn start() -> Instant {
    crate::clock::now()
}

fn content(seq: i64) -> Arc<EventContent> {
    let id = EventId(Uuid::from_u128(seq as u128));
    Arc::new(EventContent::fix(NewEvent::new("added"), id, Timestamp(0)))
}

fn id(seq: i64) -> EventId {
    EventId(Uuid::from_u128(seq as u128))
}

fn window_with(seqs: std::ops::RangeInclusive<i64>, now: Instant) -> Window {
    let mut window = Window::new(Seq(*seqs.start()).previous());
    for seq in seqs {
        window.offer(Seq(seq), content(seq), now + WAIT, 0);
    }
    window
}

#[test]
fn the_floor_follows_the_oldest_event_in_flight() {
    let mut window = window_with(1..=3, start());
    assert_eq!(window.floor(), Seq(0));
    window.ack(id(2));
    assert_eq!(window.floor(), Seq(0));
    window.ack(id(1));
    assert_eq!(window.floor(), Seq(2));
    window.ack(id(3));
    assert_eq!(window.floor(), Seq(3));
    assert!(window.ack(id(3)).is_none(), "a repeated ack settles nothing");
}

#[test]
fn an_unacked_event_is_sent_again_once_per_ack_wait_then_exhausted() {
    let now = start();
    let mut window = window_with(1..=1, now);
    assert!(window.redeliver(now + WAIT / 2, WAIT, 2).again.is_empty());
    assert_eq!(window.redeliver(now + WAIT, WAIT, 2).again.len(), 1);
    assert_eq!(window.redeliver(now + WAIT, WAIT, 2).again.len(), 0);
    assert_eq!(window.redeliver(now + WAIT * 2, WAIT, 2).again.len(), 1);
    let last = window.redeliver(now + WAIT * 3, WAIT, 2);
    assert!(last.exhausted == Some(id(1)) && last.again.is_empty());
}

#[test]
fn acking_up_to_a_place_settles_also_what_was_not_sent_yet() {
    let mut window = window_with(1..=3, start());
    assert_eq!(window.ack_up_to(Seq(5)).len(), 3);
    assert_eq!((window.floor(), window.next()), (Seq(5), Seq(6)));
}

#[test]
fn a_rewound_window_offers_again_all_but_what_was_acked() {
    let mut window = window_with(1..=5, start());
    window.ack(id(1));
    window.ack(id(3));
    window.ack(id(5));
    window.rewind();
    assert_eq!((window.floor(), window.next(), window.in_flight()), (Seq(1), Seq(2), 0));
    let acked: Vec<_> = (2..=5).map(|seq| window.take_acked_ahead(Seq(seq))).collect();
    assert_eq!(acked, [false, true, false, true]);
}

#[test]
fn a_resumed_window_sends_all_that_is_in_flight_with_fresh_deadlines() {
    let now = start();
    let mut window = window_with(1..=3, now);
    window.ack(id(2));
    let later = now + WAIT * 5;
    let seqs: Vec<_> = window.resume(later, WAIT).map(|entry| entry.seq).collect();
    assert_eq!(seqs, [Seq(1), Seq(3)]);
    assert_eq!(window.due_at(), Some(later + WAIT));
}

#[test]
fn one_event_always_has_room() {
    let limits = WindowLimits { events_max: 2, bytes_max: 10 };
    let mut window = Window::new(Seq::ZERO);
    assert!(window.has_room_for(1_000, limits));
    window.offer(Seq(1), content(1), start(), 0);
    assert!(!window.has_room_for(1_000, limits));
}

#[test]
fn abandoning_moves_the_floor_and_says_what_was_in_flight() {
    let mut window = window_with(1..=3, start());
    assert_eq!(window.abandon(Seq(7)).len(), 3);
    assert_eq!((window.floor(), window.next(), window.in_flight()), (Seq(7), Seq(8), 0));
    assert_eq!(window.due_at(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Offer,
    Skip,
    Ack(i64),
    UpTo(i64),
    Redeliver(u64),
    Rewind,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Offer),
        1 => Just(Step::Skip),
        4 => (1..40i64).prop_map(Step::Ack),
        1 => (0..40i64).prop_map(Step::UpTo),
        2 => (0..5_000u64).prop_map(Step::Redeliver),
        1 => Just(Step::Rewind),
        1 => Just(Step::Resume),
    ]
}

proptest! {
    /// Against a model that keeps the state of every place apart.
    #[test]
    fn a_place_is_in_flight_or_settled_or_not_offered(steps in prop::collection::vec(step(), 0..80)) {
        let mut now = start();
        let mut window = Window::new(Seq::ZERO);
        let mut settled = BTreeSet::new();
        let mut flying: BTreeMap<i64, Instant> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Offer => {
                    let seq = window.next();
                    if window.take_acked_ahead(seq) {
                        window.skip(seq);
                    } else {
                        window.offer(seq, content(seq.0), now + WAIT, 0);
                        prop_assert!(!settled.contains(&seq.0), "settled is never sent again");
                        prop_assert!(flying.insert(seq.0, now + WAIT).is_none());
                    }
                }
                Step::Skip => {
                    let seq = window.next();
                    window.take_acked_ahead(seq);
                    window.skip(seq);
                    settled.insert(seq.0);
                }
                Step::Ack(seq) => {
                    let acked = window.ack(id(seq)).is_some();
                    prop_assert_eq!(acked, flying.remove(&seq).is_some());
                    if acked {
                        settled.insert(seq);
                    }
                }
                Step::UpTo(seq) => {
                    window.ack_up_to(Seq(seq));
                    flying.retain(|&place, _| place > seq);
                    settled.extend(1..=seq);
                }
                Step::Redeliver(ms) => {
                    now += Duration::from_millis(ms);
                    let again: Vec<_> =
                        window.redeliver(now, WAIT, u32::MAX).again.iter().map(|e| e.seq.0).collect();
                    let expected: Vec<_> =
                        flying.iter().filter(|(_, due)| **due <= now).map(|(&seq, _)| seq).collect();
                    prop_assert_eq!(&again, &expected);
                    for seq in again {
                        flying.insert(seq, now + WAIT);
                    }
                }
                Step::Rewind => {
                    window.rewind();
                    flying.clear();
                }
                Step::Resume => {
                    let sent: Vec<_> = window.resume(now, WAIT).map(|entry| entry.seq.0).collect();
                    prop_assert_eq!(sent, flying.keys().copied().collect::<Vec<_>>());
                    flying.values_mut().for_each(|due| *due = now + WAIT);
                }
            }
            let floor = (1..).find(|seq| !settled.contains(seq)).unwrap_or(1) - 1;
            // Places acked ahead of a rewound window count as settled once they are reached.
            prop_assert!(window.floor().0 <= floor);
            prop_assert_eq!(window.in_flight(), flying.len());
            prop_assert_eq!(window.due_at(), flying.values().min().copied());
            for seq in 1..window.next().0 {
                prop_assert_eq!(window.is_settled(Seq(seq)), !flying.contains_key(&seq));
            }
        }
    }
}
