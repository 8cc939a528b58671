//! Tokens for the program's own commands, signed with the hub's own secret.

use std::error::Error;
use std::time::Duration;

use staffetta::UserId;
use staffetta::auth::{Scope, Secret, SecretOrigin, sign};
use staffetta::clock;
use staffetta::config::Config;

use super::complain;

/// What to do when the secret file is not there.
#[derive(Clone, Copy)]
pub(super) enum NoSecret {
    /// Make it: the hub may be started with it later.
    Make,
    /// Fail, and name the flag that takes another credential: a hub that runs has its secret.
    Fail { instead: &'static str },
}

/// Signs a token for `user` with the secret file of the configuration.
pub(super) fn token(
    config: &Config,
    user: &str,
    scopes: &[Scope],
    ttl: Duration,
    no_secret: NoSecret,
) -> Result<String, Box<dyn Error>> {
    if !config.auth.uses_own_secret() {
        return Err("tokens are checked with configured keys (auth.keys, auth.jwks_file or \
                    auth.jwks_url): only who has their private part can sign one"
            .into());
    }
    let user = UserId::new(user).map_err(|error| format!("the user {error}"))?;
    let path = &config.auth.secret_file;
    if let NoSecret::Fail { instead } = no_secret
        && !path.exists()
    {
        return Err(format!(
            "{} is not there, which the hub makes at its first start: run this in the hub's \
             folder, set auth.secret_file, or give {instead}",
            path.display()
        )
        .into());
    }
    let (secret, origin) = Secret::load_or_create(path)?;
    if origin == SecretOrigin::Created {
        complain(&format!(
            "made a signing secret in {}: the token is good for a hub that is started with it",
            path.display()
        ));
    }
    Ok(sign(&secret, &user, scopes, ttl, clock::wall())?)
}
