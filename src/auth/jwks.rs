//! Keys from a URL: fetched when a token names one we do not know, at most once a minute.
//!
//! A flood of unknown key ids costs nothing: within the minute they are refused by what we have.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use super::keys::{Key, from_key_set, install_provider};
use super::{AuthSetupError, key_file};
use crate::clock;

/// The shortest pause between two fetches.
const FETCH_PAUSE: Duration = Duration::from_secs(60);

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys behind a URL.
pub(super) struct RemoteKeys {
    url: Arc<str>,
    pause: Duration,
    state: Arc<Mutex<State>>,
}

struct State {
    keys: Arc<Vec<Key>>,
    last_fetch: LastFetch,
    began_at: Option<Instant>,
    /// The task of the fetch that began last.
    task: Option<AbortHandle>,
    /// The fetch that began last, for all who wait for it.
    fetch: Shared<BoxFuture<'static, ()>>,
}

/// How the last fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastFetch {
    /// There was none, or it failed: a key we do not know may be good.
    Missing,
    /// The keys are those the URL served.
    Succeeded,
}

impl RemoteKeys {
    pub(super) fn new(url: String) -> Self {
        let state = State {
            keys: Arc::default(),
            last_fetch: LastFetch::Missing,
            began_at: None,
            task: None,
            fetch: ready(()).boxed().shared(),
        };
        Self { url: Arc::from(url), pause: FETCH_PAUSE, state: Arc::new(Mutex::new(state)) }
    }

    #[cfg(test)]
    pub(super) fn with_pause(url: String, pause: Duration) -> Self {
        Self { pause, ..Self::new(url) }
    }

    /// The keys as far as they are known, and how the last fetch ended.
    pub(super) fn known(&self) -> (Arc<Vec<Key>>, LastFetch) {
        let state = lock(&self.state);
        (Arc::clone(&state.keys), state.last_fetch)
    }

    /// Fetches the keys anew, unless that was begun within the pause; waits for a fetch that is
    /// under way. The fetch ends and is kept even if nobody waits any more.
    pub(super) async fn refresh(&self) {
        let fetch = {
            let mut state = lock(&self.state);
            let now = clock::now();
            let is_due = state.began_at.is_none_or(|began_at| now >= began_at + self.pause);
            // Asked of the task, so that one that panicked does not count as running for ever.
            let is_idle = state.task.as_ref().is_none_or(AbortHandle::is_finished);
            if is_due && is_idle {
                self.begin(&mut state, now);
            }
            state.fetch.clone()
        };
        fetch.await;
    }

    fn begin(&self, state: &mut State, now: Instant) {
        state.began_at = Some(now);
        let (url, shared) = (Arc::clone(&self.url), Arc::clone(&self.state));
        let running = tokio::task::spawn_blocking(move || {
            let fetched = fetch(&url);
            let mut state = lock(&shared);
            match fetched {
                Ok(keys) => {
                    log::info!("auth.jwks_url: {} keys", keys.len());
                    state.keys = Arc::new(keys);
                    state.last_fetch = LastFetch::Succeeded;
                }
                Err(problem) => {
                    log::warn!("auth.jwks_url: {problem}; the keys known before stay");
                    state.last_fetch = LastFetch::Missing;
                }
            }
        });
        state.task = Some(running.abort_handle());
        state.fetch = running.map(drop).boxed().shared();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at `auth.jwks_url` before the first token needs it.
///
/// # Errors
/// When it is not an `http` or `https` URL. The URL itself is not repeated: it may hold a
/// password.
pub(super) fn check_url(url: &str) -> Result<(), AuthSetupError> {
    let scheme = url.parse::<ureq::http::Uri>().ok().and_then(|url| {
        url.host()?;
        url.scheme_str().map(str::to_owned)
    });
    if matches!(scheme.as_deref(), Some("http" | "https")) {
        return Ok(());
    }
    let (setting, problem) =
        ("auth.jwks_url".to_owned(), "must be an http:// or https:// URL".to_owned());
    Err(AuthSetupError::Key { setting, problem })
}

fn fetch(url: &str) -> Result<Vec<Key>, String> {
    install_provider();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(3)
        // A redirect must not lead from https to http.
        .https_only(url.starts_with("https://"))
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let text = response
        .body_mut()
        .with_config()
        .limit(key_file::BYTES_MAX)
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    from_key_set(&text)
}
