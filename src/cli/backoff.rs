//! When to come back: exponential backoff with full jitter, 1 s to 30 s.
//!
//! Pure: the randomness is passed in.

use std::time::Duration;

const BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(30);

/// The pauses of one client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause; `random` is evenly spread over 0 to 1.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let doubled = BASE.saturating_mul(2u32.saturating_pow(self.attempts));
        self.attempts = self.attempts.saturating_add(1);
        doubled.min(CAP).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Starts over: a connection was good.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_doubles_up_to_the_cap_and_starts_over() {
        let mut backoff = Backoff::default();
        let longest: Vec<_> = (0..7).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 30, 30]);
        for _ in 0..100 {
            backoff.next(1.0);
        }
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(500));
    }
}
