//! Devices that may be woken by web push: registered by the session's own user.

use actix_web::web::{Payload, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::HttpState;
use super::ask::ask;
use super::body;
use super::callers::User;
use super::error::{ApiError, Code, Problem};
use super::parameters::{self, NoQuery};
use crate::auth::VapidKey;
use crate::clock;
use crate::persistence::messages::{PushChange, WritePush};

/// The longest address of a device, in bytes.
const ENDPOINT_BYTES_MAX: usize = 2_048;

/// The key that a device subscribes with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PushKeyBody {
    /// `applicationServerKey` of `pushManager.subscribe`.
    key: String,
}

/// What a browser's `PushSubscription` is as JSON; only `endpoint` is looked at.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PushBody {
    /// Where the device is woken; its push service must be one of `push.services`.
    endpoint: String,
}

/// Tells the key that devices subscribe with.
#[utoipa::path(
    get,
    path = "/api/v1/push/key",
    tag = "push",
    responses(
        (status = 200, description = "The key", body = PushKeyBody),
        (status = 404, description = "`not_found`: web push is off",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn key(
    _: User,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    parameters::query::<NoQuery>(&request)?;
    Ok(HttpResponse::Ok().json(PushKeyBody { key: key_of(&state)?.public() }))
}

/// Has a session's device woken when an event waits for it and it is not connected.
#[utoipa::path(
    post,
    path = "/api/v1/sessions/{session}/push",
    tag = "push",
    params(("session" = String, Path, description = "Which; the caller's own")),
    request_body = PushBody,
    responses(
        (status = 204, description = "It is registered, in place of an earlier registration"),
        (status = 404, description = "`not_found`: web push is off, or the caller has no such session",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn register(
    User(identity): User,
    state: ThinData<HttpState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let session = parameters::session(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let body = body::read(&request, payload, &state).await?;
    let PushBody { endpoint } = body::parse(&body)?;
    key_of(&state)?;
    let is_known = state.config().push.origin_of(&endpoint).is_some();
    if endpoint.len() > ENDPOINT_BYTES_MAX || !is_known {
        return Err(ApiError::field("endpoint is not of a push service this hub knows"));
    }
    let change = PushChange::Register { endpoint, at: clock::wall() };
    let write = |reply| WritePush { user: identity.user, session, change, reply };
    answer(ask(&state.persistence().pushes.write, write).await??)
}

/// Has a session's device woken no more.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{session}/push",
    tag = "push",
    params(("session" = String, Path, description = "Which; the caller's own")),
    responses(
        (status = 204, description = "It is registered no more"),
        (status = 404, description = "`not_found`: it was not registered",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn forget(
    User(identity): User,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let session = parameters::session(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let change = PushChange::Forget;
    let write = |reply| WritePush { user: identity.user, session, change, reply };
    answer(ask(&state.persistence().pushes.write, write).await??)
}

fn key_of(state: &HttpState) -> Result<&VapidKey, ApiError> {
    state.push().ok_or_else(|| ApiError::new(Code::NotFound, "web push is off (push.contact)"))
}

fn answer(is_there: bool) -> Result<HttpResponse, ApiError> {
    if is_there {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(ApiError::new(Code::NotFound, "the caller has no such session"))
}
