//! Makes tokens with the hub's own secret, for the command line and for tests.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::keys::install_provider;
use super::{AuthSetupError, Scope, Secret};
use crate::protocol::{Timestamp, UserId};

/// Signs a token for `user` that is good for `ttl` from `now`.
///
/// # Errors
/// When signing fails.
pub fn sign(
    secret: &Secret,
    user: &UserId,
    scopes: &[Scope],
    ttl: Duration,
    now: Timestamp,
) -> Result<String, AuthSetupError> {
    install_provider();
    let issued_at = now.0.div_euclid(1_000);
    let expires_at = issued_at.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    let scope = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
    let claims = json!({"sub": user, "iat": issued_at, "exp": expires_at, "scope": scope});
    let key = EncodingKey::from_secret(secret.bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| AuthSetupError::Sign(error.to_string()))
}
