//! A user's sessions, for administrators: listing, revoking, ordering full syncs, and how
//! connections ended.

use actix_web::web::ThinData;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::ask::{ask, away};
use super::callers::Administrator;
use super::error::{ApiError, Code, Problem};
use super::parameters::{self, NoQuery};
use crate::delivery::messages::{
    CloseRecord, FullSyncOrder, ListCloses, ListSessions, OrderFullSync, Revoke, Revoked,
    SessionStatus,
};
use crate::protocol::{OfflinePolicy, Seq, SessionId, Timestamp};

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionBody {
    /// Its name; null for a plain connection.
    #[schema(value_type = Option<String>)]
    session_id: Option<SessionId>,
    /// Its live connection; null when it is away.
    connection: Option<ConnectionBody>,
    /// What becomes of events while it is away; null for a plain connection.
    #[schema(value_type = Option<String>)]
    offline: Option<OfflinePolicy>,
    /// Whether its next `auth_ok` says so.
    need_full_sync: bool,
    /// Everything at or below is settled.
    #[schema(value_type = i64)]
    cursor: Seq,
    /// How many events it is owed.
    pending: u64,
    /// How many of those are in flight.
    in_flight: usize,
    /// When it was first seen, in Unix milliseconds.
    #[schema(value_type = i64)]
    created_at: Timestamp,
    /// When it last acked, in Unix milliseconds.
    #[schema(value_type = Option<i64>)]
    last_ack_at: Option<Timestamp>,
}

/// A live connection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConnectionBody {
    /// Its name in logs.
    id: String,
    /// How it spells.
    dialect: &'static str,
}

impl From<SessionStatus> for SessionBody {
    fn from(status: SessionStatus) -> Self {
        Self {
            session_id: status.session,
            connection: status.connection.map(|(id, dialect)| ConnectionBody {
                id: id.to_string(),
                dialect: dialect.name(),
            }),
            offline: status.policy,
            need_full_sync: status.need_full_sync,
            cursor: status.floor,
            pending: status.pending,
            in_flight: status.in_flight,
            created_at: status.created_at,
            last_ack_at: status.acked_at,
        }
    }
}

/// Lists a user's sessions and plain connections.
#[utoipa::path(
    get,
    path = "/api/v1/users/{user}/sessions",
    tag = "sessions",
    params(("user" = String, Path, description = "Whose")),
    responses(
        (status = 200, description = "The sessions, oldest first", body = Vec<SessionBody>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn list(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let user = parameters::user(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let port = &state.deliveries().of(&user).list_sessions;
    let sessions = ask(port, |reply| ListSessions { user: user.clone(), reply }).await?;
    let sessions: Vec<SessionBody> =
        sessions.ok_or_else(away)?.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(sessions))
}

/// Closes a session's connection (4403) and forgets the session.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{user}/sessions/{session}",
    tag = "sessions",
    params(
        ("user" = String, Path, description = "Whose"),
        ("session" = String, Path, description = "Which"),
    ),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "`not_found`: the user has no such session",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn revoke(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let user = parameters::user(&request)?;
    let session = parameters::session(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let port = &state.deliveries().of(&user).revoke;
    match ask(port, |reply| Revoke { user: user.clone(), session, reply }).await? {
        Revoked::Forgotten => Ok(HttpResponse::NoContent().finish()),
        Revoked::Unknown => Err(ApiError::new(Code::NotFound, "the user has no such session")),
        Revoked::Unavailable => Err(away()),
    }
}

/// Makes a session do a full sync: what it is owed is dropped, a live connection is closed (1001),
/// and its next `auth_ok` says `need_full_sync`.
#[utoipa::path(
    post,
    path = "/api/v1/users/{user}/sessions/{session}/full-sync",
    tag = "sessions",
    params(
        ("user" = String, Path, description = "Whose"),
        ("session" = String, Path, description = "Which"),
    ),
    responses(
        (status = 204, description = "Its next `auth_ok` says so"),
        (status = 404, description = "`not_found`: the user has no such session",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn order_full_sync(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let user = parameters::user(&request)?;
    let session = parameters::session(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let port = &state.deliveries().of(&user).watch.full_sync;
    match ask(port, |reply| OrderFullSync { user: user.clone(), session, reply }).await? {
        FullSyncOrder::Taken => Ok(HttpResponse::NoContent().finish()),
        FullSyncOrder::Unknown => {
            Err(ApiError::new(Code::NotFound, "the user has no such session"))
        }
        FullSyncOrder::Unavailable => Err(away()),
    }
}

/// The end of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CloseBody {
    /// When, in Unix milliseconds.
    #[schema(value_type = i64)]
    at: Timestamp,
    /// Whose connection it was; null for a plain connection.
    #[schema(value_type = Option<String>)]
    session_id: Option<SessionId>,
    /// The close code; null when the client left or its connection broke.
    code: Option<u16>,
    /// What the code means.
    reason: &'static str,
}

impl From<CloseRecord> for CloseBody {
    fn from(record: CloseRecord) -> Self {
        Self {
            at: record.at,
            session_id: record.session,
            code: record.code.map(|code| code.code()),
            reason: record.code.map_or("the client went away", |code| code.reason()),
        }
    }
}

/// Lists how a user's last connections ended, as far as this process remembers.
#[utoipa::path(
    get,
    path = "/api/v1/users/{user}/closes",
    tag = "sessions",
    params(("user" = String, Path, description = "Whose")),
    responses((status = 200, description = "The last 20, latest first", body = Vec<CloseBody>)),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn closes(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let user = parameters::user(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let port = &state.deliveries().of(&user).watch.closes;
    let closes = ask(port, |reply| ListCloses { user: user.clone(), reply }).await?;
    let closes: Vec<CloseBody> = closes.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(closes))
}
