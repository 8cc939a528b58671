//! Three hubs, NATS and Postgres, all of which are killed, stopped, restarted and cut off from one
//! another, while publishers publish and devices follow, each at any node; then what publishers were
//! promised is compared with what each session applied.
//!
//! `ROUNDS=500` makes it a long one, `SEED=7` replays the schedule of a run. Left out where there is
//! no `nats-server`, or no Postgres (STAFFETTA_TEST_POSTGRES says that there is one).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod device;
mod faults;
mod history;
mod life;
mod node;
mod postgres;
mod promises;
mod proxy;
mod publisher;
mod schedule;
mod tab;
mod world;

#[expect(dead_code, reason = "the simulation draws more")]
#[path = "../simulation/random.rs"]
mod random;

#[path = "../cluster/nats.rs"]
mod nats;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use life::Life;
use schedule::{KINDS, plan};
use world::run;

const USERS: usize = 6;

/// A round for every kind of fault, and some more.
const ROUNDS: usize = KINDS + 2;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "a seed may be anything")]
fn any_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::from(since.subsec_nanos())
}

#[test]
fn chaos_loses_nothing() {
    run(|world| async move {
        let seed = number("SEED").unwrap_or_else(any_seed);
        let rounds = number("ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
        eprintln!("SEED={seed} ROUNDS={rounds}");
        let world = Arc::new(world);
        let life = Life::start(&world, seed).await;
        for (number, round) in plan(seed, rounds).into_iter().enumerate() {
            if rounds <= 2 * ROUNDS || number % 25 == 0 {
                eprintln!("round {number}: {round:?}; {}", life.history.summary());
            }
            faults::perform(&world, round).await;
            world.check_processes();
            let wrong = life.history.wrong();
            assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), world.keep());
        }
        let summary = life.finish(&world).await;
        eprintln!("SEED={seed}: {rounds} rounds, {summary}");
    });
}

#[test]
fn a_lost_event_is_noticed() {
    use uuid::Uuid;
    let history = history::History::default();
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    history.attached(0, "s", true, 0);
    for (name, seq) in [(first, 1), (second, 2)] {
        history.attempted(&[0], name);
        history.promise(0, name, name, seq, &history.sessions_of(0));
    }
    let logged = |name, seq| history::Logged { user: 0, name, id: name, seq };
    assert_eq!(history.compare(&[logged(first, 1)]), 1, "one is not in the log");
    assert_eq!(history.compare(&[logged(first, 1), logged(second, 2)]), 0);
    history.applied("s", &history::Arrival::new(0, first, first, 1, "x"));
    assert_eq!(history.lost().len(), 1);
    history.attached(0, "s", true, 2);
    assert_eq!(history.lost().len(), 0, "a full sync covers it");
    assert_eq!(history.wrong(), Vec::<String>::new());
}

#[test]
fn what_must_not_happen_is_noticed() {
    use history::Arrival;
    use uuid::Uuid;
    let id = |number| Uuid::from_u128(number);
    let history = history::History::default();
    let mut complaints = 0;
    let mut is_noticed = |what: &str| {
        let known = std::mem::replace(&mut complaints, history.wrong().len());
        assert!(complaints > known, "not noticed: {what}");
    };
    history.attached(0, "s", true, 0);
    history.attached(1, "t", true, 0);
    (1..=5).for_each(|name| history.attempted(&[0], id(name)));
    history.applied("s", &Arrival::new(0, id(1), id(1), 2, "x"));
    history.applied("s", &Arrival::new(0, id(1), id(1), 2, "y"));
    is_noticed("a redelivery that differs");
    history.applied("s", &Arrival::new(0, id(2), id(2), 1, "x"));
    is_noticed("a seq that falls");
    history.applied("t", &Arrival::new(1, id(1), id(1), 2, "x"));
    is_noticed("another user's event");
    history.applied("s", &Arrival::new(0, id(9), id(9), 9, "x"));
    is_noticed("an event nobody published");
    history.applied("s", &Arrival::new(0, id(3), id(3), 10, "x"));
    history.applied("s", &Arrival::new(0, id(3), id(33), 11, "x"));
    is_noticed("one publish under two ids");
    history.applied("s", &Arrival::new(0, id(4), id(4), 10, "x"));
    is_noticed("two events at one place");
}

#[test]
fn a_seed_decides_the_schedule_and_every_fault_is_in_it() {
    let rounds = plan(7, 60);
    assert_eq!(rounds, plan(7, 60));
    assert_ne!(rounds, plan(8, 60));
    let kinds: std::collections::BTreeSet<_> =
        plan(7, KINDS).iter().flatten().map(|planned| planned.fault.kind()).collect();
    assert_eq!(kinds.len(), KINDS);
    let longest = rounds.iter().flatten().map(|planned| planned.lasts).max().unwrap();
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}
