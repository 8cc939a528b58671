//! Catching up: a user's own log, a page at a time.

use actix_web::web::ThinData;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::ToSchema;

use super::ask::ask;
use super::callers::{User, lists};
use super::error::{ApiError, Code, Problem};
use super::{HttpState, parameters};
use crate::clock;
use crate::dialect::DialectKind;
use crate::persistence::messages::ReadPage;
use crate::protocol::{Event, Seq};

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A page stops after the event that passes this many bytes.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of a user's log.
#[derive(ToSchema)]
#[schema(example = json!({
    "events": [{
        "type": "added",
        "id": "photo-1",
        "event_id": "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10",
        "seq": 7,
    }],
    "cursor": 7,
    "more": false,
}))]
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

/// Reads what comes after a cursor. Expired events, and those of accounts the token does not
/// list, are left out. A cursor past the end is answered with an empty page and the same cursor.
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
        (status = 410,
            description = "`cursor_expired`: the log no longer reaches back: do a full sync",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn sync(
    User(identity): User,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query: SyncQuery = parameters::query(&request)?;
    let cursor = match &query.cursor {
        Some(text) => Seq(parameters::number("cursor", text, 0..=i64::MAX)?),
        None => Seq::ZERO,
    };
    let limit = match &query.limit {
        Some(text) => parameters::number("limit", text, 1..=LIMIT_MAX)?,
        None => LIMIT,
    };
    let page = ask(&state.persistence().read_page, |reply| ReadPage {
        user: identity.user,
        after: cursor,
        now: clock::wall(),
        events_max: limit,
        bytes_max: PAGE_BYTES_MAX,
        reply,
    })
    .await??;
    if cursor < page.pruned {
        let detail = format!("the log starts after {}", page.pruned);
        return Err(ApiError::new(Code::CursorExpired, detail));
    }
    let accounts = identity.accounts.as_deref();
    let is_listed = |event: &&Event| lists(accounts, event.content.account.as_deref());
    let spell = |event| DialectKind::Native.dialect().encode_event(event);
    let events: Vec<_> = page.events.iter().filter(is_listed).map(spell).collect();
    let body = format!(
        "{{\"events\":[{}],\"cursor\":{},\"more\":{}}}",
        events.join(","),
        page.cursor,
        page.more
    );
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}
