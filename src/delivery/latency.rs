//! How long something took, many times over, in a fixed number of buckets.

/// How many buckets there are.
pub(crate) const BUCKETS: usize = 30;

/// The upper bound of each bucket but the last, in milliseconds.
pub(crate) const BOUNDS_MS: [u64; BUCKETS - 1] = [
    1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000,
    3_000, 5_000, 7_000, 10_000, 15_000, 30_000, 60_000, 300_000,
];

/// Counts per bucket, and what all of them took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    pub(crate) counts: [u64; BUCKETS],
    pub(crate) sum_ms: u64,
}

impl Latencies {
    /// Notes one; a clock that was set back makes it zero.
    pub fn note(&mut self, ms: i64) {
        let ms = u64::try_from(ms).unwrap_or_default();
        let place = BOUNDS_MS.partition_point(|&bound| bound < ms);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_ms += ms;
    }

    /// What was counted since `before`, which this was once.
    pub fn since(&self, before: &Latencies) -> Self {
        let mut since = *self;
        for (count, less) in since.counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(less);
        }
        since.sum_ms = since.sum_ms.saturating_sub(before.sum_ms);
        since
    }

    /// The time that this part of them took at most, in milliseconds: a bucket's upper bound. None
    /// when there are none. The last bucket, without a bound, counts as the one before.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        BOUNDS_MS.get(place).or(BOUNDS_MS.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for ms in 1..=100 {
            latencies.note(ms);
        }
        assert_eq!(latencies.quantile(0.5), Some(50));
        assert_eq!(latencies.quantile(0.99), Some(100));
        let before = latencies;
        latencies.note(-5);
        latencies.note(900_000);
        let since = latencies.since(&before);
        assert_eq!(since.quantile(0.5), Some(1));
        assert_eq!(since.quantile(0.99), Some(300_000));
    }
}
