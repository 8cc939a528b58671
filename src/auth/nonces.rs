//! Which envelopes were taken already: a nonce is good once, on whichever connection.
//!
//! Only good signatures get here, so a user fills it no faster than the frame rate allows; when
//! it is full all the same, the next envelope is refused, never a used one taken.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::envelope::NONCE_AGE_MAX_MS;
use crate::protocol::UserId;

/// Parts that are locked apart.
const SHARDS: usize = 16;

/// Nonces remembered per part: about 4 MiB each.
const NONCES_MAX: usize = 65_536;

/// The nonces of the last six minutes.
#[derive(Debug, Default)]
pub struct Nonces {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    known: HashSet<u128>,
    by_age: VecDeque<(Instant, u128)>,
}

impl Nonces {
    /// Uses a nonce up; says whether it was still good.
    pub fn take(&self, user: &UserId, nonce: &str, now: Instant) -> bool {
        let key = key(user, nonce);
        let shard = self.shards.get((key % SHARDS as u128) as usize);
        shard.is_some_and(|shard| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).take(key, NONCES_MAX, now)
        })
    }
}

impl Shard {
    fn take(&mut self, key: u128, nonces_max: usize, now: Instant) -> bool {
        let age_max = Duration::from_millis(NONCE_AGE_MAX_MS);
        while let Some((taken_at, oldest)) = self.by_age.front()
            && now.saturating_duration_since(*taken_at) > age_max
        {
            self.known.remove(oldest);
            self.by_age.pop_front();
        }
        if self.known.len() >= nonces_max || !self.known.insert(key) {
            return false;
        }
        self.by_age.push_back((now, key));
        true
    }
}

/// A user's name holds no control characters, so the two cannot run into each other.
fn key(user: &UserId, nonce: &str) -> u128 {
    let hash = Sha256::digest(format!("{user}\0{nonce}"));
    hash.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
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
        let mut shard = Shard::default();
        assert!(shard.take(1, 2, start) && shard.take(2, 2, start));
        assert!(!shard.take(3, 2, start));
        assert!(shard.take(3, 2, start + Duration::from_secs(361)));
    }
}
