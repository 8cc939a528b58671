//! A histogram of durations that is filled from counts made elsewhere: many at once, without locks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// The bounds of the buckets, in milliseconds; one more is for what is longer.
const BOUNDS_MS: [u64; TIMES - 1] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

const TIMES: usize = 16;

/// Durations counted by one who counts alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    counts: [u64; TIMES],
    sum_ms: u64,
}

impl Times {
    /// Counts one more.
    pub fn add(&mut self, ms: u64) {
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ms += ms;
    }
}

/// What all of them counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: [AtomicU64; TIMES],
    sum_ms: AtomicU64,
}

impl Histogram {
    pub(super) fn add(&self, times: &Times) {
        if *times == Times::default() {
            return;
        }
        for (shared, count) in self.0.counts.iter().zip(times.counts) {
            shared.fetch_add(count, Ordering::Relaxed);
        }
        self.0.sum_ms.fetch_add(times.sum_ms, Ordering::Relaxed);
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS_MS.iter().map(|ms| *ms as f64 / 1_000.0).chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.0.sum_ms.load(Ordering::Relaxed) as f64 / 1_000.0;
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
        let mut times = Times::default();
        for ms in [0, 1, 2, 999, 1_000, 100_000] {
            times.add(ms);
        }
        histogram.add(&times);
        histogram.add(&Times::default());
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
