//! Signed envelopes: the key a note client signs with, and whether a signature is good
//! (docs/protocol/notes.md).
//!
//! What is signed is the text as it came in, never a rewriting of it. Pure: `now` is passed in.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::protocol::{SignedFrame, Timestamp, UserId};

/// A key is good for the five minutes it was made in.
const WINDOW_MS: i64 = 300_000;

/// The oldest envelope taken.
const AGE_MAX_MS: i64 = 300_000;

/// How far ahead of ours the clock of a signer may be.
const AHEAD_MAX_MS: i64 = 60_000;

/// For how long the nonce of an envelope must be remembered: no older one is taken.
pub(super) const NONCE_AGE_MAX_MS: u64 = (AGE_MAX_MS + AHEAD_MAX_MS) as u64;

/// `hex(SHA-256("<token>:<user>:<start of the five minutes around now>"))`: 64 characters.
pub fn session_secret(token: &str, user: &UserId, now: Timestamp) -> String {
    SessionKeys::new(token, user, now).secret()
}

/// Why an envelope is refused. The client is told only that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Its timestamp is no number, too old, or too far ahead.
    #[error("signed too long ago or ahead of time")]
    Time,
    /// Its signature does not fit.
    #[error("the signature does not fit")]
    Signature,
}

/// The keys of one token: that of its connection, and those of other five minutes. The token
/// itself is not kept.
#[derive(Clone)]
pub struct SessionKeys {
    /// The hash up to the time.
    begun: Sha256,
    window: i64,
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKeys").finish_non_exhaustive()
    }
}

impl SessionKeys {
    /// The keys of a connection that authenticated with `token` at `now`.
    pub fn new(token: &str, user: &UserId, now: Timestamp) -> Self {
        let mut begun = Sha256::new();
        for part in [token, ":", user.as_str(), ":"] {
            begun.update(part);
        }
        Self { begun, window: window(now) }
    }

    /// The key the client is told: 64 hexadecimal characters.
    pub fn secret(&self) -> String {
        self.secret_of(self.window)
    }

    /// Checks an envelope: it is good when its time is near and its signature fits the
    /// connection's key, or the key of the envelope's own five minutes.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, frame: &SignedFrame, now: Timestamp) -> Result<(), EnvelopeError> {
        let signed_at: i64 = frame.timestamp.parse().map_err(|_| EnvelopeError::Time)?;
        let age = now.0.checked_sub(signed_at).ok_or(EnvelopeError::Time)?;
        if !(-AHEAD_MAX_MS..=AGE_MAX_MS).contains(&age) {
            return Err(EnvelopeError::Time);
        }
        let signature =
            BASE64_STANDARD.decode(&frame.signature).map_err(|_| EnvelopeError::Signature)?;
        let text = signed_text(frame);
        let own = window(Timestamp(signed_at));
        let windows = if own == self.window { vec![own] } else { vec![self.window, own] };
        let fits = windows.into_iter().any(|window| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret_of(window).as_bytes());
            hmac::verify(&key, text.as_bytes(), &signature).is_ok()
        });
        if fits { Ok(()) } else { Err(EnvelopeError::Signature) }
    }

    fn secret_of(&self, window: i64) -> String {
        let mut hash = self.begun.clone();
        hash.update(window.to_string());
        hex::encode(hash.finalize().as_slice())
    }
}

fn window(at: Timestamp) -> i64 {
    at.0.div_euclid(WINDOW_MS) * WINDOW_MS
}

fn signed_text(frame: &SignedFrame) -> String {
    let SignedFrame { payload, timestamp, nonce, .. } = frame;
    format!("{{\"payload\":{payload},\"timestamp\":{timestamp},\"nonce\":{nonce}}}")
}

#[cfg(test)]
mod tests;
