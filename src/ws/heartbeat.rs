//! Whether the other side is still there: pings that go unanswered are counted.

/// The pings of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    unanswered: u32,
}

/// What to do at a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping.
    Ping,
    /// Nobody is there.
    Dead,
}

impl Heartbeat {
    /// Decides what to do at a beat: `unanswered_max` pings without a sign of life mean dead.
    pub fn beat(&mut self, unanswered_max: u32) -> Beat {
        if self.unanswered >= unanswered_max {
            return Beat::Dead;
        }
        self.unanswered += 1;
        Beat::Ping
    }

    /// Takes note of a sign of life: a pong, or anything else from the other side.
    pub fn alive(&mut self) {
        self.unanswered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unanswered_pings_mean_dead() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.beat(2), Beat::Ping);
        heartbeat.alive();
        assert_eq!(heartbeat.beat(2), Beat::Ping);
        assert_eq!(heartbeat.beat(2), Beat::Ping);
        assert_eq!(heartbeat.beat(2), Beat::Dead);
    }
}
