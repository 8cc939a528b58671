//! Tokens of publishers that were found good: who publishes a thousand times a second need not have
//! the same signature checked a thousand times.
//!
//! Only hashes are kept, at most [`TOKENS_MAX`]. What depends on the time is looked at each time, and
//! a token is good no longer than the keys it was checked with. Tokens of users are not remembered:
//! there are many, and each comes seldom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::claims::Claims;
use super::keys::Key;
use super::sha256;

/// Tokens that are remembered; beyond, all are forgotten, and checked anew.
const TOKENS_MAX: usize = 256;

/// Fetched keys that a token was checked with; none for configured ones, which stay.
pub(super) type Fetched = Option<Arc<Vec<Key>>>;

/// The tokens, by their SHA-256.
#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<[u8; 32], Good>>);

/// A token that was found good.
struct Good {
    claims: Arc<Claims>,
    checked_with: Fetched,
}

impl Remembered {
    /// What a token says, if it was found good with keys that still are: `fetched` are those of now.
    pub(super) fn find(&self, token: &str, fetched: &Fetched) -> Option<Arc<Claims>> {
        if self.lock().is_empty() {
            return None;
        }
        let hash = sha256(token);
        let tokens = self.lock();
        let Good { claims, checked_with } = tokens.get(&hash)?;
        let is_still_good = match (checked_with, fetched) {
            (None, _) => true,
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            (Some(_), None) => false,
        };
        is_still_good.then(|| Arc::clone(claims))
    }

    /// Remembers a token that was found good.
    pub(super) fn keep(&self, token: &str, claims: Arc<Claims>, checked_with: Fetched) {
        let hash = sha256(token);
        let mut tokens = self.lock();
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(hash, Good { claims, checked_with });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Good>> {
        // Nothing that holds it panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::{Rules, read};

    fn claims() -> Arc<Claims> {
        Arc::new(read(br#"{"sub":"u","exp":2000000}"#, &Rules::default()).unwrap())
    }

    #[test]
    fn a_token_is_known_until_the_fetched_keys_change() {
        let tokens = Remembered::default();
        let (before, after) = (Some(Arc::new(Vec::new())), Some(Arc::new(Vec::new())));
        tokens.keep("fetched", claims(), before.clone());
        tokens.keep("configured", claims(), None);
        assert!(tokens.find("fetched", &before).is_some());
        assert!(tokens.find("fetched", &after).is_none());
        assert!(tokens.find("fetched", &None).is_none());
        assert!(tokens.find("configured", &after).is_some());
        assert!(tokens.find("another", &before).is_none());
    }

    #[test]
    fn too_many_are_forgotten() {
        let tokens = Remembered::default();
        for n in 0..=TOKENS_MAX {
            tokens.keep(&n.to_string(), claims(), None);
        }
        assert!(tokens.find("0", &None).is_none());
        assert!(tokens.find(&TOKENS_MAX.to_string(), &None).is_some());
    }
}
