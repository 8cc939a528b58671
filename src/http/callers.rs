//! Who may call what: credentials are read from `Authorization: Bearer`, checked, and held
//! against the scope a route asks for. Those that fail count with those of the sockets.

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::ThinData;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::{LocalBoxFuture, ready};

use super::HttpState;
use super::error::{ApiError, Code};
use crate::auth::{Address, AuthError, Caller, Identity, Scope};
use crate::clock;
use crate::ws::origin::client_address;

/// A caller that may publish.
#[derive(Debug)]
pub(super) struct Publisher(pub(super) Caller);

/// A caller that may administer.
#[derive(Debug)]
pub(super) struct Administrator;

/// A caller that is a user.
#[derive(Debug)]
pub(super) struct User(pub(super) Identity);

impl FromRequest for Publisher {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = caller(request);
        let state = request.app_data::<ThinData<HttpState>>().cloned();
        Box::pin(async move {
            let caller = allowed(caller.await?, Scope::Publish)?;
            if let Some(state) = state {
                let charged = state.gate().publish(&name(&caller), clock::now());
                charged.map_err(ApiError::too_often)?;
            }
            Ok(Self(caller))
        })
    }
}

impl FromRequest for Administrator {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<ThinData<HttpState>>().cloned();
        if state.is_some_and(|state| !answers_administrators(&state)) {
            let off = ApiError::new(Code::NotFound, "the calls of administrators are switched off");
            return Box::pin(ready(Err(off)));
        }
        let caller = caller(request);
        Box::pin(async { allowed(caller.await?, Scope::Admin).map(|_| Self) })
    }
}

fn answers_administrators(state: &HttpState) -> bool {
    let config = state.config();
    config.admin.enabled.is_on(
        config.server.listen.ip().is_loopback()
            || config.has_console()
            || state.callers().have_administrator(),
    )
}

/// A caller that is known: what it may do, the handler decides.
#[derive(Debug)]
pub(super) struct Anyone(pub(super) Caller);

impl FromRequest for Anyone {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = caller(request);
        Box::pin(async { caller.await.map(Self) })
    }
}

impl FromRequest for User {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = caller(request);
        Box::pin(async {
            match caller.await? {
                Caller::User(identity) => Ok(Self(identity)),
                Caller::ApiKey(_) => {
                    Err(ApiError::new(Code::Forbidden, "this needs a user's token, not an API key"))
                }
            }
        })
    }
}

fn caller(request: &HttpRequest) -> LocalBoxFuture<'static, Result<Caller, ApiError>> {
    let state = request.app_data::<ThinData<HttpState>>().cloned();
    let bearer = bearer(request);
    let trusted =
        |state: &HttpState| client_address(request, &state.config().server.trusted_proxies);
    let address = state.as_deref().and_then(trusted).map(Address::from);
    Box::pin(async move {
        let state = state.ok_or_else(|| ApiError::new(Code::Unavailable, "not set up"))?;
        let bearer = bearer.ok_or_else(|| {
            ApiError::new(
                Code::Unauthenticated,
                "Authorization: Bearer with a key or token is needed",
            )
        })?;
        let Some(address) = address else { return Ok(identify(&state, &bearer).await?) };
        let failures = state.failures();
        let identified = identify(&state, &bearer).await;
        match &identified {
            // Whatever others behind this address did.
            Ok(_) => failures.succeeded(address),
            Err(AuthError::Invalid | AuthError::Expired) => {
                if let Some(pause) = failures.pause(address, clock::now()) {
                    return Err(ApiError::fails_too_often(pause));
                }
                failures.failed(address, clock::now());
            }
            Err(AuthError::KeysUnavailable) => {}
        }
        Ok(identified?)
    })
}

async fn identify(state: &HttpState, bearer: &str) -> Result<Caller, AuthError> {
    state.callers().identify(bearer, clock::wall()).await
}

/// The name a caller publishes in.
fn name(caller: &Caller) -> (&'static str, &str) {
    match caller {
        Caller::ApiKey(key) => ("key", key.name.as_str()),
        Caller::User(identity) => ("user", identity.user.as_str()),
    }
}

/// Takes note that a call publishes so many events: the first is charged for when it comes in.
pub(super) fn charge(state: &HttpState, caller: &Caller, events: usize) {
    let more = u32::try_from(events.saturating_sub(1)).unwrap_or(u32::MAX);
    state.gate().publish_more(&name(caller), more);
}

fn bearer(request: &HttpRequest) -> Option<String> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Whether an event of `account` concerns a token limited to `accounts`.
pub(super) fn lists(accounts: Option<&[String]>, account: Option<&str>) -> bool {
    match (accounts, account) {
        (Some(accounts), Some(account)) => accounts.iter().any(|listed| listed == account),
        (None, _) | (_, None) => true,
    }
}

fn allowed(caller: Caller, scope: Scope) -> Result<Caller, ApiError> {
    if caller.may(scope) {
        return Ok(caller);
    }
    Err(ApiError::lacks(scope))
}
