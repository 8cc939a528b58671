//! Frames in signed envelopes, as a client makes them: `~ HOW KEY frame`.
//!
//! HOW is `now`, an age such as `-301000` in milliseconds, `replayed` (the nonce of the envelope
//! before), `tampered` (the frame is changed after it was signed) or `unnamed` (no nonce). KEY is
//! `$name`, a `sessionSecret` taken from an earlier frame, or `token:user`, made of that token as
//! a client of a reliable session makes it.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use staffetta::auth::session_secret;
use staffetta::{UserId, clock};

/// What was signed so far.
#[derive(Default)]
pub(crate) struct Envelopes {
    nonces: u64,
}

impl Envelopes {
    /// The envelope that `line` asks for.
    pub(crate) fn seal(&mut self, line: &str, names: &HashMap<String, String>, at: &str) -> String {
        let words: Vec<_> = line.splitn(3, ' ').collect();
        let [how, key, payload] = words[..] else { panic!("{at}: {line}") };
        let key = match key.split_once(':') {
            Some((token, user)) => {
                session_secret(&names[token], &UserId::new(user).unwrap(), clock::wall())
            }
            None => names[key.trim_start_matches('$')].clone(),
        };
        let timestamp = clock::wall().0 + how.parse().unwrap_or(0);
        if how != "replayed" {
            self.nonces += 1;
        }
        let mut nonce = format!("\"{}\"", BASE64_STANDARD.encode(self.nonces.to_be_bytes()));
        if how == "unnamed" {
            nonce = "\"\"".to_owned();
        }
        let text = format!("{{\"payload\":{payload},\"timestamp\":{timestamp},\"nonce\":{nonce}}}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let payload = match how {
            "tampered" => payload.replacen(':', ": ", 1),
            _ => payload.to_owned(),
        };
        format!(
            "{{\"payload\":{payload},\"signature\":\"{signature}\",\"timestamp\":{timestamp},\"nonce\":{nonce}}}"
        )
    }
}
