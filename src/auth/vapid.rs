//! How the hub tells push services who it is (VAPID, RFC 8292): a P-256 key, made once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use super::{AuthSetupError, key_file};
use crate::protocol::Timestamp;

const SETTING: &str = "push.key_file";

/// How long a push service may believe one signature, in seconds; a day at most (RFC 8292, 2).
const TTL_S: i64 = 12 * 3_600;

/// The key pair of this hub. Never shows in logs.
pub struct VapidKey {
    pair: EcdsaKeyPair,
    contact: String,
}

impl std::fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VapidKey")
    }
}

impl VapidKey {
    /// Reads the key from its file, or makes one, mode 0600. An existing file is never written.
    ///
    /// # Errors
    /// When the file can neither be read nor made, or holds no key.
    pub fn load_or_create(path: &Path, contact: &str) -> Result<Self, AuthSetupError> {
        let broken = |problem: &str| AuthSetupError::Key {
            setting: SETTING.to_owned(),
            problem: format!("{} {problem}", path.display()),
        };
        if !path.exists() {
            create(path).map_err(|source| AuthSetupError::File {
                setting: SETTING,
                path: path.to_owned(),
                source,
            })?;
        }
        let text = key_file::read(path, SETTING)?;
        let pkcs8 = BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_ascii())
            .map_err(|_| broken("is not base64"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| broken("holds no P-256 key"))?;
        Ok(Self { pair, contact: contact.to_owned() })
    }

    /// The public key as devices need it (`applicationServerKey`).
    pub fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// What `Authorization` says to the push service of this origin; none when the system has no
    /// random bytes.
    pub fn authorization(&self, origin: &str, now: Timestamp) -> Option<String> {
        let expires_at = now.0.div_euclid(1_000) + TTL_S;
        let header = json!({"typ": "JWT", "alg": "ES256"}).to_string();
        let claims = json!({"aud": origin, "exp": expires_at, "sub": self.contact}).to_string();
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref());
        Some(format!("vapid t={message}.{signature}, k={}", self.public()))
    }
}

/// Makes the file whole or not at all: another start may be at it too, and then theirs counts.
fn create(path: &Path) -> io::Result<()> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| io::Error::other("no random bytes"))?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let written = writeln!(file, "{}", BASE64_URL_SAFE_NO_PAD.encode(pkcs8.as_ref()))
        .and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_signs_for_one_origin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.vapid");
        let key = VapidKey::load_or_create(&path, "mailto:ops@example.org").unwrap();
        let again = VapidKey::load_or_create(&path, "mailto:ops@example.org").unwrap();
        assert_eq!(key.public(), again.public());
        let public = BASE64_URL_SAFE_NO_PAD.decode(key.public()).unwrap();
        assert_eq!((public.len(), public[0]), (65, 4), "an uncompressed point");
        let said = again.authorization("https://push.test", Timestamp(1_000_000)).unwrap();
        let (token, public_said) =
            said.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(public_said, key.public());
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
            .verify(message.as_bytes(), &signature)
            .unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(message.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let expected =
            json!({"aud": "https://push.test", "exp": 44_200, "sub": "mailto:ops@example.org"});
        assert_eq!(claims, expected);
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.vapid");
        std::fs::write(&path, "nonsense").unwrap();
        let error = VapidKey::load_or_create(&path, "mailto:a").unwrap_err().to_string();
        assert!(error.starts_with("push.key_file: "), "{error}");
    }
}
