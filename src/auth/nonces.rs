//! Which envelopes were taken already: a nonce is good once, on whichever connection.
//!
//! Only good signatures get here. Each user has room for so many; when that, or all there is, is
//! full, the next envelope is refused, never a used one taken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::envelope::NONCE_AGE_MAX_MS;
use crate::protocol::UserId;

/// Parts that are locked apart.
const SHARDS: usize = 16;

/// What a part, and a user in it, may hold.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Nonces remembered.
    all_max: usize,
    /// Those of one user. Pings and acks are not counted as frames, so nothing else keeps one
    /// user from taking the room of all.
    user_max: usize,
}

/// About 5 MiB for each part.
const ROOM: Room = Room { all_max: 65_536, user_max: 16_384 };

/// The nonces of the last six minutes.
#[derive(Debug, Default)]
pub struct Nonces {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    known: HashSet<u128>,
    by_age: VecDeque<(Instant, Key)>,
    users: HashMap<u64, usize>,
}

/// A nonce of a user, and the user.
#[derive(Clone, Copy, Debug)]
struct Key {
    nonce: u128,
    user: u64,
}

impl Nonces {
    /// Uses a nonce up; says whether it was still good.
    pub fn take(&self, user: &UserId, nonce: &str, now: Instant) -> bool {
        let key = key(user, nonce);
        let shard = self.shards.get((key.user % SHARDS as u64) as usize);
        shard.is_some_and(|shard| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).take(key, ROOM, now)
        })
    }
}

impl Shard {
    fn take(&mut self, key: Key, room: Room, now: Instant) -> bool {
        self.forget_old(now);
        let of_user = self.users.get(&key.user).copied().unwrap_or(0);
        let is_full = self.known.len() >= room.all_max || of_user >= room.user_max;
        if is_full || !self.known.insert(key.nonce) {
            return false;
        }
        self.users.insert(key.user, of_user + 1);
        self.by_age.push_back((now, key));
        true
    }

    fn forget_old(&mut self, now: Instant) {
        let age_max = Duration::from_millis(NONCE_AGE_MAX_MS);
        while let Some((taken_at, oldest)) = self.by_age.front().copied()
            && now.saturating_duration_since(taken_at) > age_max
        {
            self.by_age.pop_front();
            self.known.remove(&oldest.nonce);
            match self.users.get_mut(&oldest.user) {
                Some(of_user) if *of_user > 1 => *of_user -= 1,
                Some(_) | None => drop(self.users.remove(&oldest.user)),
            }
        }
    }
}

/// A user's name holds no control characters, so the two cannot run into each other.
fn key(user: &UserId, nonce: &str) -> Key {
    let fold = |text: String| {
        let hash = Sha256::digest(text);
        hash.iter().take(16).fold(0u128, |key, byte| key << 8 | u128::from(*byte))
    };
    Key { nonce: fold(format!("{user}\0{nonce}")), user: fold(user.to_string()) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_per_user_until_its_envelope_is_too_old() {
        let (alice, bob) = (UserId::new("alice").unwrap(), UserId::new("bob").unwrap());
        let start = crate::clock::now();
        let nonces = Nonces::default();
        assert!(nonces.take(&alice, "n", start));
        assert!(!nonces.take(&alice, "n", start));
        assert!(nonces.take(&bob, "n", start));
        assert!(nonces.take(&alice, "m", start));
        assert!(!nonces.take(&alice, "n", start + Duration::from_secs(360)));
        assert!(nonces.take(&alice, "n", start + Duration::from_secs(361)));
    }

    #[test]
    fn a_full_memory_refuses_what_it_could_not_remember() {
        let start = crate::clock::now();
        let room = Room { all_max: 2, user_max: 2 };
        let key = |nonce| Key { nonce, user: nonce as u64 };
        let mut shard = Shard::default();
        assert!(shard.take(key(1), room, start) && shard.take(key(2), room, start));
        assert!(!shard.take(key(3), room, start));
        assert!(shard.take(key(3), room, start + Duration::from_secs(361)));
    }

    #[test]
    fn nobody_takes_the_room_of_all() {
        let start = crate::clock::now();
        let room = Room { all_max: 10, user_max: 3 };
        let mut shard = Shard::default();
        let taken = (0..10).filter(|nonce| shard.take(Key { nonce: *nonce, user: 1 }, room, start));
        assert_eq!(taken.count(), 3);
        assert!(shard.take(Key { nonce: 20, user: 2 }, room, start));
        let later = start + Duration::from_secs(361);
        assert!(shard.take(Key { nonce: 21, user: 1 }, room, later));
        assert_eq!((shard.known.len(), shard.users.len()), (1, 1));
    }
}
