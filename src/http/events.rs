//! Publishing: one event, a batch, or one for everyone.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Path, Query, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::bodies::{BatchResult, EventBody, ReceiptBody, idempotency_key, user_id};
use super::callers::Publisher;
use super::error::{ApiError, Code, Problem};
use super::{HttpState, body};
use crate::auth::Caller;
use crate::clock;
use crate::delivery::Wait;
use crate::delivery::messages::PublishError;
use crate::protocol::{EventId, NewEvent, UserId};

/// How long `wait=acked` waits unless told.
const WAIT_MS: u64 = 5_000;

/// How a publish is answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitQuery {
    wait: Option<WaitFor>,
    timeout_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaitFor {
    Durable,
    Acked,
}

impl WaitQuery {
    fn parse(request: &HttpRequest, wait_ms_max: u64) -> Result<Wait, ApiError> {
        let query = Query::<Self>::from_query(request.query_string())
            .map_err(|error| ApiError::field(error.to_string()))?;
        let timeout_ms = query.timeout_ms.unwrap_or(WAIT_MS.min(wait_ms_max));
        if !(1..=wait_ms_max).contains(&timeout_ms) {
            return Err(ApiError::field(format!("timeout_ms must be 1 to {wait_ms_max}")));
        }
        Ok(match query.wait {
            Some(WaitFor::Acked) => Wait::Acked(Duration::from_millis(timeout_ms)),
            Some(WaitFor::Durable) | None => Wait::Durable,
        })
    }
}

/// Publishes one event to one user. Answered once the event is durable.
#[utoipa::path(
    post,
    path = "/api/v1/users/{user}/events",
    tag = "publish",
    params(
        ("user" = String, Path, description = "Whose devices get it"),
        ("wait" = Option<String>, Query, description = "`acked`: answer when every live session acked"),
        ("timeout_ms" = Option<u64>, Query, description = "How long to wait for acks; 5000"),
        ("Idempotency-Key" = Option<String>, Header, description = "Recognises a repetition, in place of `event_id`"),
    ),
    request_body(content = EventBody, example = json!({"type": "added", "data": {"id": "photo-1"}})),
    responses(
        (status = 201, description = "Durable", body = ReceiptBody),
        (status = 200, description = "Published before; the first answer", body = ReceiptBody),
        (status = "default", description = "Not taken", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn publish(
    Publisher(caller): Publisher,
    state: ThinData<HttpState>,
    user: Path<String>,
    request: HttpRequest,
    bytes: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let started = clock::now();
    let user = user_id(&user)?;
    let wait = WaitQuery::parse(&request, state.config().publish.wait_ms_max)?;
    let bytes = body(bytes)?;
    let event = EventBody::parse(&bytes)?.for_path(key(&request)?)?;
    authorize(&state, &caller, Some(&user), &event).await?;
    let receipt = state.publisher().publish(user, event, wait).await?;
    state.metrics().publish_answered(clock::now() - started);
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(HttpResponse::build(status).json(ReceiptBody::new(receipt)))
}

/// Publishes up to a thousand events, for any users. Answered, in order, once all are durable
/// or refused.
#[utoipa::path(
    post,
    path = "/api/v1/events",
    tag = "publish",
    request_body(content = Vec<EventBody>, example = json!([{"user": "alice", "type": "added", "data": {"id": "photo-1"}}])),
    responses(
        (status = 200, description = "One result per event", body = Vec<BatchResult>),
        (status = "default", description = "Nothing was taken", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn publish_batch(
    Publisher(caller): Publisher,
    state: ThinData<HttpState>,
    bytes: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let started = clock::now();
    let bytes = body(bytes)?;
    let items: Vec<&RawValue> =
        serde_json::from_slice(&bytes).map_err(|error| ApiError::json(&error))?;
    let events_max = state.config().publish.batch_events_max;
    if items.len() > events_max {
        let detail = format!("{} events, at most {events_max} are taken", items.len());
        return Err(ApiError::new(Code::BatchTooLarge, detail));
    }
    let mut results: Vec<Option<BatchResult>> = Vec::with_capacity(items.len());
    let mut events = Vec::with_capacity(items.len());
    for item in items {
        let parsed = EventBody::parse(item.get().as_bytes()).and_then(EventBody::for_batch);
        match allowed(&state, &caller, parsed).await {
            Ok(event) => {
                events.push(event);
                results.push(None);
            }
            Err(error) => results.push(Some(error.into())),
        }
    }
    let mut published = state.publisher().publish_many(events).await.into_iter();
    state.metrics().publish_answered(clock::now() - started);
    let results: Vec<BatchResult> = results
        .into_iter()
        .map(|refused| match refused {
            Some(refused) => refused,
            None => match published.next().unwrap_or(Err(PublishError::Unavailable)) {
                Ok(receipt) => receipt.into(),
                Err(error) => ApiError::from(error).into(),
            },
        })
        .collect();
    Ok(HttpResponse::Ok().json(results))
}

async fn allowed(
    state: &HttpState,
    caller: &Caller,
    parsed: Result<(UserId, NewEvent), ApiError>,
) -> Result<(UserId, NewEvent), ApiError> {
    let (user, event) = parsed?;
    authorize(state, caller, Some(&user), &event).await?;
    Ok((user, event))
}

/// What the publisher of a broadcast is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BroadcastBody {
    /// The event's name, the same in every user's log.
    #[schema(value_type = uuid::Uuid)]
    event_id: EventId,
    /// How many users it is for.
    users: u64,
    /// Present and true when it was published before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

/// Publishes one event to every user that has a session. Durable when answered; the users' logs
/// get it soon after.
#[utoipa::path(
    post,
    path = "/api/v1/broadcast",
    tag = "publish",
    request_body(content = EventBody, example = json!({"type": "on_new_release", "data": {"version": "2.0"}})),
    responses(
        (status = 202, description = "Durable", body = BroadcastBody),
        (status = "default", description = "Not taken", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn broadcast(
    Publisher(caller): Publisher,
    state: ThinData<HttpState>,
    request: HttpRequest,
    bytes: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let bytes = body(bytes)?;
    let event = EventBody::parse(&bytes)?.for_path(key(&request)?)?;
    authorize(&state, &caller, None, &event).await?;
    let receipt = state.publisher().broadcast(event).await?;
    Ok(HttpResponse::Accepted().json(BroadcastBody {
        event_id: receipt.event_id,
        users: receipt.users,
        duplicate: receipt.duplicate,
    }))
}

fn key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let header = request.headers().get("idempotency-key");
    header.map(|value| idempotency_key(value.as_bytes())).transpose()
}

async fn authorize(
    state: &HttpState,
    caller: &Caller,
    user: Option<&UserId>,
    event: &NewEvent,
) -> Result<(), ApiError> {
    if state.authorize().publish(caller, user, event).await {
        return Ok(());
    }
    Err(PublishError::Forbidden.into())
}
