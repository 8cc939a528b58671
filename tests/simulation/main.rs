//! A seeded simulation of the delivery core: drops, duplicates, delays, reordering, crashes,
//! restarts, failed transactions, pruning; ten thousand seeds in the ordinary run.
//!
//! `SIM_SEEDS=n` changes how many, `SIM_SEED=n` replays one and prints what happened.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod client;
mod random;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Sabotage, World};

const SEEDS: u64 = 10_000;

#[test]
fn nothing_is_lost_whatever_fails() {
    if let Some(seed) = number("SIM_SEED") {
        let mut world = World::new(seed, Sabotage::None);
        world.transcript = Some(Vec::new());
        let run = catch_unwind(AssertUnwindSafe(|| world.run()));
        for line in world.transcript.take().unwrap_or_default() {
            eprintln!("{line}");
        }
        assert!(run.is_ok(), "seed {seed} fails");
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let mut events = 0;
    for seed in 0..seeds {
        let mut world = World::new(seed, Sabotage::None);
        let run = catch_unwind(AssertUnwindSafe(|| world.run()));
        assert!(run.is_ok(), "seed {seed} fails; SIM_SEED={seed} cargo test --test simulation");
        events += world.promised();
    }
    assert!(events > seeds * 5, "only {events} events in {seeds} seeds");
}

/// The checker must be able to fail: a driver that breaks the core's decisions is noticed.
#[test]
fn sabotage_is_noticed() {
    for sabotage in [Sabotage::CrossUsers, Sabotage::ForgetFullSync, Sabotage::StealAcks] {
        let noticed = (0..400).any(|seed| {
            let mut world = World::new(seed, sabotage);
            catch_unwind(AssertUnwindSafe(|| world.run())).is_err()
        });
        assert!(noticed, "{sabotage:?} goes unnoticed");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
