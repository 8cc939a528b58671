//! From a token to a tenant: what every kind of connection asks before it is attached.

use std::time::{Duration, Instant};

use crate::auth::{AuthError, Identity};
use crate::clock;
use crate::config::OnExpiry;
use crate::dialect::DialectKind;
use crate::host::{SAY_WAIT_MAX, bounded};
use crate::protocol::{Accounts, AuthRefusal, ConnectionId};
use crate::registry::Worker;

/// Why a token does not let in.
pub(crate) enum NotAdmitted {
    /// It is not good, or the host says no.
    Refused(AuthRefusal),
    /// The user authenticates too often: how long to wait.
    TooOften(Duration),
    /// Nobody can tell now.
    Unavailable,
}

/// Says who a token speaks for that came by `connection`, and whether the host lets them in.
pub(crate) async fn verify(
    worker: &Worker,
    token: &str,
    connection: ConnectionId,
) -> Result<Identity, NotAdmitted> {
    let parts = worker.parts();
    let identity = match parts.verifier.verify(token, clock::wall()).await {
        Ok(identity) => identity,
        Err(AuthError::Expired) => return Err(NotAdmitted::Refused(AuthRefusal::Expired)),
        Err(AuthError::Invalid) => return Err(NotAdmitted::Refused(AuthRefusal::Failed)),
        Err(AuthError::KeysUnavailable) => {
            log::warn!(connection_id:% = connection; "a token could not be checked: its keys are not available");
            return Err(NotAdmitted::Unavailable);
        }
    };
    if let Err(pause) = parts.gate.auth(&identity.user, clock::now()) {
        log::info!(connection_id:% = connection; "{:?} authenticates too often", identity.user);
        return Err(NotAdmitted::TooOften(pause));
    }
    let asking = async { parts.authorize.connect(&identity).await };
    match bounded("the host's say in who may connect", SAY_WAIT_MAX, asking).await {
        Some(true) => Ok(identity),
        Some(false) => {
            let user = &identity.user;
            log::info!(connection_id:% = connection; "the host refused a connection of {user:?}");
            Err(NotAdmitted::Refused(AuthRefusal::Failed))
        }
        None => Err(NotAdmitted::Unavailable),
    }
}

/// What a token is limited to.
pub(crate) fn accounts(identity: &Identity, dialect: DialectKind) -> Accounts {
    Accounts::new(identity.accounts.as_deref())
        .or_default(dialect.account_default())
        .of_session(identity.session.as_deref())
}

/// When the token, or the age of a connection, ends it.
pub(crate) fn ends_at(worker: &Worker, identity: &Identity) -> Instant {
    let settings = &worker.config().auth;
    let now = clock::now();
    let ends_at = now + Duration::from_secs(settings.connection_max_age_s);
    match (settings.on_expiry, identity.expires_at) {
        (OnExpiry::Close, Some(expires_at)) => {
            let left_ms = expires_at.0.saturating_sub(clock::wall().0).max(0).unsigned_abs();
            let left = Duration::from_millis(left_ms) + Duration::from_secs(settings.leeway_s);
            ends_at.min(now + left)
        }
        (OnExpiry::Close | OnExpiry::Keep, _) => ends_at,
    }
}
