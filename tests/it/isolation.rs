//! No byte of one user reaches another, but for what is in notes while they are shared.
//!
//! Fifty users do random things, in their own names and with what belongs to others, over every
//! dialect and endpoint. What they put in is marked, and everything that comes out is searched.
//! `ISOLATION_SEED` replays one run.

mod client;
mod marks;
mod note_steps;
mod other_steps;
mod world;

use std::time::Duration;

use self::world::World;
use crate::world::{on_both, seed};

/// Steps of one run, at most.
const STEPS_MAX: usize = 2_000;

/// How long the steps of one run may take.
const TIME_MAX: Duration = Duration::from_secs(25);

#[test]
fn no_byte_of_one_user_reaches_another() {
    on_both(|database| async move {
        let seed = seed("ISOLATION_SEED");
        let mut world = World::start(database, seed).await;
        let deadline = tokio::time::Instant::now() + TIME_MAX;
        let mut steps = 0;
        while steps < STEPS_MAX && tokio::time::Instant::now() < deadline {
            world.step().await;
            assert_eq!(world.marks.leaks(), [""; 0], "ISOLATION_SEED={seed}, step {steps}");
            steps += 1;
        }
        world.settle().await;
        assert_eq!(world.marks.leaks(), [""; 0], "ISOLATION_SEED={seed}, at the end");
        let (own, shared) = world.marks.found();
        eprintln!("{steps} steps; marks found with their users: {own}, with others: {shared}");
        assert!(own > 2 * steps && shared > steps / 10, "too little came through");
    });
}
