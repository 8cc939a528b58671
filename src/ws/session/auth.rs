//! How a stranger becomes a user: verify, ask the host, attach.
//!
//! Everything else on the connection waits meanwhile, so that frames keep their order.

use std::time::Duration;

use actix::{ActorFutureExt, Context, ContextFutureSpawner, WrapFuture};
use uuid::Uuid;

use super::{Standing, WsSession};
use crate::auth::{Identity, SessionKeys};
use crate::clock;
use crate::delivery::messages::{AttachKind, Attached};
use crate::dialect::DialectKind;
use crate::protocol::{
    AuthRefusal, AuthRequest, ClientError, CloseCode, Push, ReplyTo, SessionId, SessionRequest,
};
use crate::ws::admission::{NotAdmitted, accounts, ends_at, verify};

/// What came of an `auth`.
enum Outcome {
    Refused(AuthRefusal),
    /// Its user comes too often: how long to wait.
    TooOften(Duration),
    /// Nobody can tell now.
    Unavailable,
    Answered(Identity, Box<SessionKeys>, Attached),
}

impl WsSession {
    /// A token that came with the upgrade attaches at once.
    pub(super) fn authenticate_by_upgrade(&mut self, ctx: &mut Context<Self>) {
        let Some(upgrade) = &self.upgrade else { return };
        let Some(token) = upgrade.token.clone() else { return };
        let session_default = self.connection.dialect.get().session_default();
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
        let to = request.reply_to.clone();
        self.connection.expect_auth_ok(to.clone());
        let worker = self.worker.clone();
        let (connection, dialect) = (self.connection.id, self.connection.dialect.get());
        let owner = self.connection.user();
        async move {
            let identity = match verify(&worker, &request.token, connection).await {
                Ok(identity) => identity,
                Err(NotAdmitted::Refused(refusal)) => return Outcome::Refused(refusal),
                Err(NotAdmitted::TooOften(pause)) => return Outcome::TooOften(pause),
                Err(NotAdmitted::Unavailable) => return Outcome::Unavailable,
            };
            // A live connection stays its user's.
            if owner.is_some_and(|owner| owner != identity.user) {
                return Outcome::Refused(AuthRefusal::Failed);
            }
            let keys = Box::new(SessionKeys::new(&request.token, &identity.user, clock::wall()));
            let kind = kind(request, &identity, dialect, &keys);
            let attached = worker.attach(identity.user.clone(), connection, dialect, kind).await;
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
            Outcome::TooOften(pause) => {
                self.refuse_to(ClientError::RateLimited, to);
                self.say(&Push::Reconnect { retry_after_ms: pause.as_millis() as u64 });
                self.close(CloseCode::LimitExceeded);
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
                let id = self.connection.id;
                log::debug!(connection_id:% = id; "authenticated as {:?}, session {session:?}", identity.user);
                self.standing = session.map_or(Standing::Plain, Standing::Reliable);
                self.accounts = accounts(&identity, self.connection.dialect.get());
                self.keys.renew(keys);
                if let Some(address) = self.address {
                    self.worker.parts().failures.succeeded(address);
                }
                self.worker.end_at(&self.connection, ends_at(&self.worker, &identity));
                *self.connection.user.borrow_mut() = Some(identity.user);
                self.tell_connected();
            }
        }
    }

    /// In a dialect whose `auth` names no session to get a new one, the request's is meant first.
    fn name_session(&self, request: &mut AuthRequest) {
        let is_new = self.standing == Standing::Stranger
            && request.session == SessionRequest::New
            && self.connection.dialect.get().session_default() == SessionRequest::New;
        let session = self.upgrade.as_ref().and_then(|upgrade| upgrade.session.clone());
        if let (true, Some(session)) = (is_new, session) {
            request.session = session;
        }
    }
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
