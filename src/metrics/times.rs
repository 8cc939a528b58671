//! A histogram of durations that is filled from counts made elsewhere: many at once, without locks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::delivery::latency::{BOUNDS_MS, BUCKETS, Latencies};

/// The bounds that are exported, in milliseconds; each is a bound of [`Latencies`].
const EXPORTED_MS: [u64; 15] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/// What all of them counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: [AtomicU64; BUCKETS],
    sum_ms: AtomicU64,
}

impl Histogram {
    pub(super) fn add(&self, latencies: &Latencies) {
        if *latencies == Latencies::default() {
            return;
        }
        for (shared, count) in self.0.counts.iter().zip(latencies.counts) {
            shared.fetch_add(count, Ordering::Relaxed);
        }
        self.0.sum_ms.fetch_add(latencies.sum_ms, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn latencies(&self) -> Latencies {
        let counts = self.0.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        Latencies { counts, sum_ms: self.0.sum_ms.load(Ordering::Relaxed) }
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Latencies { counts, sum_ms } = self.latencies();
        let bounds = BOUNDS_MS.iter().map(Some).chain([None]);
        let mut buckets = Vec::with_capacity(EXPORTED_MS.len() + 1);
        let mut below = 0;
        for (bound, count) in bounds.zip(counts) {
            below += count;
            let exported = match bound {
                Some(ms) if EXPORTED_MS.contains(ms) => *ms as f64 / 1_000.0,
                Some(_) => continue,
                None => f64::INFINITY,
            };
            buckets.push((exported, std::mem::take(&mut below)));
        }
        let (sum, count) = (sum_ms as f64 / 1_000.0, counts.iter().sum());
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn durations_are_spelled_in_cumulative_buckets_of_seconds() {
        let (histogram, mut registry) = (Histogram::default(), Registry::default());
        registry.register("wait_seconds", "Waiting", histogram.clone());
        let mut latencies = Latencies::default();
        for ms in [0, 1, 2, 999, 1_000, 100_000] {
            latencies.note(ms);
        }
        histogram.add(&latencies);
        histogram.add(&Latencies::default());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE wait_seconds histogram",
            "wait_seconds_bucket{le=\"0.001\"} 2",
            "wait_seconds_bucket{le=\"0.002\"} 3",
            "wait_seconds_bucket{le=\"1.0\"} 5",
            "wait_seconds_bucket{le=\"60.0\"} 5",
            "wait_seconds_bucket{le=\"+Inf\"} 6",
            "wait_seconds_count 6",
            "wait_seconds_sum 102.002",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}: {text}");
        }
    }
}
