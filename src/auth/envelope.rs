//! The key a note client signs with (docs/protocol, `auth`).

use sha2::{Digest, Sha256};

use crate::protocol::{Timestamp, UserId};

/// A key is good for the five minutes it was made in.
const WINDOW_MS: i64 = 300_000;

/// `hex(SHA-256("<token>:<user>:<start of the five minutes around now>"))`: 64 characters.
pub fn session_secret(token: &str, user: &UserId, now: Timestamp) -> String {
    let window = now.0.div_euclid(WINDOW_MS) * WINDOW_MS;
    hex::encode(Sha256::digest(format!("{token}:{user}:{window}")).as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_holds_for_its_five_minutes() {
        let user = UserId::new("u").unwrap();
        let secret = |now| session_secret("t", &user, Timestamp(now));
        // printf 't:u:300000' | sha256sum
        let expected = "026d753438941c859d640e9357ffe92245c0350740f485118413173299705c32";
        assert_eq!(secret(300_000), expected);
        assert_eq!(secret(599_999), expected);
        assert_ne!(secret(600_000), expected);
    }
}
