//! Publishing one event to everyone.

use actix_web::web::{Payload, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::callers::Publisher;
use super::error::{ApiError, Problem};
use super::event_body::EventBody;
use super::events::{authorize, one_event};
use super::parameters::{self, NoQuery};
use super::{HttpState, body};
use crate::protocol::EventId;

/// What the publisher of a broadcast is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"event_id": "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10", "users": 1204}))]
pub(super) struct BroadcastBody {
    /// The event's name, the same in every user's log.
    #[schema(value_type = uuid::Uuid)]
    event_id: EventId,
    /// How many users it is for.
    users: u64,
    /// Present and true when it was published before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    duplicate: bool,
}

/// Publishes one event to every user that has a session. Durable when answered; the users' logs
/// get it soon after.
#[utoipa::path(
    post,
    path = "/api/v1/broadcast",
    tag = "publish",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "Recognises a repetition, in place of `event_id`"),
    ),
    request_body(content = EventBody,
        example = json!({"type": "maintenance", "data": {"at": "02:00"}})),
    responses(
        (status = 202, description = "Durable", body = BroadcastBody),
        (status = 409, description = "`conflict`: the name or key was used for another event",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["publish"]))
)]
pub(super) async fn broadcast(
    Publisher(caller): Publisher,
    state: ThinData<HttpState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    parameters::query::<NoQuery>(&request)?;
    let json = body::read(&request, payload, &state).await?;
    let event = one_event(&json, &request)?;
    authorize(&state, &caller, None, &event).await?;
    let receipt = state.publisher().broadcast(event).await?;
    Ok(HttpResponse::Accepted().json(BroadcastBody {
        event_id: receipt.event_id,
        users: receipt.users,
        duplicate: receipt.duplicate,
    }))
}
