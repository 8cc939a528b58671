//! Publishing one event to one user, and what the ways of publishing have in common.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Payload, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::bodies::{ReceiptBody, idempotency_key};
use super::callers::{Publisher, lists};
use super::error::{ApiError, Code, Problem};
use super::event_body::{Addressing, EventBody};
use super::{HttpState, body, parameters};
use crate::auth::Caller;
use crate::clock;
use crate::delivery::Wait;
use crate::delivery::messages::PublishError;
use crate::host::{SAY_WAIT_MAX, bounded};
use crate::protocol::{NewEvent, UserId};

/// How long `wait=acked` waits unless told.
const WAIT_MS: u64 = 5_000;

/// Names a publish so that its repetition is recognised.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How a publish is answered. Texts, so that a bad one can be named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    wait: Option<String>,
    timeout_ms: Option<String>,
}

impl WaitQuery {
    fn read(request: &HttpRequest, wait_ms_max: u64) -> Result<Wait, ApiError> {
        let query: Self = parameters::query(request)?;
        let timeout_ms = match &query.timeout_ms {
            Some(text) => parameters::number("timeout_ms", text, 1..=wait_ms_max)?,
            None => WAIT_MS.min(wait_ms_max),
        };
        match query.wait.as_deref() {
            Some("acked") => Ok(Wait::Acked(Duration::from_millis(timeout_ms))),
            Some("durable") | None => Ok(Wait::Durable),
            Some(_) => Err(ApiError::field("wait must be \"acked\" or \"durable\"")),
        }
    }
}

/// Publishes one event to one user. Answered once the event is durable.
#[utoipa::path(
    post,
    path = "/api/v1/users/{user}/events",
    tag = "publish",
    params(
        ("user" = String, Path, description = "Whose devices get it"),
        ("wait" = Option<String>, Query, description = "`acked`: answer when every live session acked; `durable`: as without it"),
        ("timeout_ms" = Option<u64>, Query, description = "How long to wait for acks: 1 to `publish.wait_ms_max`; 5000"),
        ("Idempotency-Key" = Option<String>, Header, description = "Recognises a repetition, in place of `event_id`"),
    ),
    request_body(content = EventBody, example = json!({"type": "added", "data": {"id": "photo-1"}})),
    responses(
        (status = 201, description = "Durable", body = ReceiptBody),
        (status = 200, description = "Published before; the first answer", body = ReceiptBody),
        (status = 409, description = "`conflict`: the name or key was used for another event",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["publish"]))
)]
pub(super) async fn publish(
    Publisher(caller): Publisher,
    state: ThinData<HttpState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let user = parameters::user(&request)?;
    let wait = WaitQuery::read(&request, state.config().publish.wait_ms_max)?;
    let started = clock::now();
    let json = body::read(&request, payload, &state).await?;
    let event = one_event(&json, &request)?;
    authorize(&state, &caller, Some(&user), &event).await?;
    let receipt = state.publisher().publish(user, event, wait).await?;
    match wait {
        Wait::Durable => state.metrics().publish_answered(clock::now() - started),
        // The time until the acks says nothing of the store.
        Wait::Acked(_) => {}
    }
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(HttpResponse::build(status).json(ReceiptBody::new(receipt)))
}

/// The one event of a body that names no user, with its `Idempotency-Key`.
pub(super) fn one_event(json: &[u8], request: &HttpRequest) -> Result<NewEvent, ApiError> {
    let key = request.headers().get(IDEMPOTENCY_KEY);
    let key = key.map(|value| idempotency_key(value.as_bytes())).transpose()?;
    let body = EventBody::parse(json, Addressing::ByPath)?;
    let (_, mut event) = body.into_event()?;
    // An event's own name says more than a key.
    event.idempotency_key = key.filter(|_| event.id.is_none());
    Ok(event)
}

/// Whether the token's accounts and the host allow this event; `user` is none for a broadcast.
pub(super) async fn authorize(
    state: &HttpState,
    caller: &Caller,
    user: Option<&UserId>,
    event: &NewEvent,
) -> Result<(), ApiError> {
    let accounts = match caller {
        Caller::User(identity) => identity.accounts.as_deref(),
        Caller::ApiKey(_) => None,
    };
    if !lists(accounts, event.account.as_deref()) {
        return Err(ApiError::new(Code::Forbidden, "the token does not list this account"));
    }
    let asking = async { state.authorize().publish(caller, user, event).await };
    match bounded("the host's say in who may publish", SAY_WAIT_MAX, asking).await {
        Some(true) => Ok(()),
        Some(false) => Err(PublishError::Forbidden.into()),
        None => Err(PublishError::Unavailable.into()),
    }
}
