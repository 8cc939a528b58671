//! What is due on one worker, and when.
//!
//! Pure. A connection that is gone leaves its checks behind, some for a day; they are forgotten
//! when there are as many of them as of those that are wanted.

use std::time::Instant;

use crate::delivery::retry::DueQueue;
use crate::protocol::ConnectionId;

/// What comes up on a worker when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    /// Did it authenticate?
    Auth(ConnectionId),
    /// Send a ping, or find it dead.
    Beat(ConnectionId),
    /// Must it have authenticated anew?
    Age(ConnectionId),
    /// It was told to go: cut it if it did not.
    Reap(ConnectionId),
}

/// Fewer checks than this are not worth a look.
const LOOK_LEN_MIN: usize = 1_024;

/// The checks of one worker.
#[derive(Debug)]
pub(super) struct Checks {
    due: DueQueue<Check>,
    /// With more than this, the unwanted ones are forgotten.
    len_max: usize,
}

impl Default for Checks {
    fn default() -> Self {
        Self { due: DueQueue::new(), len_max: LOOK_LEN_MIN }
    }
}

impl Checks {
    /// Lets `check` come up at `due_at`; when there are many, forgets those not wanted any more.
    pub(super) fn push(
        &mut self,
        check: Check,
        is_wanted: impl Fn(Check, Instant) -> bool,
        due_at: Instant,
    ) {
        self.due.push(due_at, check);
        if self.due.len() > self.len_max {
            self.due.retain(|check, due_at| is_wanted(*check, due_at));
            self.len_max = (2 * self.due.len()).max(LOOK_LEN_MIN);
        }
    }

    /// The next check whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Check> {
        self.due.pop_due(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_of_connections_that_are_gone_does_not_pile_up() {
        let start = crate::clock::now();
        let day = Duration::from_secs(86_400);
        let mut checks = Checks::default();
        let connection = |place| ConnectionId { worker: 0, place, generation: 0 };
        for place in 0..100_000 {
            // The first ten stay, the others go before the next comes.
            let is_wanted = |check: Check, _| match check {
                Check::Auth(id) | Check::Beat(id) | Check::Age(id) | Check::Reap(id) => {
                    id.place < 10 || id.place == place
                }
            };
            checks.push(Check::Age(connection(place)), is_wanted, start + day);
        }
        assert!(checks.due.len() <= LOOK_LEN_MIN, "{}", checks.due.len());
        let kept = std::iter::from_fn(|| checks.pop_due(start + day)).take(10);
        assert!(kept.eq((0..10).map(|place| Check::Age(connection(place)))));
    }
}
