//! How often something is done in someone's name: so many at once, then evenly spread.
//!
//! Pure but for its table, which is bounded. Time is passed in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Names remembered at most; beyond, new ones are not limited.
const NAMES_MAX: usize = 65_536;

/// So many in a period, also all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    period: Duration,
    each: Duration,
}

impl Rate {
    /// None when there is no limit.
    pub(super) fn new(limit: u32, period: Duration) -> Option<Self> {
        (limit > 0).then(|| Self { period, each: period / limit })
    }
}

/// When each name has paid for what it did. A name is kept as its hash, with a key of this table.
#[derive(Debug, Default)]
pub(super) struct Rates {
    hash: RandomState,
    paid_at: Mutex<HashMap<u64, Instant>>,
}

impl Rates {
    /// Takes note of one more in this name.
    ///
    /// # Errors
    /// When the limit is reached: how long to wait.
    pub(super) fn take(
        &self,
        name: &impl Hash,
        rate: Option<Rate>,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(rate) = rate else { return Ok(()) };
        let name = self.hash.hash_one(name);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_at.len() >= NAMES_MAX && !paid_at.contains_key(&name) {
            paid_at.retain(|_, at| *at > now);
            if paid_at.len() >= NAMES_MAX {
                return Ok(());
            }
        }
        let owed_until = paid_at.get(&name).map_or(now, |at| (*at).max(now));
        let first_ends = owed_until.saturating_duration_since(now) + rate.each;
        if first_ends > rate.period {
            return Err(first_ends - rate.period);
        }
        paid_at.insert(name, owed_until + rate.each);
        Ok(())
    }

    /// Takes note of `count` more in a name that was just let in, whether they fit or not: they are
    /// paid for later.
    pub(super) fn owe(&self, name: &impl Hash, count: u32, rate: Option<Rate>) {
        let Some(rate) = rate else { return };
        let name = self.hash.hash_one(name);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = paid_at.get_mut(&name) {
            *at += rate.each * count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_let_through_and_then_one_after_the_other() {
        let (rates, mut now) = (Rates::default(), crate::clock::now());
        let rate = Rate::new(4, SECOND);
        for _ in 0..4 {
            assert_eq!(rates.take(&"a", rate, now), Ok(()));
        }
        assert_eq!(rates.take(&"a", rate, now), Err(SECOND / 4));
        assert_eq!(rates.take(&"b", rate, now), Ok(()));
        now += SECOND / 4;
        assert_eq!(rates.take(&"a", rate, now), Ok(()));
        assert_eq!(rates.take(&"a", rate, now), Err(SECOND / 4));
        now += SECOND;
        assert_eq!(rates.take(&"a", rate, now), Ok(()));
    }

    #[test]
    fn more_than_fits_at_once_is_paid_for_later() {
        let (rates, now) = (Rates::default(), crate::clock::now());
        let rate = Rate::new(10, SECOND);
        assert_eq!(rates.take(&"a", rate, now), Ok(()));
        rates.owe(&"a", 99, rate);
        assert_eq!(rates.take(&"a", rate, now), Err(SECOND * 9 + SECOND / 10));
        assert_eq!(rates.take(&"a", rate, now + SECOND * 10), Ok(()));
    }

    #[test]
    fn without_a_limit_nothing_is_remembered_and_the_table_is_bounded() {
        let (rates, now) = (Rates::default(), crate::clock::now());
        assert_eq!(rates.take(&"a", Rate::new(0, SECOND), now), Ok(()));
        assert!(rates.paid_at.lock().unwrap().is_empty());
        let rate = Rate::new(1, SECOND);
        for name in 0..=NAMES_MAX {
            assert_eq!(rates.take(&name, rate, now), Ok(()));
        }
        assert_eq!(rates.paid_at.lock().unwrap().len(), NAMES_MAX);
        assert_eq!(rates.take(&"late", rate, now + SECOND), Ok(()));
        assert_eq!(rates.paid_at.lock().unwrap().len(), 1);
    }
}
