//! JwtVerifier: tokens checked with configured keys, key sets and the hub's own secret.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::crypto::verify;
use jsonwebtoken::decode_header;

use super::claims::{self, Rules};
use super::jwks::{LastFetch, RemoteKeys, check_url};
use super::keys::{Key, OnlyKey, from_key_set, install_provider};
use super::remembered::{Fetched, Remembered};
use super::{
    AuthError, AuthSetupError, Identity, Scope, Secret, SecretOrigin, TokenVerifier, key_file,
};
use crate::config::AuthConfig;
use crate::protocol::Timestamp;

/// The longest token taken, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Keys tried for a token that names none.
const TRIED_MAX: usize = 8;

/// The hub's own verifier.
pub struct JwtVerifier {
    keys: Vec<Key>,
    remote: Option<RemoteKeys>,
    rules: Rules,
    remembered: Remembered,
}

impl std::fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtVerifier").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl JwtVerifier {
    /// Reads every configured key; with none configured, the hub's own secret, which is made if
    /// it is not there.
    ///
    /// # Errors
    /// When a key cannot be read.
    pub fn from_config(config: &AuthConfig) -> Result<Self, AuthSetupError> {
        install_provider();
        let mut keys = Vec::new();
        for (index, key) in config.keys.iter().enumerate() {
            keys.push(Key::from_config(key, index)?);
        }
        if let Some(path) = &config.jwks_file {
            let text = key_file::read(path, "auth.jwks_file")?;
            let problem = |problem: String| AuthSetupError::Key {
                setting: "auth.jwks_file".to_owned(),
                problem: format!("{} {problem}", path.display()),
            };
            let set = from_key_set(&text).map_err(problem)?;
            if set.is_empty() {
                return Err(problem("holds no key for RS256, ES256 or EdDSA".to_owned()));
            }
            keys.extend(set);
        }
        if let Some(url) = &config.jwks_url {
            check_url(url)?;
        }
        if config.uses_own_secret() {
            let (secret, origin) = Secret::load_or_create(&config.secret_file)?;
            if origin == SecretOrigin::Created {
                log::info!("made a signing secret in {}", config.secret_file.display());
            }
            keys.push(Key::from_secret(&secret, None));
        }
        Ok(Self {
            keys,
            remote: config.jwks_url.clone().map(RemoteKeys::new),
            rules: Rules {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                leeway_s: config.leeway_s,
            },
            remembered: Remembered::default(),
        })
    }

    async fn check(&self, token: &str, now: Timestamp) -> Result<Identity, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Invalid);
        }
        let fetched = self.remote.as_ref().map(|remote| remote.known().0);
        if let Some(claims) = self.remembered.find(token, &fetched) {
            return claims.at(now);
        }
        let (claims, checked_with) = self.verified(token).await?;
        let claims = Arc::new(claims::read(&claims, &self.rules)?);
        let identity = claims.at(now)?;
        if claims.allows(Scope::Publish) {
            self.remembered.keep(token, claims, checked_with);
        }
        Ok(identity)
    }

    /// The claims of a token that one of the keys signed, and the fetched keys if it is one of those.
    async fn verified(&self, token: &str) -> Result<(Vec<u8>, Fetched), AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::Invalid)?;
        // Extensions that must be understood, and none are (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(AuthError::Invalid);
        }
        let kid = header.kid.as_deref();
        let only = match (self.keys.len(), &self.remote) {
            (1, None) => OnlyKey::Yes,
            _ => OnlyKey::No,
        };
        let candidates = self.keys.iter().filter(|key| key.fits(header.alg, kid, only));
        if let Some(claims) = signed_by(token, candidates) {
            return Ok((claims, None));
        }
        let Some(remote) = &self.remote else { return Err(AuthError::Invalid) };
        // What we know is tried first; only a key we may never have seen is worth a fetch. A
        // token that names no key may be signed with a new one.
        let (known, _) = remote.known();
        let signed_with = |known: &[Key]| {
            let only = match (known, self.keys.is_empty()) {
                ([_], true) => OnlyKey::Yes,
                _ => OnlyKey::No,
            };
            signed_by(token, known.iter().filter(|key| key.fits(header.alg, kid, only)))
        };
        if let Some(claims) = signed_with(&known) {
            return Ok((claims, Some(known)));
        }
        if known.iter().any(|key| kid.is_some() && key.kid.as_deref() == kid) {
            return Err(AuthError::Invalid);
        }
        remote.refresh().await;
        let (known, last_fetch) = remote.known();
        match (signed_with(&known), last_fetch) {
            (Some(claims), _) => Ok((claims, Some(known))),
            (None, LastFetch::Succeeded) => Err(AuthError::Invalid),
            (None, LastFetch::Missing) => Err(AuthError::KeysUnavailable),
        }
    }
}

impl TokenVerifier for JwtVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        Box::pin(self.check(token, now))
    }
}

/// The claims of a token, if one of these keys signed it.
fn signed_by<'k>(token: &str, keys: impl Iterator<Item = &'k Key>) -> Option<Vec<u8>> {
    let (message, signature) = token.rsplit_once('.')?;
    let (_, claims) = message.split_once('.')?;
    for key in keys.take(TRIED_MAX) {
        let is_good = verify(signature, message.as_bytes(), &key.key, key.algorithm);
        if is_good.unwrap_or(false) {
            return BASE64_URL_SAFE_NO_PAD.decode(claims).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests;
