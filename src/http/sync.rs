//! Catching up: a user's own log, a page at a time.

use actix_web::web::{Query, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::HttpState;
use super::callers::User;
use super::error::{ApiError, Code, Problem};
use crate::clock;
use crate::dialect::DialectKind;
use crate::persistence::messages::{ReadPage, StoreError};
use crate::protocol::Seq;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A page stops after the event that passes this many bytes.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncQuery {
    cursor: Option<i64>,
    limit: Option<usize>,
}

/// A page of a user's log.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written by hand, event by event")]
pub(super) struct SyncPage {
    /// The events, rising, as `/ws` spells them.
    events: Vec<Object>,
    /// Where the next page starts.
    cursor: i64,
    /// Whether there is a next page now.
    more: bool,
}

/// Stands for any JSON object.
type Object = serde_json::Value;

/// Reads what comes after a cursor. Expired events are left out.
#[utoipa::path(
    get,
    path = "/api/v1/sync",
    tag = "sync",
    params(
        ("cursor" = Option<i64>, Query, description = "The last seq the client has; 0"),
        ("limit" = Option<u32>, Query, description = "Events per page, 1 to 1000; 100"),
    ),
    responses(
        (status = 200, description = "A page", body = SyncPage),
        (status = 410, description = "The log no longer reaches back: do a full sync", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "No page", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn sync(
    User(identity): User,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = Query::<SyncQuery>::from_query(request.query_string())
        .map_err(|error| ApiError::field(error.to_string()))?;
    let cursor = query.cursor.unwrap_or(0);
    let limit = query.limit.unwrap_or(LIMIT);
    if cursor < 0 {
        return Err(ApiError::field("cursor must be at least 0"));
    }
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::field(format!("limit must be 1 to {LIMIT_MAX}")));
    }
    let (reply, answer) = oneshot::channel();
    let read = ReadPage {
        user: identity.user,
        after: Seq(cursor),
        now: clock::wall(),
        events_max: limit,
        bytes_max: PAGE_BYTES_MAX,
        reply,
    };
    state.persistence().read_page.send(read).await.map_err(|_| StoreError::Closed)?;
    let page = answer.await.map_err(|_| StoreError::Closed)??;
    if Seq(cursor) < page.pruned {
        let detail = format!("the log starts after {}", page.pruned);
        return Err(ApiError::new(Code::CursorExpired, detail));
    }
    let spell = |event| DialectKind::Native.dialect().encode_event(event);
    let events: Vec<_> = page.events.iter().map(spell).collect();
    let body = format!(
        "{{\"events\":[{}],\"cursor\":{},\"more\":{}}}",
        events.join(","),
        page.cursor,
        page.more
    );
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}
