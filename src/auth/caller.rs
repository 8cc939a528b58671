//! Who calls the HTTP API.

use std::sync::Arc;

use super::{ApiKey, ApiKeys, AuthError, Identity, Scope, TokenVerifier};
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
    api_keys: Arc<ApiKeys>,
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
        Self { api_keys: Arc::new(api_keys), verifier }
    }

    /// Who presents `bearer`: an API key, else a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn identify(&self, bearer: &str, now: Timestamp) -> Result<Caller, AuthError> {
        if let Some(key) = self.api_keys.find(bearer) {
            return Ok(Caller::ApiKey(key.clone()));
        }
        self.verifier.verify(bearer, now).await.map(Caller::User)
    }
}
