//! How much is measured. `QUICK=1` shows in a few minutes that everything works; its figures mean
//! little.

use std::time::Duration;

pub(crate) struct Plan {
    /// How often each candidate has its turn.
    pub(crate) rounds: usize,
    /// Who follows the one topic of the fan-out, and how many events it has a second.
    pub(crate) followers: u64,
    pub(crate) fanout_rate: u64,
    /// How long a rate is kept, and how long full speed is.
    pub(crate) at_rate: Duration,
    pub(crate) flat_out: Duration,
    /// Users with two sessions each.
    pub(crate) users: u64,
    pub(crate) unicast_rate: u64,
    /// Batches of 500 of each publisher of the durable scenario.
    pub(crate) batches: u64,
    pub(crate) idle: u64,
    /// As many as one process may have open.
    pub(crate) idle_most: u64,
    pub(crate) connects_rs256: u64,
    pub(crate) reconnects: u64,
    pub(crate) owed: u64,
    /// The smallest of three sizes, each ten times the one before.
    pub(crate) scale: u64,
}

impl Plan {
    /// What the environment asks for: `QUICK`, and `ROUNDS`.
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let mut plan = match number("QUICK") {
            None | Some(0) => Self::full(),
            Some(_) => Self::quick(),
        };
        plan.rounds = number("ROUNDS").unwrap_or(plan.rounds).max(1);
        plan
    }

    fn full() -> Self {
        Self {
            rounds: 5,
            followers: 1_000,
            fanout_rate: 50,
            at_rate: Duration::from_secs(4),
            flat_out: Duration::from_secs(3),
            users: 500,
            unicast_rate: 2_000,
            batches: 40,
            idle: 5_000,
            idle_most: 18_000,
            connects_rs256: 2_000,
            reconnects: 2_000,
            owed: 1_000_000,
            scale: 10_000,
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 1,
            followers: 200,
            fanout_rate: 50,
            at_rate: Duration::from_millis(500),
            flat_out: Duration::from_millis(300),
            users: 50,
            unicast_rate: 1_000,
            batches: 4,
            idle: 300,
            idle_most: 1_000,
            connects_rs256: 100,
            reconnects: 200,
            owed: 20_000,
            scale: 100,
        }
    }
}
