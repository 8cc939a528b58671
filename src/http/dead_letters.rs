//! Posts to webhooks that were given up, for administrators: listing, sending again, forgetting.

use actix_web::web::ThinData;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::HttpState;
use super::ask::ask;
use super::callers::Administrator;
use super::error::{ApiError, Code, Problem};
use super::parameters::{self, NoQuery};
use crate::persistence::messages::{DeadLetter, DeleteDeadLetter, FindDeadLetter, ListDeadLetters};
use crate::protocol::Timestamp;
use crate::webhooks::Replayed;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A page stops after the letter that passes this many bytes.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

/// A post that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetterBody {
    /// The post's name, the same in every attempt.
    id: Uuid,
    /// Which webhook it was for: `commands` or `events`.
    target: String,
    /// What it is about: `command` or `events`.
    kind: String,
    /// What was posted.
    #[schema(value_type = serde_json::Value)]
    body: Box<RawValue>,
    /// How often it was tried; 0 for one that found the queue full.
    attempts: u32,
    /// Why the last attempt failed.
    last_error: String,
    /// When it was to be posted first, in Unix milliseconds.
    #[schema(value_type = i64)]
    created_at: Timestamp,
    /// When it was last given up, in Unix milliseconds.
    #[schema(value_type = i64)]
    failed_at: Timestamp,
}

impl From<DeadLetter> for DeadLetterBody {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            target: letter.target,
            kind: letter.kind,
            // Only for a row that something else wrote.
            body: RawValue::from_string(letter.body).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            attempts: letter.attempts,
            last_error: letter.last_error,
            created_at: letter.created_at,
            failed_at: letter.failed_at,
        }
    }
}

/// A page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetterPageBody {
    /// The letters, oldest first.
    dead_letters: Vec<DeadLetterBody>,
    /// Where the next page starts; null for an empty page.
    cursor: Option<Uuid>,
    /// Whether there is a next page now.
    more: bool,
}

/// What came of sending a dead letter again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10", "outcome": "taken",
    "status": 200}))]
pub(super) struct ReplayBody {
    /// Which.
    id: Uuid,
    /// What came of it.
    outcome: ReplayOutcome,
    /// The receiver's status, if it took the post.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What came of sending a dead letter again.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReplayOutcome {
    /// The receiver took it: it is no dead letter any more.
    Taken,
    /// It did not: it stays a dead letter.
    Failed,
}

/// Lists posts to webhooks that were given up.
#[utoipa::path(
    get,
    path = "/api/v1/dead-letters",
    operation_id = "list_dead_letters",
    tag = "webhooks",
    params(
        ("cursor" = Option<Uuid>, Query, description = "The `cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Letters per page, 1 to 1000; 100"),
    ),
    responses((status = 200, description = "A page", body = DeadLetterPageBody)),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn list(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query: ListQuery = parameters::query(&request)?;
    let after = match &query.cursor {
        Some(text) => {
            Some(Uuid::parse_str(text).map_err(|_| ApiError::field("cursor must be a UUID"))?)
        }
        None => None,
    };
    let letters_max = match &query.limit {
        Some(text) => parameters::number("limit", text, 1..=LIMIT_MAX)?,
        None => LIMIT,
    };
    let page = ask(&state.persistence().dead_letters.list, |reply| ListDeadLetters {
        after,
        letters_max,
        bytes_max: PAGE_BYTES_MAX,
        reply,
    })
    .await??;
    let cursor = page.letters.last().map(|letter| letter.id);
    let dead_letters = page.letters.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(DeadLetterPageBody { dead_letters, cursor, more: page.more }))
}

/// Sends a dead letter again, once, and waits for what comes of it. A receiver that took it
/// before recognises it by its `Staffetta-Id`.
#[utoipa::path(
    post,
    path = "/api/v1/dead-letters/{id}/replay",
    operation_id = "replay_dead_letter",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "Which")),
    responses(
        (status = 200, description = "What came of it", body = ReplayBody),
        (status = 404, description = "`not_found`: there is no such dead letter",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn replay(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = parameters::dead_letter(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let find = |reply| FindDeadLetter { id, reply };
    let found = ask(&state.persistence().dead_letters.find, find).await??;
    let letter = found.ok_or_else(nowhere)?;
    let (outcome, status, error) = match state.webhooks().replay(letter).await {
        Replayed::Taken(status) => (ReplayOutcome::Taken, Some(status), None),
        Replayed::Failed(error) => (ReplayOutcome::Failed, None, Some(error)),
        Replayed::Overloaded => {
            return Err(ApiError::new(Code::Overloaded, "too many are being sent again"));
        }
        Replayed::Kept(error) => return Err(error.into()),
    };
    Ok(HttpResponse::Ok().json(ReplayBody { id, outcome, status, error }))
}

/// Forgets a dead letter.
#[utoipa::path(
    delete,
    path = "/api/v1/dead-letters/{id}",
    operation_id = "delete_dead_letter",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "Which")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "`not_found`: there is no such dead letter",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn delete(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = parameters::dead_letter(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let port = &state.persistence().dead_letters.delete;
    match ask(port, |reply| DeleteDeadLetter { id, reply }).await?? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(nowhere()),
    }
}

fn nowhere() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such dead letter")
}
