//! What follows each attempt to post: it is taken, tried again after a pause, or given up.
//!
//! Pure: the randomness is passed in.

use std::time::Duration;

use crate::backoff::Backoff;

/// How often a post is tried, and how patiently.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptPolicy {
    /// Attempts at most.
    pub(super) attempts_max: u32,
    /// The longest pause after the first.
    pub(super) pause: Duration,
    /// The longest pause there is.
    pub(super) pause_max: Duration,
}

/// What came of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was an answer.
    Answered {
        /// Its status.
        status: u16,
        /// For how long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// There was none.
    Unanswered,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: the receiver has it.
    Done,
    /// Try again after this pause.
    Again(Duration),
    /// Nothing: it is a dead letter.
    GiveUp,
}

/// The attempts of one post.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    policy: AttemptPolicy,
    backoff: Backoff,
    made: u32,
}

impl Attempts {
    /// None made yet.
    pub(super) fn new(policy: AttemptPolicy) -> Self {
        Self { policy, backoff: Backoff::new(policy.pause, policy.pause_max), made: 0 }
    }

    /// Takes what came of an attempt; `random` is evenly spread over 0 to 1.
    pub(super) fn after(&mut self, outcome: Outcome, random: f64) -> Next {
        self.made += 1;
        let retry_after = match outcome {
            Outcome::Answered { status: 200..=299, .. } => return Next::Done,
            Outcome::Answered { status: 408 | 425 | 429 | 500..=599, retry_after } => retry_after,
            Outcome::Answered { .. } => return Next::GiveUp,
            Outcome::Unanswered => None,
        };
        if self.made >= self.policy.attempts_max {
            return Next::GiveUp;
        }
        let asked = retry_after.unwrap_or_default().min(self.policy.pause_max);
        Next::Again(self.backoff.next(random).max(asked))
    }

    /// How many were made.
    pub(super) fn made(&self) -> u32 {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backoff::retry_after;

    const POLICY: AttemptPolicy = AttemptPolicy {
        attempts_max: 5,
        pause: Duration::from_millis(500),
        pause_max: Duration::from_secs(3),
    };

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    fn ms(ms: u64) -> Next {
        Next::Again(Duration::from_millis(ms))
    }

    #[test]
    fn a_post_is_tried_with_longer_and_longer_pauses_and_then_given_up() {
        let mut attempts = Attempts::new(POLICY);
        let told: Vec<_> = (0..5).map(|_| attempts.after(Outcome::Unanswered, 1.0)).collect();
        assert_eq!(told, [ms(500), ms(1_000), ms(2_000), ms(3_000), Next::GiveUp]);
        assert_eq!(attempts.made(), 5);
    }

    #[test]
    fn a_post_that_fails_at_first_is_done_when_it_is_taken() {
        let mut attempts = Attempts::new(POLICY);
        assert_eq!(attempts.after(answered(503), 0.5), ms(250));
        assert_eq!(attempts.after(Outcome::Unanswered, 0.5), ms(500));
        assert_eq!(attempts.after(answered(204), 0.5), Next::Done);
        assert_eq!(attempts.made(), 3);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => Next::Done,
                408 | 425 | 429 | 500..=599 => ms(500),
                _ => Next::GiveUp,
            };
            assert_eq!(Attempts::new(POLICY).after(answered(status), 1.0), expected, "{status}");
        }
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_up_to_the_longest_pause() {
        let asking = |value| Outcome::Answered { status: 429, retry_after: retry_after(value) };
        for (value, expected) in [("2", 2_000), ("3600", 3_000), ("0", 0), ("soon", 0), ("-1", 0)] {
            assert_eq!(Attempts::new(POLICY).after(asking(value), 0.0), ms(expected), "{value}");
        }
        assert_eq!(Attempts::new(POLICY).after(asking(" 0 "), 1.0), ms(500));
    }

    proptest! {
        #[test]
        fn any_run_of_outcomes_ends_within_the_attempts_and_pauses_within_the_longest(
            statuses in prop::collection::vec(prop::option::of(100u16..600), 5),
            random in 0.0..1.0f64,
            after in prop::option::of(0u64..10_000),
        ) {
            let mut attempts = Attempts::new(POLICY);
            let mut ended = false;
            for status in statuses {
                let retry_after = after.map(Duration::from_secs);
                let outcome = status.map_or(Outcome::Unanswered, |status| {
                    Outcome::Answered { status, retry_after }
                });
                match attempts.after(outcome, random) {
                    Next::Again(pause) => prop_assert!(pause <= POLICY.pause_max),
                    Next::Done | Next::GiveUp => {
                        ended = true;
                        break;
                    }
                }
            }
            prop_assert!(ended && attempts.made() <= POLICY.attempts_max);
        }
    }
}
