//! Who calls the HTTP API.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::{ApiKey, ApiKeys, AuthError, AuthSetupError, Identity, Scope, TokenVerifier};
use crate::config::AuthConfig;
use crate::protocol::Timestamp;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// By an API key.
    ApiKey(ApiKey),
    /// By a token.
    User(Identity),
}

impl Caller {
    /// Whether it may do what `scope` is for.
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Caller::ApiKey(key) => key.scopes.contains(&scope),
            Caller::User(identity) => identity.scopes.contains(&scope),
        }
    }
}

/// Tells callers by what they present. Cheap to clone.
#[derive(Clone)]
pub struct Callers {
    api_keys: Arc<RwLock<ApiKeys>>,
    verifier: Arc<dyn TokenVerifier>,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").finish_non_exhaustive()
    }
}

impl Callers {
    /// Callers by these keys and tokens.
    pub fn new(api_keys: ApiKeys, verifier: Arc<dyn TokenVerifier>) -> Self {
        Self { api_keys: Arc::new(RwLock::new(api_keys)), verifier }
    }

    /// Knows the keys of this configuration from now on, and still the one that is in none.
    ///
    /// # Errors
    /// As [`ApiKeys::from_config`]; then nothing changes.
    pub fn reload(&self, config: &AuthConfig) -> Result<(), AuthSetupError> {
        let fresh = self.keys().reloaded(config)?;
        *self.api_keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn keys(&self) -> RwLockReadGuard<'_, ApiKeys> {
        self.api_keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is an API key that may administer.
    pub fn have_administrator(&self) -> bool {
        self.keys().may_administer()
    }

    /// Who presents `bearer`: an API key, else a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn identify(&self, bearer: &str, now: Timestamp) -> Result<Caller, AuthError> {
        let key = self.keys().find(bearer).cloned();
        if let Some(key) = key {
            return Ok(Caller::ApiKey(key));
        }
        self.verifier.verify(bearer, now).await.map(Caller::User)
    }
}
