//! Keys from a URL: fetched when a token names one we do not know, at most once a minute.
//!
//! A flood of unknown key ids costs nothing: within the minute they are refused by what we have.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::keys::{Key, from_key_set, install_provider};
use crate::clock;

/// The shortest pause between two fetches.
const FETCH_PAUSE: Duration = Duration::from_secs(60);

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest key set taken, in bytes.
const KEY_SET_BYTES_MAX: u64 = 1024 * 1024;

/// The keys behind a URL.
pub(super) struct RemoteKeys {
    url: String,
    pause: Duration,
    state: Mutex<State>,
    /// Held while fetching, so that many unknown tokens share one fetch.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Arc<Vec<Key>>,
    fetched_at: Option<Instant>,
    has_keys: bool,
}

impl RemoteKeys {
    pub(super) fn new(url: String) -> Self {
        Self { url, pause: FETCH_PAUSE, state: Mutex::default(), fetching: Default::default() }
    }

    #[cfg(test)]
    pub(super) fn with_pause(url: String, pause: Duration) -> Self {
        Self { pause, ..Self::new(url) }
    }

    /// The keys as far as they are known; whether any fetch has succeeded.
    pub(super) fn known(&self) -> (Arc<Vec<Key>>, bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&state.keys), state.has_keys)
    }

    /// Fetches the keys anew, unless that was done within the pause.
    pub(super) async fn refresh(&self) {
        let asked_at = clock::now();
        let _fetching = self.fetching.lock().await;
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let is_fresh = state.fetched_at.is_some_and(|fetched_at| {
                fetched_at >= asked_at || clock::now() < fetched_at + self.pause
            });
            if is_fresh {
                return;
            }
            state.fetched_at = Some(clock::now());
        }
        let url = self.url.clone();
        let fetched = tokio::task::spawn_blocking(move || fetch(&url)).await;
        match fetched.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(keys) => {
                log::info!("auth.jwks_url: {} keys", keys.len());
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.keys = Arc::new(keys);
                state.has_keys = true;
            }
            Err(problem) => log::warn!("auth.jwks_url: {problem}; the keys known before stay"),
        }
    }
}

fn fetch(url: &str) -> Result<Vec<Key>, String> {
    install_provider();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(3)
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let text = response
        .body_mut()
        .with_config()
        .limit(KEY_SET_BYTES_MAX)
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    from_key_set(&text)
}
