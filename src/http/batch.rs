//! Publishing many events in one durable group; one refusal holds nobody up.

use actix_web::web::{Payload, ThinData};
use actix_web::{HttpRequest, HttpResponse};

use super::bodies::BatchResult;
use super::callers::{Publisher, charge};
use super::error::{ApiError, Code};
use super::event_body::EventBody;
use super::events::{IDEMPOTENCY_KEY, authorize};
use super::openapi::BatchEvent;
use super::parameters::{self, NoQuery};
use super::{HttpState, body};
use crate::auth::Caller;
use crate::clock;
use crate::delivery::messages::PublishError;
use crate::protocol::{NewEvent, UserId};

/// Publishes up to a thousand events, for any users. Answered, in order, once all are durable
/// or refused. When none could be taken for now, the whole call is answered 503: try again, with
/// the same `event_id`s.
#[utoipa::path(
    post,
    path = "/api/v1/events",
    tag = "publish",
    request_body(content = Vec<BatchEvent>,
        example = json!([{"user": "alice", "type": "added", "data": {"id": "photo-1"}}])),
    responses((status = 200, description = "One result per event", body = Vec<BatchResult>)),
    security(("bearer" = ["publish"]))
)]
pub(super) async fn publish_batch(
    Publisher(caller): Publisher,
    state: ThinData<HttpState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let started = clock::now();
    parameters::query::<NoQuery>(&request)?;
    if request.headers().contains_key(IDEMPOTENCY_KEY) {
        return Err(ApiError::field("Idempotency-Key is for one event: give each its event_id"));
    }
    let json = body::read(&request, payload, &state).await?;
    let bodies = EventBody::parse_batch(&json, state.config().publish.batch_events_max)?;
    charge(&state, &caller, bodies.len());
    let mut results = Vec::with_capacity(bodies.len());
    let mut events = Vec::with_capacity(bodies.len());
    for body in bodies {
        match admit(body, &caller, &state).await {
            Ok(event) => {
                events.push(event);
                results.push(None);
            }
            Err(error) => results.push(Some(BatchResult::from(error))),
        }
    }
    let mut published = state.publisher().publish_many(events).await.into_iter();
    let took = clock::now() - started;
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
    if results.iter().any(|result| matches!(result, BatchResult::Taken(_))) {
        state.metrics().publish_answered(took);
    }
    match none_for_now(&results) {
        Some(code) => Err(ApiError::new(code, "none of the events could be taken for now")),
        None => Ok(HttpResponse::Ok().json(results)),
    }
}

async fn admit(
    body: Result<EventBody<'_>, ApiError>,
    caller: &Caller,
    state: &HttpState,
) -> Result<(UserId, NewEvent), ApiError> {
    let (user, event) = body?.into_event()?;
    let user = user.ok_or_else(|| ApiError::field("missing field `user`"))?;
    authorize(state, caller, Some(&user), &event).await?;
    Ok((user, event))
}

/// The first event's code, when every event of a batch may be tried again.
fn none_for_now(results: &[BatchResult]) -> Option<Code> {
    let codes = results.iter().map(|result| match result {
        BatchResult::Taken(_) => None,
        BatchResult::Refused { code, .. } => code.status().is_server_error().then_some(*code),
    });
    codes.collect::<Option<Vec<_>>>()?.first().copied()
}
