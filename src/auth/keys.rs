//! Keys that tokens are checked with, each for one algorithm only.

use std::path::Path;
use std::sync::Once;

use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm as JwkAlgorithm};
use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::{AuthSetupError, Secret, key_file};
use crate::config::{KeyAlgorithm, KeyConfig};

/// The shortest RSA modulus taken, in bytes: 2048 bits (RFC 7518, 3.3).
const RSA_BYTES_MIN: usize = 256;

/// The longest one the cryptography underneath takes, in bytes: 8192 bits.
const RSA_BYTES_MAX: usize = 1_024;

/// A key, and the only algorithm it is used for.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Whether a key is the only one that tokens are checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnlyKey {
    Yes,
    No,
}

/// Names the cryptography this process uses; without it the first token, or the first TLS
/// connection, would end the process. Starting a hub does this too.
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A host that installed its own before us keeps it.
        let _ = jsonwebtoken::crypto::CryptoProvider::install_default(
            &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER,
        );
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

impl Key {
    /// Whether a token signed with `algorithm`, and naming `kid`, may be this key's. A key
    /// without a name of its own fits a named token only if it is the `only` key.
    pub(super) fn fits(&self, algorithm: Algorithm, kid: Option<&str>, only: OnlyKey) -> bool {
        let is_named_so = match (self.kid.as_deref(), kid) {
            (_, None) => true,
            (Some(known), Some(kid)) => known == kid,
            (None, Some(_)) => only == OnlyKey::Yes,
        };
        self.algorithm == algorithm && is_named_so
    }

    /// A key for tokens signed with a shared secret.
    pub(super) fn from_secret(secret: &Secret, kid: Option<String>) -> Self {
        Self { kid, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret.bytes()) }
    }

    /// A configured key; `index` is its place in `auth.keys`.
    pub(super) fn from_config(config: &KeyConfig, index: usize) -> Result<Self, AuthSetupError> {
        let setting = format!("auth.keys[{index}]");
        match (&config.secret, &config.secret_file, &config.pem_file, config.algorithm) {
            (Some(secret), None, None, KeyAlgorithm::HS256) => {
                let secret = Secret::new(secret.as_bytes(), &format!("{setting}.secret"))?;
                Ok(Self::from_secret(&secret, config.kid.clone()))
            }
            (None, Some(path), None, KeyAlgorithm::HS256) => {
                let secret = Secret::load(path, "auth.keys.secret_file")?;
                Ok(Self::from_secret(&secret, config.kid.clone()))
            }
            (None, None, Some(path), algorithm) => {
                Self::from_pem(path, algorithm, &setting, config)
            }
            _ => Err(AuthSetupError::Key {
                setting,
                problem:
                    "needs exactly one of secret, secret_file (HS256) and pem_file (the others)"
                        .to_owned(),
            }),
        }
    }

    fn from_pem(
        path: &Path,
        algorithm: KeyAlgorithm,
        setting: &str,
        config: &KeyConfig,
    ) -> Result<Self, AuthSetupError> {
        let pem = key_file::read(path, "auth.keys.pem_file")?;
        let problem = |problem: String| AuthSetupError::Key {
            setting: format!("{setting}.pem_file"),
            problem,
        };
        let (algorithm, key) = match algorithm {
            KeyAlgorithm::RS256 => (Algorithm::RS256, DecodingKey::from_rsa_pem(&pem)),
            KeyAlgorithm::ES256 => (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)),
            KeyAlgorithm::EdDSA => (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem)),
            KeyAlgorithm::HS256 => {
                return Err(problem("HS256 needs a secret, not a PEM file".to_owned()));
            }
        };
        let key = key.map_err(|error| {
            problem(format!("{} holds no {algorithm:?} public key: {error}", path.display()))
        })?;
        if !is_public_pem(&pem) || !is_usable(algorithm, &key) {
            return Err(problem(format!(
                "{} holds no {algorithm:?} public key (PEM, `BEGIN PUBLIC KEY`; RSA of at least \
                 2048 bits, P-256 or Ed25519)",
                path.display()
            )));
        }
        Ok(Self { kid: config.kid.clone(), algorithm, key })
    }

    /// A key of a key set; none for one we have no use for.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let is_ours = match jwk.common.key_algorithm {
            None => true,
            Some(JwkAlgorithm::RS256) => algorithm == Algorithm::RS256,
            Some(JwkAlgorithm::ES256) => algorithm == Algorithm::ES256,
            Some(JwkAlgorithm::EdDSA) => algorithm == Algorithm::EdDSA,
            Some(_) => false,
        };
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_ours)?;
        Some(Self { kid: jwk.common.key_id.clone(), algorithm, key })
    }
}

/// Whether it says of itself that it is public: a private key or a certificate would load, and
/// then fit no token.
fn is_public_pem(pem: &[u8]) -> bool {
    let pem = String::from_utf8_lossy(pem);
    pem.contains("-----BEGIN PUBLIC KEY-----") || pem.contains("-----BEGIN RSA PUBLIC KEY-----")
}

/// Whether the cryptography underneath can check tokens with it.
fn is_usable(algorithm: Algorithm, key: &DecodingKey) -> bool {
    let Ok(bytes) = key.try_get_as_bytes() else { return false };
    match algorithm {
        Algorithm::RS256 => RsaPublicKey::from_der(bytes)
            .is_ok_and(|key| (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&key.modulus_len())),
        Algorithm::ES256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).is_ok(),
        Algorithm::EdDSA => ParsedPublicKey::new(&ED25519, bytes).is_ok(),
        _ => false,
    }
}

/// The keys of a JSON Web Key Set (RFC 7517) that we have a use for. A key that cannot be read
/// does not spoil the others.
pub(super) fn from_key_set(text: &[u8]) -> Result<Vec<Key>, String> {
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("is not JSON: {error}"))?;
    let list = value
        .get("keys")
        .and_then(serde_json::Value::as_array)
        .ok_or_else(|| "is no JSON Web Key Set: it has no \"keys\"".to_owned())?;
    let mut keys = Vec::with_capacity(list.len());
    for entry in list {
        let set = serde_json::json!({"keys": [entry]});
        let read = serde_json::from_value::<JwkSet>(set).ok();
        match read.as_ref().and_then(|set| set.keys.first()).and_then(Key::from_jwk) {
            Some(key) => keys.push(key),
            None => log::info!("a key of the JSON Web Key Set is of no use here and left out"),
        }
    }
    Ok(keys)
}
