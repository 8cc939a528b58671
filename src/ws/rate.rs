//! How many frames a connection may send in a time, such as a minute, acks and pings apart.

use std::time::{Duration, Instant};

/// The frames of one connection in the current time, which starts with its first frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameRate {
    since: Option<Instant>,
    seconds: u32,
    frames: u32,
}

impl FrameRate {
    /// Counts by the minute.
    pub fn per_minute() -> Self {
        Self { since: None, seconds: 60, frames: 0 }
    }

    /// Counts by the second.
    pub fn per_second() -> Self {
        Self { seconds: 1, ..Self::per_minute() }
    }

    /// Counts a frame; says whether it is still allowed.
    pub fn allows(&mut self, frames_max: u32, now: Instant) -> bool {
        if self.since.is_none_or(|since| now >= since + Duration::from_secs(self.seconds.into())) {
            (self.since, self.frames) = (Some(now), 0);
        }
        self.frames = self.frames.saturating_add(1);
        self.frames <= frames_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_minute_holds_so_many_frames_and_the_next_as_many_again() {
        let start = crate::clock::now();
        let mut rate = FrameRate::per_minute();
        assert!((0..300).all(|_| rate.allows(300, start)));
        assert!(!rate.allows(300, start + MINUTE - Duration::from_millis(1)));
        assert!(rate.allows(300, start + MINUTE));
    }
}
