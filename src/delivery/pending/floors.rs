//! Which floors are to be written, and how many at a time.

use std::collections::VecDeque;

use super::{Entry, PendingTable};
use crate::delivery::session::Session;
use crate::persistence::messages::Floor;
use crate::protocol::{Epoch, SessionId, UserId};

/// How many parts a round of writing floors has.
pub const PARTS: u32 = 16;

/// So few floors are one part: a transaction each would cost more than it spares.
const PART_MIN: usize = 64;

/// Spreads a round over its parts: ten thousand floors in one transaction would hold up the events
/// behind it.
#[derive(Debug, Default)]
pub struct FloorRounds {
    parts_left: u32,
    part: usize,
    left: usize,
}

impl FloorRounds {
    /// How many floors the next part may have, where so many wait. What changes during a round is for
    /// the next one, so that a floor that changes all the time is written once in each.
    pub fn next_part(&mut self, waiting: usize) -> usize {
        if self.parts_left == 0 {
            self.parts_left = PARTS;
            self.left = waiting;
            self.part = waiting.div_ceil(PARTS as usize).max(PART_MIN);
        }
        self.parts_left -= 1;
        let part = self.part.min(self.left);
        self.left -= part;
        part
    }
}

impl PendingTable {
    /// How many floors changed since they were last taken.
    pub fn changed_floors(&self) -> usize {
        self.dirty.len()
    }

    /// Takes floors that changed, at most so many, and first those that have waited longest.
    pub fn take_floors(&mut self, max: usize) -> Vec<Floor> {
        let count = self.dirty.len().min(max);
        let mut floors = Vec::with_capacity(count);
        for (user, session) in self.dirty.drain(..count) {
            let Some(Entry::Loaded(loaded)) = self.users.get_mut(&user) else { continue };
            let Some(session) = loaded.sessions.get_mut(&session) else { continue };
            session.floor_dirty = false;
            floors.push(Floor {
                user,
                session: session.id.clone(),
                floor: session.window.floor(),
                acked_at: session.acked_at.unwrap_or_default(),
                epoch: Epoch::default(),
            });
        }
        floors
    }
}

/// Notes that a session's floor is to be written.
pub(super) fn mark_dirty(
    dirty: &mut VecDeque<(UserId, SessionId)>,
    user: &UserId,
    session: &mut Session,
) {
    if !session.floor_dirty {
        session.floor_dirty = true;
        dirty.push_back((user.clone(), session.id.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_floors_are_one_part_and_the_next_wait_for_the_next_round() {
        let mut rounds = FloorRounds::default();
        let parts: Vec<_> = (0..PARTS).map(|_| rounds.next_part(10)).collect();
        assert_eq!(parts.iter().sum::<usize>(), 10);
        assert_eq!(parts[0], 10);
        assert_eq!(rounds.next_part(7), 7);
    }

    #[test]
    fn many_floors_are_spread_over_a_round() {
        let mut rounds = FloorRounds::default();
        let parts: Vec<_> = (0..PARTS).map(|_| rounds.next_part(16_001)).collect();
        assert_eq!(parts.iter().sum::<usize>(), 16_001);
        assert!(parts.iter().all(|part| *part <= 1_001));
    }
}
