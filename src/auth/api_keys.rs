//! Keys of publishers and administrators. Only their hashes are kept, and compared in constant
//! time.

use subtle::ConstantTimeEq;

use super::{AuthSetupError, Scope, sha256};
use crate::config::{ApiKeyConfig, AuthConfig};

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name in logs.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

/// The known keys.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    configured: Vec<([u8; 32], ApiKey)>,
    given: Option<([u8; 32], ApiKey)>,
}

impl ApiKeys {
    /// The configured keys, and one more with every scope if the environment or the host gives
    /// it.
    ///
    /// # Errors
    /// When a hash is not 64 hexadecimal characters, a scope is unknown or there is none, or a
    /// key is empty.
    pub fn from_config(config: &AuthConfig, given: Option<&str>) -> Result<Self, AuthSetupError> {
        let mut keys = Self::default().reloaded(config)?;
        if let Some(key) = given {
            if key.trim_ascii().is_empty() {
                return Err(AuthSetupError::Key {
                    setting: "the API key of the environment or the host".to_owned(),
                    problem: "must not be empty".to_owned(),
                });
            }
            let scopes = vec![Scope::Publish, Scope::Admin];
            keys.given = Some((sha256(key), ApiKey { name: "environment".to_owned(), scopes }));
        }
        Ok(keys)
    }

    /// The keys of another configuration, and still the one that was given.
    ///
    /// # Errors
    /// As [`ApiKeys::from_config`].
    pub fn reloaded(&self, config: &AuthConfig) -> Result<Self, AuthSetupError> {
        let keys = config.api_keys.iter().enumerate();
        let configured =
            keys.map(|(index, key)| from_config(key, index)).collect::<Result<_, _>>()?;
        Ok(Self { configured, given: self.given.clone() })
    }

    /// Whether one of them may administer.
    pub fn may_administer(&self) -> bool {
        let mut keys = self.configured.iter().chain(&self.given);
        keys.any(|(_, key)| key.scopes.contains(&Scope::Admin))
    }

    /// The key that was presented. Every known key is compared, whatever comes of the first.
    pub fn find(&self, presented: &str) -> Option<&ApiKey> {
        if self.configured.is_empty() && self.given.is_none() {
            return None;
        }
        let presented = sha256(presented);
        let mut found = None;
        for (known, key) in self.configured.iter().chain(&self.given) {
            if bool::from(known.ct_eq(&presented)) {
                found = Some(key);
            }
        }
        found
    }
}

fn from_config(config: &ApiKeyConfig, index: usize) -> Result<([u8; 32], ApiKey), AuthSetupError> {
    let problem = |key: &str, problem: String| AuthSetupError::Key {
        setting: format!("auth.api_keys[{index}].{key}"),
        problem,
    };
    let mut hash = [0; 32];
    hex::decode_to_slice(&config.sha256, &mut hash)
        .map_err(|_| problem("sha256", "must be 64 hexadecimal characters".to_owned()))?;
    if hash == sha256("") {
        return Err(problem("sha256", "is the hash of an empty key".to_owned()));
    }
    let scopes = Scope::from_names(&config.scopes).map_err(|text| problem("scopes", text))?;
    Ok((hash, ApiKey { name: config.name.clone(), scopes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(sha256: &str, scopes: &[&str]) -> AuthConfig {
        let key = ApiKeyConfig {
            name: "app".to_owned(),
            sha256: sha256.to_owned(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
        };
        AuthConfig { api_keys: vec![key], ..AuthConfig::default() }
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_nothing_else() {
        let config = configured(&hex::encode(sha256("s3cret")), &["publish"]);
        let keys = ApiKeys::from_config(&config, Some("other")).unwrap();
        assert_eq!(keys.find("s3cret").map(|key| &*key.scopes), Some(&[Scope::Publish][..]));
        assert_eq!(keys.find("other").map(|key| key.scopes.len()), Some(2));
        assert_eq!(keys.find("s3cre"), None);
        assert_eq!(keys.find(""), None);
    }

    #[test]
    fn a_bad_hash_and_an_unknown_scope_are_named() {
        let error = |config| ApiKeys::from_config(&config, None).unwrap_err().to_string();
        assert_eq!(
            error(configured("abc", &["admin"])),
            "auth.api_keys[0].sha256: must be 64 hexadecimal characters"
        );
        assert_eq!(
            error(configured(&"0".repeat(64), &["root"])),
            "auth.api_keys[0].scopes: \"root\" is unknown; \"publish\" and \"admin\" are known"
        );
        assert_eq!(
            error(configured(&"0".repeat(64), &[])),
            "auth.api_keys[0].scopes: must name at least one of \"publish\" and \"admin\""
        );
    }

    #[test]
    fn an_empty_key_is_refused_however_it_comes() {
        for empty in ["", " \n"] {
            let error = ApiKeys::from_config(&AuthConfig::default(), Some(empty)).unwrap_err();
            assert!(error.to_string().ends_with("must not be empty"), "{error}");
        }
        let config = configured(&hex::encode(sha256("")), &["publish"]);
        let error = ApiKeys::from_config(&config, None).unwrap_err().to_string();
        assert_eq!(error, "auth.api_keys[0].sha256: is the hash of an empty key");
    }
}
