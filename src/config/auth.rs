//! Who may connect and publish.
//!
//! Secrets never show in Debug.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Who may connect and publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The file with the HS256 secret that is made on first start when no key is configured.
    pub secret_file: PathBuf,
    /// The keys tokens are checked with. Empty: the secret file.
    pub keys: Vec<KeyConfig>,
    /// A file with a JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// A URL with a JSON Web Key Set; fetched when needed, at most once a minute.
    pub jwks_url: Option<String>,
    /// What `iss` must be, if set.
    pub issuer: Option<String>,
    /// What `aud` must hold, if set.
    pub audience: Option<String>,
    /// Clock difference allowed at `exp` and `nbf`, in seconds.
    pub leeway_s: u64,
    /// For how long a connection lives after `auth`, in seconds.
    pub connection_max_age_s: u64,
    /// What a token's end does to its connection.
    pub on_expiry: OnExpiry,
    /// Failed auths of one address, at sockets and API together, before it is slowed down (429).
    pub failures_free: u32,
    /// The longest pause between two handshakes or calls of such an address, in seconds.
    pub failure_pause_max_s: u64,
    /// Keys of publishers and administrators.
    pub api_keys: Vec<ApiKeyConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            secret_file: PathBuf::from("staffetta.secret"),
            keys: Vec::new(),
            jwks_file: None,
            jwks_url: None,
            issuer: None,
            audience: None,
            leeway_s: 30,
            connection_max_age_s: 86_400,
            on_expiry: OnExpiry::Keep,
            failures_free: 60,
            failure_pause_max_s: 60,
            api_keys: Vec::new(),
        }
    }
}

impl AuthConfig {
    /// Whether tokens are checked with the secret the hub makes for itself.
    pub fn uses_own_secret(&self) -> bool {
        self.keys.is_empty() && self.jwks_file.is_none() && self.jwks_url.is_none()
    }
}

/// What a token's end does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// Nothing: the connection lives up to `connection_max_age_s`.
    Keep,
    /// It is closed with 4401 at `exp` plus leeway, unless renewed.
    Close,
}

/// One key tokens are checked with: exactly one of `secret`, `secret_file` and `pem_file`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The only algorithm this key is used for.
    pub algorithm: KeyAlgorithm,
    /// The key id; none matches tokens without `kid`, or any if it is the only key of all.
    #[serde(default)]
    pub kid: Option<String>,
    /// The HS256 secret itself, at least 32 bytes.
    #[serde(default)]
    pub secret: Option<String>,
    /// A file with the HS256 secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A file with the public key.
    #[serde(default)]
    pub pem_file: Option<PathBuf>,
}

impl std::fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyConfig").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of RFC 7518 and RFC 8037")]
pub enum KeyAlgorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

/// A publisher's or administrator's key, as its SHA-256.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// Its name in logs.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal characters.
    pub sha256: String,
    /// `publish`, `admin` or both.
    pub scopes: Vec<String>,
}
