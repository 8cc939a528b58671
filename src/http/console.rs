//! Tickets for the console, for administrators.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::ThinData;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::callers::Administrator;
use super::error::{ApiError, Code, Problem};
use super::parameters::{self, NoQuery};
use crate::auth::CONSOLE_USER;
use crate::clock;
use crate::protocol::Timestamp;

/// A ticket: a token for `/ws` that hears `console_stats` and may do nothing else.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TicketBody {
    /// Whom it speaks for.
    user: &'static str,
    /// The token.
    token: String,
    /// Until when it is good, in Unix milliseconds.
    #[schema(value_type = i64)]
    expires_at: Timestamp,
}

/// Gives an administrator's console a token for `/ws`.
#[utoipa::path(
    post,
    path = "/api/v1/console/ticket",
    tag = "operations",
    responses(
        (status = 200, description = "The ticket", body = TicketBody),
        (status = 404, description = "`not_found`: the console is switched off",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn ticket(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    parameters::query::<NoQuery>(&request)?;
    let config = state.config();
    if !config.has_console() {
        return Err(ApiError::new(Code::NotFound, "the console is switched off"));
    }
    let ticket = state.tickets().issue(clock::wall());
    let (token, expires_at) =
        ticket.ok_or_else(|| ApiError::new(Code::Unavailable, "no random bytes to be had"))?;
    let body = TicketBody { user: CONSOLE_USER, token, expires_at };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(body))
}
