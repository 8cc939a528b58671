//! Tokens for the program's own commands, signed with the hub's own secret.

use std::error::Error;
use std::time::Duration;

use staffetta::UserId;
use staffetta::auth::{Scope, Secret, sign};
use staffetta::clock;
use staffetta::config::Config;

/// Signs a token for `user` with the secret file of the configuration, made if it is not there.
pub(super) fn token(
    config: &Config,
    user: &str,
    scopes: &[Scope],
    ttl: Duration,
) -> Result<String, Box<dyn Error>> {
    if !config.auth.uses_own_secret() {
        return Err("tokens are checked with configured keys (auth.keys, auth.jwks_file or \
                    auth.jwks_url): only who has their private part can sign one"
            .into());
    }
    let user = UserId::new(user).map_err(|error| format!("the user {error}"))?;
    let (secret, _) = Secret::load_or_create(&config.auth.secret_file)?;
    Ok(sign(&secret, &user, scopes, ttl, clock::wall())?)
}
