//! When to try again: exponential backoff with full jitter.
//!
//! Pure: the randomness is passed in.

use std::time::Duration;

/// The pauses of one caller.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses of up to `base` at first, then up to twice that, and so on up to `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempts: 0 }
    }

    /// The next pause; `random` is evenly spread over 0 to 1.
    pub fn next(&mut self, random: f64) -> Duration {
        let doubled = self.base.saturating_mul(2u32.saturating_pow(self.attempts));
        self.attempts = self.attempts.saturating_add(1);
        doubled.min(self.cap).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Starts over: an attempt was good.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// What a `Retry-After` header asks for, if it is a number of seconds; dates are not read.
pub(crate) fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_doubles_up_to_the_cap_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let longest: Vec<_> = (0..7).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 30, 30]);
        for _ in 0..100 {
            assert!(backoff.next(1.0) <= Duration::from_secs(30));
        }
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(500));
    }

    #[test]
    fn every_pause_is_between_nothing_and_the_longest() {
        for tenth in 0..=10 {
            let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
            for longest in [500, 1_000, 2_000] {
                let pause = backoff.next(f64::from(tenth) / 10.0);
                assert!(pause <= Duration::from_millis(longest), "{pause:?}");
            }
        }
        let mut wild = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        assert_eq!(wild.next(7.0), Duration::from_millis(500));
        assert_eq!(wild.next(-1.0), Duration::ZERO);
    }
}
