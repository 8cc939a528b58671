//! Notes: reading them for a full sync, sharing them, publishing to whoever may see one.

pub(super) mod members;

use actix_web::http::StatusCode;
use actix_web::web::{Payload, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::callers::{Publisher, User};
use super::error::{ApiError, Code, Problem};
use super::event_body::EventBody;
use super::events::{authorize, one_event};
use super::parameters::{self, NoQuery};
use super::{HttpState, body};
use crate::delivery::messages::PublishError;
use crate::notebook::NotePublishError;
use crate::notes::{NoteCursor, NoteError, NoteQuery};
use crate::protocol::{EventId, NoteId, Seq, Timestamp, UserId};

/// Notes on a page unless told.
const LIMIT: usize = 100;

impl From<NoteError> for ApiError {
    fn from(error: NoteError) -> Self {
        let code = match &error {
            NoteError::NotFound => Code::NotFound,
            NoteError::NothingToChange | NoteError::TooManyMembers { .. } => Code::InvalidField,
            NoteError::TooLarge { .. } => Code::TooLarge,
            NoteError::Unavailable => Code::Unavailable,
            NoteError::Overloaded => Code::Overloaded,
        };
        Self::new(code, error.to_string())
    }
}

/// Which notes to list. Texts, so that a bad one can be named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    updated_since: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of notes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "notes": [{
        "id": "note-1",
        "userId": "alice",
        "title": "Milk",
        "createdAt": "2026-11-21T07:30:35.123Z",
        "updatedAt": "2026-11-21T07:31:00.000Z",
        "version": 2,
    }],
    "cursor": null,
    "more": false,
}))]
pub(super) struct NotesPage {
    /// The notes, by the time of their last change. With `updated_since`, deleted ones too: they
    /// have `deletedAt` and no fields.
    #[schema(value_type = Vec<Object>)]
    notes: Vec<Box<RawValue>>,
    /// Where the next page starts; null on the last one.
    cursor: Option<String>,
    /// Whether there is a next page now.
    more: bool,
}

/// Lists the caller's notes and those shared with them, for a full sync.
#[utoipa::path(
    get,
    path = "/api/v1/notes",
    tag = "notes",
    params(
        ("updated_since" = Option<i64>, Query,
            description = "Only what changed at or after this time, in Unix milliseconds"),
        ("cursor" = Option<String>, Query, description = "The `cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Notes per page; 100"),
    ),
    responses((status = 200, description = "A page", body = NotesPage)),
    security(("bearer" = []))
)]
pub(super) async fn list(
    User(identity): User,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query: ListQuery = parameters::query(&request)?;
    let updated_since = match &query.updated_since {
        Some(text) => Some(Timestamp(parameters::number("updated_since", text, 0..=i64::MAX)?)),
        None => None,
    };
    let limit_max = state.config().notes.page_limit_max;
    let limit = match &query.limit {
        Some(text) => parameters::number("limit", text, 1..=limit_max)?,
        None => LIMIT.min(limit_max),
    };
    let after = query.cursor.as_deref().map(cursor).transpose()?;
    let page = state
        .notebook()
        .list(NoteQuery { user: identity.user, updated_since, after, limit })
        .await?;
    let cursor = page.next.map(|next| format!("{}.{}", next.updated_at.0, next.id));
    Ok(HttpResponse::Ok().json(NotesPage {
        notes: page.notes.iter().map(|shared| shared.note.to_json()).collect(),
        more: cursor.is_some(),
        cursor,
    }))
}

pub(super) fn cursor(text: &str) -> Result<NoteCursor, ApiError> {
    let refuse = || ApiError::field("cursor must be the cursor of a page");
    let (updated_at, id) = text.split_once('.').ok_or_else(refuse)?;
    let updated_at = Timestamp(updated_at.parse().map_err(|_| refuse())?);
    Ok(NoteCursor { updated_at, id: NoteId::new(id).map_err(|_| refuse())? })
}

/// Reads one note that the caller may see.
#[utoipa::path(
    get,
    path = "/api/v1/notes/{note}",
    tag = "notes",
    params(("note" = String, Path, description = "Which")),
    responses(
        (status = 200, description = "The note", body = serde_json::Value),
        (status = 404, description = "`not_found`: no such note, or not the caller's",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn read(
    User(identity): User,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let note = parameters::note(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let shared = state.notebook().read(note, identity.user).await?;
    Ok(HttpResponse::Ok().json(shared.note.to_json()))
}

/// What the publisher to a note is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoteReceiptBody {
    /// The event's name, the same in every log.
    #[schema(value_type = uuid::Uuid)]
    event_id: EventId,
    /// Everyone who may see the note, the owner first.
    members: Vec<MemberReceiptBody>,
    /// Present and true when it was published before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    duplicate: bool,
}

/// The event in the log of one user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberReceiptBody {
    /// Who.
    #[schema(value_type = String)]
    user: UserId,
    /// Its place; null for an ephemeral event.
    #[schema(value_type = Option<i64>)]
    seq: Option<Seq>,
}

/// Publishes one event to everyone who may see a note. Answered once it is durable for all.
#[utoipa::path(
    post,
    path = "/api/v1/notes/{note}/events",
    tag = "notes",
    params(
        ("note" = String, Path, description = "Which"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "Recognises a repetition, in place of `event_id`"),
    ),
    request_body(content = EventBody, example = json!({"type": "note_locked"})),
    responses(
        (status = 201, description = "Durable", body = NoteReceiptBody),
        (status = 200, description = "Published before", body = NoteReceiptBody),
        (status = 404, description = "`not_found`: no such note",
            body = Problem, content_type = "application/problem+json"),
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
    let note = parameters::note(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let json = body::read(&request, payload, &state).await?;
    let event = one_event(&json, &request)?;
    let members = state.notebook().members(note.clone()).await?;
    for user in std::iter::once(&members.owner).chain(members.members.iter().map(|(user, _)| user))
    {
        authorize(&state, &caller, Some(user), &event).await?;
    }
    let results = match state.notebook().publish_to_members(note, event).await {
        Ok(results) => results,
        Err(NotePublishError::Note(error)) => return Err(error.into()),
        Err(NotePublishError::Publish(error)) => return Err(error.into()),
    };
    let mut members = Vec::with_capacity(results.len());
    let mut told = None;
    let mut duplicates = 0;
    for (user, result) in results {
        let receipt = result?;
        duplicates += usize::from(receipt.duplicate);
        members.push(MemberReceiptBody { user, seq: receipt.seq });
        told.get_or_insert(receipt.event_id);
    }
    let event_id = told.ok_or(PublishError::Unavailable)?;
    let duplicate = duplicates == members.len();
    let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(HttpResponse::build(status).json(NoteReceiptBody { event_id, members, duplicate }))
}
