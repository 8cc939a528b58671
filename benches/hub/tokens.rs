//! The tokens of a run, and the key its server checks them with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};

/// What tokens are signed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Hs256,
    Rs256,
}

/// Where the hub looks for its secret when it is told of no other.
const SECRET: &str = "staffetta.secret";
const PUBLIC: &str = "public.pem";

pub(crate) enum Keys {
    Hs256(Secret, PathBuf),
    Rs256(Box<KeyPair>, PathBuf),
}

impl Keys {
    /// Makes a key, and writes what a server needs of it into its folder.
    pub(crate) fn new(folder: &Path, signature: Signature) -> Self {
        match signature {
            Signature::Hs256 => {
                let path = folder.join(SECRET);
                let (secret, _) = Secret::load_or_create(&path).unwrap();
                Self::Hs256(secret, path)
            }
            Signature::Rs256 => {
                let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
                let der = pair.public_key().as_der().unwrap();
                let path = folder.join(PUBLIC);
                std::fs::write(&path, pem(der.as_ref())).unwrap();
                Self::Rs256(Box::new(pair), path)
            }
        }
    }

    /// The file a peer reads the key from.
    pub(crate) fn file(&self) -> String {
        let (Self::Hs256(_, path) | Self::Rs256(_, path)) = self;
        path.to_string_lossy().into_owned()
    }

    /// What the hub is told of it.
    pub(crate) fn setting(&self) -> Option<String> {
        match self {
            Self::Hs256(..) => None,
            Self::Rs256(..) => {
                Some(format!(r#"auth.keys=[{{ algorithm = "RS256", pem_file = "{PUBLIC}" }}]"#))
            }
        }
    }

    pub(crate) fn token(&self, user: &str, scopes: &[Scope]) -> String {
        let day = Duration::from_secs(86_400);
        let pair = match self {
            Self::Hs256(secret, _) => {
                let user = UserId::new(user).unwrap();
                return sign(secret, &user, scopes, day, clock::wall()).unwrap();
            }
            Self::Rs256(pair, _) => pair,
        };
        let now = clock::wall().0 / 1_000;
        let scope: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
        let claims = serde_json::json!({
            "sub": user, "iat": now, "exp": now + 86_400, "scope": scope.join(" "),
        });
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signed = vec![0; pair.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
        pair.sign(padding, &random, text.as_bytes(), &mut signed).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed))
    }
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
