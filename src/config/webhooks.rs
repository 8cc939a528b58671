//! Where commands and the hub's own events are posted to.
//!
//! Secrets and URLs never show in Debug: a URL may hold a password.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::{HubEventKind, HubEventKinds};

/// The shortest secret taken, in bytes.
const SECRET_BYTES_MIN: usize = 32;

/// Where commands and the hub's own events are posted to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Where clients' commands are posted to, one per post; none: nowhere.
    pub commands_url: Option<String>,
    /// Where the hub's own events are posted to, many per post; none: nowhere.
    pub events_url: Option<String>,
    /// The secret posts are signed with, at least 32 bytes.
    pub secret: Option<String>,
    /// A file with that secret, in place of `secret`.
    pub secret_file: Option<PathBuf>,
    /// Which of the hub's own events are posted.
    pub events: Vec<HubEventKind>,
    /// Posts to one URL that wait or are under way at most; beyond, they are dead letters.
    pub queue_max: usize,
    /// Bytes of those posts together at most; beyond, they are dead letters.
    pub queue_bytes_max: usize,
    /// Posts under way to one URL at once.
    pub concurrency: usize,
    /// How long a post may take until its answer is read, in milliseconds.
    pub timeout_ms: u64,
    /// Attempts before a post is a dead letter.
    pub attempts_max: u32,
    /// The longest pause after the first attempt, in milliseconds; it doubles with each.
    pub backoff_ms: u64,
    /// The longest pause between two attempts, in milliseconds.
    pub backoff_ms_max: u64,
    /// Dead letters kept at most; beyond, the oldest go.
    pub dead_letters_max: u64,
}

impl std::fmt::Debug for WebhooksConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhooksConfig").field("events", &self.events).finish_non_exhaustive()
    }
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            commands_url: None,
            events_url: None,
            secret: None,
            secret_file: None,
            events: vec![
                HubEventKind::SessionOpened,
                HubEventKind::SessionClosed,
                HubEventKind::SessionGaveUp,
            ],
            queue_max: 10_000,
            queue_bytes_max: 64 * 1024 * 1024,
            concurrency: 4,
            timeout_ms: 10_000,
            attempts_max: 5,
            backoff_ms: 500,
            backoff_ms_max: 60_000,
            dead_letters_max: 100_000,
        }
    }
}

impl WebhooksConfig {
    /// Which of the hub's own events are posted somewhere.
    pub fn posted_events(&self) -> HubEventKinds {
        match self.events_url {
            Some(_) => self.events.iter().copied().collect(),
            None => HubEventKinds::NONE,
        }
    }

    /// The settings that do not make sense, each with what is wrong. Never repeats a value.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let urls = [("commands_url", &self.commands_url), ("events_url", &self.events_url)];
        for (key, url) in urls {
            if url.as_deref().is_some_and(|url| !is_http_url(url)) {
                problems.push((key, "must be an http:// or https:// URL"));
            }
        }
        let is_used = urls.iter().any(|(_, url)| url.is_some());
        match (&self.secret, &self.secret_file) {
            (Some(_), Some(_)) => problems.push(("secret", "must not stand beside secret_file")),
            (Some(secret), None) if secret.len() < SECRET_BYTES_MIN => {
                problems.push(("secret", "has fewer than 32 bytes"));
            }
            (None, None) if is_used => {
                problems.push(("secret", "(or secret_file) is needed to sign what is posted"));
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => {}
        }
        problems
    }
}

/// Whether this is the address of something that speaks HTTP.
pub(super) fn is_http_url(text: &str) -> bool {
    let Ok(url) = text.parse::<ureq::http::Uri>() else { return false };
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    has_host && matches!(url.scheme_str(), Some("http" | "https"))
}
