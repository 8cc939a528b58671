//! Who a token or an API key speaks for.
//!
//! The algorithm comes from the configured key, never from the token (docs/protocol/http.md).

mod api_keys;
mod authorize;
mod caller;
mod claims;
mod envelope;
mod failures;
mod jwks;
mod key_file;
mod keys;
mod nonces;
mod remembered;
mod secret;
mod sign;
mod tickets;
mod vapid;
mod verifier;

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

pub use self::api_keys::{ApiKey, ApiKeys};
pub use self::authorize::{Authorize, EveryoneMay};
pub use self::caller::{Caller, Callers};
pub use self::envelope::{EnvelopeError, SessionKeys, session_secret};
pub use self::failures::{Address, Failures};
pub use self::keys::install_provider;
pub use self::nonces::Nonces;
pub use self::secret::{Secret, SecretOrigin};
pub use self::sign::sign;
pub use self::tickets::{CONSOLE_USER, TicketVerifier, Tickets};
pub use self::vapid::VapidKey;
pub use self::verifier::JwtVerifier;
use crate::protocol::{Timestamp, UserId};

/// What a caller may do besides being a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Publish events for any user.
    Publish,
    /// List and revoke sessions, read traces, see to dead letters.
    Admin,
}

impl Scope {
    /// Its name in tokens and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Publish => "publish",
            Scope::Admin => "admin",
        }
    }

    /// The scope of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Scope::Publish, Scope::Admin].into_iter().find(|scope| scope.name() == name)
    }

    /// The scopes of these names; a key without any would be good for nothing.
    ///
    /// # Errors
    /// When there is none, or one is unknown: which.
    pub fn from_names(names: &[String]) -> Result<Vec<Self>, String> {
        if names.is_empty() {
            return Err("must name at least one of \"publish\" and \"admin\"".to_owned());
        }
        let known = |name: &String| {
            Scope::from_name(name)
                .ok_or_else(|| format!("{name:?} is unknown; \"publish\" and \"admin\" are known"))
        };
        names.iter().map(known).collect()
    }
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
    /// Its `sid`: the session of the application's it was made for. `on_session_delete` finds it.
    pub session: Option<String>,
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

/// Why the keys could not be set up. Names the setting and the limit, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// A file cannot be read or written.
    #[error("{setting}: {}: {source}", path.display())]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A secret is too short to sign with.
    #[error("{setting}: the secret has {bytes} bytes, at least {} are needed", Secret::BYTES_MIN)]
    ShortSecret {
        /// The setting it comes from.
        setting: String,
        /// How many it has.
        bytes: usize,
    },
    /// A key cannot be read.
    #[error("{setting}: {problem}")]
    Key {
        /// The setting it comes from.
        setting: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A token cannot be signed.
    #[error("the token cannot be signed: {0}")]
    Sign(String),
}

/// What is kept of a key or a token in its place.
fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Checks tokens. The hub's own is [`JwtVerifier`]; an embedding host may supply another.
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
