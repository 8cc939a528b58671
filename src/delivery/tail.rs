//! The end of one user's log, as long as a live session is behind it.
//!
//! A session whose window is full for a moment takes what it missed from here, framed once for all
//! such sessions. Without it each of them would read the log by itself, and a thousand followers of
//! one busy user would read the same events a thousand times.

use std::collections::VecDeque;
use std::sync::Arc;

use super::window::WindowLimits;
use crate::dialect::EventFrames;
use crate::protocol::Seq;

/// How many windows of events it holds at most, of the bytes of one: followers of one user are rarely
/// further apart.
const WINDOWS: usize = 4;

/// Events one after the other, without a gap.
#[derive(Debug, Default)]
pub(super) struct Tail {
    events: VecDeque<Arc<EventFrames>>,
    bytes: usize,
}

impl Tail {
    /// Adds what is the last event of the log now, and lets go of what is more than it may hold.
    pub(super) fn push(&mut self, seq: Seq, frames: Arc<EventFrames>, limits: WindowLimits) {
        if self.last().is_some_and(|last| last.next() != seq) {
            self.clear();
        }
        self.bytes += frames.event().content.bytes();
        self.events.push_back(frames);
        let events_max = WINDOWS * limits.events_max;
        while self.events.len() > events_max || self.bytes > limits.bytes_max {
            let Some(first) = self.events.pop_front() else { return };
            self.bytes -= first.event().content.bytes();
        }
    }

    /// Up to `events_max` events from the one at `seq` on; none if that is not here.
    pub(super) fn from(&self, seq: Seq, events_max: usize) -> Vec<Arc<EventFrames>> {
        let first = self.events.front().and_then(|first| first.event().seq);
        let ahead = first.and_then(|first| usize::try_from(seq.0 - first.0).ok());
        let Some(ahead) = ahead else { return Vec::new() };
        self.events.iter().skip(ahead).take(events_max).cloned().collect()
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn last(&self) -> Option<Seq> {
        self.events.back().and_then(|last| last.event().seq)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::protocol::{Event, EventContent, EventId, NewEvent, Timestamp};

    const LIMITS: WindowLimits = WindowLimits { events_max: 1, bytes_max: 1_000 };

    fn event(seq: i64, bytes: usize) -> Arc<EventFrames> {
        let new = NewEvent::new("x".repeat(bytes));
        let content = EventContent::fix(new, EventId(Uuid::from_u128(7)), Timestamp(0));
        EventFrames::new(Event::at(Seq(seq), Arc::new(content)))
    }

    fn tail(seqs: impl IntoIterator<Item = i64>) -> Tail {
        let mut tail = Tail::default();
        for seq in seqs {
            tail.push(Seq(seq), event(seq, 1), LIMITS);
        }
        tail
    }

    fn places(events: &[Arc<EventFrames>]) -> Vec<i64> {
        events.iter().filter_map(|frames| frames.event().seq).map(|seq| seq.0).collect()
    }

    #[test]
    fn it_holds_the_last_events_of_the_log() {
        let tail = tail(1..=6);
        assert_eq!(places(&tail.from(Seq(3), 9)), [3, 4, 5, 6]);
        assert_eq!(places(&tail.from(Seq(5), 1)), [5]);
        assert!(tail.from(Seq(7), 9).is_empty());
        assert!(tail.from(Seq(2), 9).is_empty(), "what begins before it is for the log");
    }

    #[test]
    fn after_a_gap_it_begins_anew() {
        assert_eq!(places(&tail([1, 2, 4]).from(Seq(4), 9)), [4]);
        assert!(tail([1, 2, 4]).from(Seq(1), 9).is_empty());
    }

    #[test]
    fn it_holds_no_more_bytes_than_a_window() {
        let mut tail = tail([1]);
        tail.push(Seq(2), event(2, 600), LIMITS);
        tail.push(Seq(3), event(3, 600), LIMITS);
        assert_eq!(places(&tail.from(Seq(3), 9)), [3]);
        tail.push(Seq(4), event(4, 2_000), LIMITS);
        assert!(tail.is_empty());
        assert_eq!(tail.bytes, 0);
    }
}
