//! How a node stands: its leases, and whether it should be sent users.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a node should not be sent users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It has no lease: its database is away, or it has just started.
    NoLease,
    /// The bus is away, and so are its slots.
    BusAway,
    /// It has no slots yet, or their connections are not attached.
    NotAttached,
}

impl Unready {
    /// The reason, for a person.
    pub fn reason(self) -> &'static str {
        match self {
            Unready::NoLease => "no lease",
            Unready::BusAway => "NATS is away",
            Unready::NotAttached => "slots are not attached yet",
        }
    }
}

/// When the leases of a node end, one for each database that says whose slots are whose. None where
/// nobody needs any.
#[derive(Debug)]
pub(super) struct Leases(Mutex<Vec<Option<Instant>>>);

impl Leases {
    pub(super) fn new(count: usize) -> Self {
        Self(Mutex::new(vec![None; count]))
    }

    /// Takes note that a lease was asked for at `asked`, and given.
    pub(super) fn renewed(&self, place: usize, asked: Instant, lasts: Duration) {
        if let Some(end) = self.ends().get_mut(place) {
            *end = Some(asked + lasts);
        }
    }

    /// Until the first of them ends; zero when one has, none where nobody needs any.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let ends = self.ends();
        let left = |end: &Option<Instant>| {
            end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
        };
        ends.iter().map(left).min()
    }

    fn ends(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_first_lease_to_end_counts() {
        let now = clock::now();
        let second = Duration::from_secs(1);
        assert_eq!(Leases::new(0).remaining(now), None);
        let leases = Leases::new(2);
        leases.renewed(0, now, second * 10);
        assert_eq!(leases.remaining(now), Some(Duration::ZERO), "the other has none");
        leases.renewed(1, now, second * 5);
        assert_eq!(leases.remaining(now + second), Some(second * 4));
        assert_eq!(leases.remaining(now + second * 6), Some(Duration::ZERO));
    }
}
