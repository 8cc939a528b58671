//! When to look at a session again: one deadline per session, never a scan of all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// How often, and for how long, an unacked event is sent again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// An unacked event is sent again this long after its last sending.
    pub ack_wait: Duration,
    /// Redeliveries before giving up.
    pub redeliveries_max: u32,
}

/// Keys with deadlines, earliest first. A key that is no longer of interest is recognised by
/// its owner when it comes up.
#[derive(Debug)]
pub struct DueQueue<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> DueQueue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    /// Asks for `key` to come up at `due_at`.
    pub fn push(&mut self, due_at: Instant, key: K) {
        self.heap.push(Reverse((due_at, key)));
    }

    /// The next key whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let Reverse((due_at, _)) = self.heap.peek()?;
        if *due_at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, key))| key)
    }

    /// Forgets what `is_wanted` does not name, given its key and its deadline.
    pub fn retain(&mut self, is_wanted: impl Fn(&K, Instant) -> bool) {
        self.heap.retain(|Reverse((due_at, key))| is_wanted(key, *due_at));
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no deadline is set.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<K: Ord> Default for DueQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_up_in_the_order_of_their_deadlines_and_not_before() {
        let start = crate::clock::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut queue = DueQueue::new();
        for (ms, key) in [(30, "c"), (10, "a"), (20, "b")] {
            queue.push(after(ms), key);
        }
        assert_eq!(queue.pop_due(after(9)), None);
        assert_eq!(queue.pop_due(after(25)), Some("a"));
        assert_eq!(queue.pop_due(after(25)), Some("b"));
        assert_eq!(queue.pop_due(after(25)), None);
        assert_eq!(queue.len(), 1);
    }
}
