//! How a stranger becomes a user: verify, ask the host, attach.
//!
//! Everything else on the connection waits meanwhile, so that frames keep their order.

use std::time::Duration;

use actix::{ActorFutureExt, Context, ContextFutureSpawner, WrapFuture};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Standing, WsSession};
use crate::auth::{AuthError, Identity, SessionKeys};
use crate::clock;
use crate::config::OnExpiry;
use crate::delivery::messages::{Attach, AttachKind, Attached};
use crate::dialect::DialectKind;
use crate::protocol::{
    Accounts, AuthRefusal, AuthRequest, ClientError, CloseCode, Push, ReplyTo, SessionId,
    SessionRequest,
};
use crate::registry::Worker;

/// How long attaching may take before the client is told to try again.
const ATTACH_WAIT_MAX: Duration = Duration::from_secs(10);

/// What came of an `auth`.
enum Outcome {
    Refused(AuthRefusal),
    /// Nobody can tell now.
    Unavailable,
    Answered(Identity, Box<SessionKeys>, Attached),
}

impl WsSession {
    /// A token that came with the upgrade attaches at once.
    pub(super) fn authenticate_by_upgrade(&mut self, ctx: &mut Context<Self>) {
        let Some(upgrade) = &self.upgrade else { return };
        let Some(token) = upgrade.token.clone() else { return };
        let session_default = self.connection.dialect.session_default();
        let session = upgrade.session.clone().unwrap_or(session_default);
        let request = AuthRequest {
            token,
            session,
            offline: None,
            confirm_sync: false,
            reply_to: ReplyTo::default(),
        };
        self.authenticate(request, ctx);
    }

    pub(super) fn authenticate(&mut self, mut request: AuthRequest, ctx: &mut Context<Self>) {
        if request.token.is_empty()
            && let Some(token) = self.upgrade.as_ref().and_then(|upgrade| upgrade.token.as_ref())
        {
            request.token.clone_from(token);
        }
        self.name_session(&mut request);
        let Some(orders) = self.worker.orders() else { return };
        let to = request.reply_to.clone();
        self.connection.expect_auth_ok(to.clone());
        let worker = self.worker.clone();
        let (connection, dialect) = (self.connection.id, self.connection.dialect);
        let owner = self.connection.user();
        async move {
            let identity = match verify(&worker, &request.token).await {
                Ok(identity) => identity,
                Err(outcome) => return outcome,
            };
            // A live connection stays its user's.
            if owner.is_some_and(|owner| owner != identity.user) {
                return Outcome::Refused(AuthRefusal::Failed);
            }
            let keys = Box::new(SessionKeys::new(&request.token, &identity.user, clock::wall()));
            let (reply, attached) = oneshot::channel();
            let attach = Attach {
                user: identity.user.clone(),
                connection,
                registry: orders,
                dialect,
                kind: kind(request, &identity, dialect, &keys),
                reply,
            };
            let attached = attach_to(&worker, attach, attached).await;
            Outcome::Answered(identity, keys, attached)
        }
        .into_actor(self)
        .map(move |outcome, session, _ctx| session.authenticated(outcome, &to))
        .wait(ctx);
    }

    fn authenticated(&mut self, outcome: Outcome, to: &ReplyTo) {
        match outcome {
            Outcome::Refused(refusal) => {
                if let Some(address) = self.address {
                    self.worker.parts().failures.failed(address, clock::now());
                }
                self.answer(&Push::AuthFailed(refusal), to);
                self.close(CloseCode::AuthFailed);
            }
            Outcome::Answered(_, _, Attached::TooManyConnections) => {
                self.refuse_to(ClientError::TooManyConnections, to);
                self.close(CloseCode::LimitExceeded);
            }
            Outcome::Unavailable | Outcome::Answered(_, _, Attached::Unavailable) => {
                self.refuse_to(ClientError::Unavailable, to);
                self.say(&Push::Reconnect { retry_after_ms: 1_000 });
                self.close(CloseCode::Restart);
            }
            Outcome::Answered(identity, keys, Attached::Attached { session }) => {
                log::debug!("{} is {:?}, session {session:?}", self.connection.id, identity.user);
                self.standing = session.map_or(Standing::Plain, Standing::Reliable);
                self.accounts = accounts(&identity, self.connection.dialect);
                self.keys.renew(keys);
                if let Some(address) = self.address {
                    self.worker.parts().failures.succeeded(address);
                }
                self.live_until(&identity);
                *self.connection.user.borrow_mut() = Some(identity.user);
                self.tell_connected();
            }
        }
    }

