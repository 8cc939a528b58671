//! Who a token or an API key speaks for.
//!
//! The algorithm comes from the configured key, never from the token (docs/protocol, section 6).

use futures_util::future::BoxFuture;

use crate::protocol::{Timestamp, UserId};

/// What a caller may do besides being a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Publish events for any user.
    Publish,
    /// List and revoke sessions, read traces.
    Admin,
}

/// Who a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`.
    pub user: UserId,
    /// What its `scope` allows.
    pub scopes: Vec<Scope>,
    /// The accounts it is limited to, if it lists any.
    pub accounts: Option<Vec<String>>,
    /// Its `exp`; none for a host's own verifier that knows no end.
    pub expires_at: Option<Timestamp>,
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not a token of ours.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// The keys cannot be had at the moment.
    #[error("the keys to check the token are not available")]
    KeysUnavailable,
}

/// Checks tokens. The hub's own is [`jsonwebtoken`]; an embedding host may supply another.
pub trait TokenVerifier: Send + Sync + 'static {
    /// Says who `token` speaks for at `now`.
    ///
    /// # Errors
    /// Why it is refused.
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Identity, AuthError>>;
}
