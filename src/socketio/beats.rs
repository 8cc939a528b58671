//! When a session is asked for a sign of life, and when it is dead: exact, whatever its timers do.
//!
//! Pure: the caller supplies `now`.

use std::time::{Duration, Instant};

/// The heartbeat of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beats {
    interval: Duration,
    timeout: Duration,
    due_at: Instant,
    is_asked: bool,
}

/// What to do when a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a ping.
    Ping,
    /// Nobody is there.
    Dead,
}

impl Beats {
    /// A session that began at `now`.
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, due_at: now + interval, is_asked: false }
    }

    /// When to look again.
    pub(super) fn due_at(&self) -> Instant {
        self.due_at
    }

    /// When it is dead unless it says something before.
    pub(super) fn dies_at(&self) -> Instant {
        if self.is_asked { self.due_at } else { self.due_at + self.timeout }
    }

    /// Decides what to do at `now`.
    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if now < self.due_at {
            return Beat::Wait;
        }
        if self.is_asked {
            return Beat::Dead;
        }
        self.is_asked = true;
        // From when the ping was due, not from when a late timer sends it.
        self.due_at += self.timeout;
        Beat::Ping
    }

    /// Gives who is asked, and may have answered unheard, another timeout.
    pub(super) fn excuse(&mut self, now: Instant) {
        if self.is_asked {
            self.due_at = now + self.timeout;
        }
    }

    /// Takes note of a pong; one that nobody asked for says nothing.
    pub(super) fn pong(&mut self, now: Instant) {
        if self.is_asked {
            self.is_asked = false;
            self.due_at = now + self.interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_session_dies_at_interval_and_timeout() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut beats = Beats::new(Duration::from_millis(300), Duration::from_millis(200), start);
        assert_eq!(beats.dies_at(), at(500));
        assert_eq!(beats.beat(at(299)), Beat::Wait);
        assert_eq!(beats.beat(at(340)), Beat::Ping);
        assert_eq!(beats.dies_at(), at(500));
        assert_eq!(beats.beat(at(499)), Beat::Wait);
        assert_eq!(beats.beat(at(500)), Beat::Dead);
    }

    #[test]
    fn who_is_excused_has_another_timeout() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut beats = Beats::new(Duration::from_millis(300), Duration::from_millis(200), start);
        assert_eq!(beats.beat(at(300)), Beat::Ping);
        beats.excuse(at(500));
        assert_eq!(beats.beat(at(600)), Beat::Wait);
        assert_eq!((beats.dies_at(), beats.beat(at(700))), (at(700), Beat::Dead));
    }

    #[test]
    fn a_pong_starts_the_interval_anew_and_one_unasked_does_not() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut beats = Beats::new(Duration::from_millis(300), Duration::from_millis(200), start);
        beats.pong(at(100));
        assert_eq!(beats.due_at(), at(300));
        assert_eq!(beats.beat(at(300)), Beat::Ping);
        beats.pong(at(400));
        assert_eq!(beats.due_at(), at(700));
    }
}