    /// In a dialect whose `auth` names no session to get a new one, the request's is meant first.
    fn name_session(&self, request: &mut AuthRequest) {
        let is_new = self.standing == Standing::Stranger
            && request.session == SessionRequest::New
            && self.connection.dialect.session_default() == SessionRequest::New;
        let session = self.upgrade.as_ref().and_then(|upgrade| upgrade.session.clone());
        if let (true, Some(session)) = (is_new, session) {
            request.session = session;
        }
    }

    /// Sets the end that the token, or the age of the connection, brings.
    fn live_until(&self, identity: &Identity) {
        let settings = &self.worker.config().auth;
        let now = clock::now();
        let mut ends_at = now + Duration::from_secs(settings.connection_max_age_s);
        if let (OnExpiry::Close, Some(expires_at)) = (settings.on_expiry, identity.expires_at) {
            let left_ms = expires_at.0.saturating_sub(clock::wall().0).max(0).unsigned_abs();
            let left = Duration::from_millis(left_ms) + Duration::from_secs(settings.leeway_s);
            ends_at = ends_at.min(now + left);
        }
        self.worker.end_at(&self.connection, ends_at);
    }
}

async fn verify(worker: &Worker, token: &str) -> Result<Identity, Outcome> {
    let parts = worker.parts();
    let identity = match parts.verifier.verify(token, clock::wall()).await {
        Ok(identity) => identity,
        Err(AuthError::Expired) => return Err(Outcome::Refused(AuthRefusal::Expired)),
        Err(AuthError::Invalid) => return Err(Outcome::Refused(AuthRefusal::Failed)),
        Err(AuthError::KeysUnavailable) => {
            log::warn!("a token could not be checked: its keys are not available");
            return Err(Outcome::Unavailable);
        }
    };
    if !parts.authorize.connect(&identity).await {
        log::info!("the host refused a connection of {:?}", identity.user);
        return Err(Outcome::Refused(AuthRefusal::Failed));
    }
    Ok(identity)
}

async fn attach_to(
    worker: &Worker,
    attach: Attach,
    attached: oneshot::Receiver<Attached>,
) -> Attached {
    let port = worker.parts().deliveries.of(&attach.user);
    if port.attach.send(attach).await.is_err() {
        return Attached::Unavailable;
    }
    match tokio::time::timeout(ATTACH_WAIT_MAX, attached).await {
        Ok(Ok(attached)) => attached,
        Ok(Err(_)) | Err(_) => Attached::Unavailable,
    }
}

fn accounts(identity: &Identity, dialect: DialectKind) -> Accounts {
    Accounts::new(identity.accounts.as_deref()).or_default(dialect.account_default())
}

fn kind(
    request: AuthRequest,
    identity: &Identity,
    dialect: DialectKind,
    keys: &SessionKeys,
) -> AttachKind {
    let user = &identity.user;
    let accounts = accounts(identity, dialect);
    match request.session {
        SessionRequest::Plain => {
            let greeting = Push::AuthSuccess { user: user.clone(), secret: keys.secret() };
            AttachKind::Plain { greeting, accounts }
        }
        session @ (SessionRequest::New | SessionRequest::Named(_)) => AttachKind::Reliable {
            session,
            fresh: SessionId::from_uuid(Uuid::new_v4()),
            offline: request.offline,
            offline_default: dialect.offline_default(),
            confirm_sync: request.confirm_sync,
            accounts,
        },
    }
}
