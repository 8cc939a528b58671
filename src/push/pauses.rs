//! Whom not to push to for now: push services that are overloaded or away, and devices they refuse.
//!
//! Pure: the caller supplies `now`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The first pause; each further failure doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause of our own.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The longest pause a push service may ask for.
const ASKED_MAX: Duration = Duration::from_secs(3_600);

/// Pauses remembered at most; beyond, further ones are not kept.
const KNOWN_MAX: usize = 16_384;

/// The pauses, by origin of a service or by endpoint of a device.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<String, Pause>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    failures: u32,
    until: Instant,
}

impl Pauses {
    /// Takes note of a push that failed, and of what the service asks for. Those that were under way
    /// when a pause began make it no longer than they ask for.
    pub(super) fn failed(&mut self, whom: &str, asked: Option<Duration>, now: Instant) {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(whom) {
            self.0.retain(|_, pause| now < pause.until);
            if self.0.len() >= KNOWN_MAX {
                return;
            }
        }
        let known = self.0.entry(whom.to_owned()).or_insert(Pause { failures: 0, until: now });
        let mut until = known.until;
        if until <= now {
            let doubled = PAUSE_MIN.saturating_mul(1 << known.failures.min(16));
            known.failures = known.failures.saturating_add(1);
            until = now + doubled.min(PAUSE_MAX);
        }
        known.until = asked.map_or(until, |asked| until.max(now + asked.min(ASKED_MAX)));
    }

    /// Takes note of a push that was taken: the next failure is a first one.
    pub(super) fn succeeded(&mut self, whom: &str) {
        self.0.remove(whom);
    }

    /// Whether it is not to be pushed to yet.
    pub(super) fn is_paused(&self, whom: &str, now: Instant) -> bool {
        self.0.get(whom).is_some_and(|pause| now < pause.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_push_that_was_taken() {
        let (mut pauses, mut now) = (Pauses::default(), crate::clock::now());
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            pauses.failed("a", None, now);
            assert!(pauses.is_paused("a", now + S * seconds - S / 2), "{seconds}");
            assert!(!pauses.is_paused("b", now));
            now += S * seconds;
            assert!(!pauses.is_paused("a", now), "{seconds}");
        }
        pauses.succeeded("a");
        pauses.failed("a", None, now);
        assert!(!pauses.is_paused("a", now + S));
    }

    #[test]
    fn what_a_service_asks_for_is_kept_within_an_hour() {
        let (mut pauses, now) = (Pauses::default(), crate::clock::now());
        pauses.failed("a", Some(S * 120), now);
        assert!(pauses.is_paused("a", now + S * 119));
        assert!(!pauses.is_paused("a", now + S * 120));
        pauses.failed("b", Some(S * 1_000_000), now);
        assert!(!pauses.is_paused("b", now + ASKED_MAX));
    }

    #[test]
    fn failures_that_were_under_way_together_count_once() {
        let (mut pauses, now) = (Pauses::default(), crate::clock::now());
        for _ in 0..8 {
            pauses.failed("a", None, now);
        }
        assert!(!pauses.is_paused("a", now + S));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (mut pauses, now) = (Pauses::default(), crate::clock::now());
        for device in 0..KNOWN_MAX + 10 {
            pauses.failed(&device.to_string(), None, now);
        }
        assert_eq!(pauses.0.len(), KNOWN_MAX);
        pauses.failed("later", None, now + S);
        assert_eq!(pauses.0.len(), 1);
    }
}
