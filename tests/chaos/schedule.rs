//! Which faults there are, and which come when: a seed decides.

use std::time::Duration;

use crate::random::Random;
use crate::world::{LEASE, NODES};

/// How something is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// Connections end, and new ones too.
    Refused,
    /// Nothing goes through, and nothing is said; then it goes on with what waited.
    HungThenLate,
    /// Nothing goes through, and nothing is said; then the connections end.
    HungThenEnded,
}

/// An engine that a node is cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Nats,
    Postgres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL, and started again.
    Kill { node: usize },
    /// SIGSTOP, and SIGCONT.
    Hang { node: usize },
    /// The engine is killed, and started again on what it has on disk.
    Restart(Engine),
    /// No node hears of the engine, nor it of them; then it goes on with what waited.
    Freeze(Engine),
    /// One node does not reach an engine.
    CutOff { node: usize, engine: Engine, cut: Cut },
    /// SIGTERM to one node after the other, each started again.
    Rolling,
}

/// A fault, when it comes in its round, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) after: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// Faults that overlap.
pub(crate) type Round = Vec<Planned>;

/// How many kinds of fault there are.
pub(crate) const KINDS: usize = 13;

impl Fault {
    /// Which of the kinds it is.
    pub(crate) fn kind(self) -> Self {
        match self {
            Fault::Kill { .. } => Fault::Kill { node: 0 },
            Fault::Hang { .. } => Fault::Hang { node: 0 },
            Fault::CutOff { engine, cut, .. } => Fault::CutOff { node: 0, engine, cut },
            Fault::Restart(_) | Fault::Freeze(_) | Fault::Rolling => self,
        }
    }

    fn of_kind(kind: usize, node: usize) -> Self {
        let cut_off = |engine, cut| Fault::CutOff { node, engine, cut };
        match kind {
            0 => Fault::Kill { node },
            1 => Fault::Hang { node },
            2 => Fault::Restart(Engine::Nats),
            3 => Fault::Restart(Engine::Postgres),
            4 => cut_off(Engine::Nats, Cut::Refused),
            5 => cut_off(Engine::Nats, Cut::HungThenLate),
            6 => cut_off(Engine::Nats, Cut::HungThenEnded),
            7 => cut_off(Engine::Postgres, Cut::Refused),
            8 => cut_off(Engine::Postgres, Cut::HungThenLate),
            9 => cut_off(Engine::Postgres, Cut::HungThenEnded),
            10 => Fault::Freeze(Engine::Nats),
            11 => Fault::Freeze(Engine::Postgres),
            _ => Fault::Rolling,
        }
    }

    fn lasts(self, random: &mut Random) -> Duration {
        let (least, most) = match self {
            Fault::Kill { .. } => (0, 2_000),
            Fault::Hang { .. } => (2_000, 2_001),
            Fault::Restart(_) => (500, 4_000),
            // A bus that hangs is noticed after some seconds.
            Fault::CutOff { engine: Engine::Nats, cut, .. } if cut != Cut::Refused => {
                (3_000, 9_000)
            }
            Fault::Freeze(Engine::Nats) => (3_000, 9_000),
            Fault::Freeze(Engine::Postgres) | Fault::CutOff { .. } => (1_000, 6_000),
            Fault::Rolling => (0, 300),
        };
        let drawn = Duration::from_millis(least + random.below(most - least));
        if matches!(self, Fault::Hang { .. }) { LEASE * 2 } else { drawn }
    }
}

/// Plans a run: first every kind once by itself, in any order; then kills every few seconds, and
/// up to three faults at once.
pub(crate) fn plan(seed: u64, rounds: usize) -> Vec<Round> {
    let mut random = Random::new(seed);
    let mut kinds: Vec<usize> = (0..KINDS).collect();
    for place in (1..KINDS).rev() {
        kinds.swap(place, random.below(place as u64 + 1) as usize);
    }
    let mut all = Vec::new();
    for round in 0..rounds {
        let planned = match kinds.get(round) {
            Some(kind) => vec![planned(*kind, Duration::ZERO, &mut random)],
            None => (0..=random.below(3))
                .map(|place| {
                    // A node that is killed is the commonest.
                    let kind = random.below(KINDS as u64 + 3).saturating_sub(3) as usize;
                    let after = Duration::from_millis(place * random.below(2_000));
                    planned(kind, after, &mut random)
                })
                .collect(),
        };
        all.push(planned);
    }
    all
}

fn planned(kind: usize, after: Duration, random: &mut Random) -> Planned {
    let fault = Fault::of_kind(kind, random.below(NODES as u64) as usize);
    Planned { after, lasts: fault.lasts(random), fault }
}
