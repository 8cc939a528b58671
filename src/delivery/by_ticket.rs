//! Maps by tickets. The hub counts these itself, nobody outside chooses them: one multiplication hashes
//! them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::persistence::messages::Ticket;

/// What is open, by its ticket.
pub(super) type ByTicket<V> = HashMap<Ticket, V, BuildHasherDefault<TicketHasher>>;

/// 2⁶⁴ divided by the golden ratio, odd: numbers in a row land far apart (Knuth, The Art of Computer
/// Programming, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes one number.
#[derive(Debug, Default)]
pub(super) struct TicketHasher(u64);

impl Hasher for TicketHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn tickets_in_a_row_lie_apart() {
        let map = ByTicket::<()>::default();
        let hashes: Vec<u64> = (0..4_096).map(|n| map.hasher().hash_one(Ticket(n))).collect();
        // A table looks at the lowest bits for a place, and at the highest to tell those there apart.
        let lowest: HashSet<u64> = hashes.iter().map(|hash| hash % 4_096).collect();
        assert_eq!(lowest.len(), 4_096);
        for highest in 0..128 {
            let count = hashes.iter().filter(|hash| *hash >> 57 == highest).count();
            assert!((24..=40).contains(&count), "{count} of 4,096 have {highest}");
        }
    }
}
