//! What became of one event: what is remembered of each delivery, and what the log and the
//! floors still tell.

use std::collections::HashSet;

use actix_web::web::ThinData;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::ask::ask;
use super::callers::Administrator;
use super::error::{ApiError, Code, Problem};
use super::parameters::{self, NoQuery};
use crate::delivery::messages::{DeliveryTrace, DropReason, TraceEvent};
use crate::persistence::messages::{FindEvent, StoredEvent};
use crate::protocol::{EventId, Seq, SessionId, SessionRecord, Timestamp, UserId};

/// Logs looked at for one event: a broadcast may be in many.
const USERS_MAX: usize = 1_000;

/// The trace of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TraceBody {
    #[schema(value_type = uuid::Uuid)]
    event_id: EventId,
    /// One entry per session concerned.
    deliveries: Vec<TraceEntry>,
}

/// What became of one delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TraceEntry {
    #[schema(value_type = String)]
    user: UserId,
    #[schema(value_type = Option<String>)]
    session_id: Option<SessionId>,
    #[schema(value_type = Option<i64>)]
    seq: Option<Seq>,
    /// Where it stands.
    state: TraceState,
    /// When it became owed.
    #[schema(value_type = i64)]
    queued: Timestamp,
    /// When it was sent, each time, as far as this process remembers.
    #[schema(value_type = Vec<i64>)]
    sent: Vec<Timestamp>,
    /// How often it was sent again.
    redeliveries: usize,
    /// When it was acked; null if it was not, or before this process remembers.
    #[schema(value_type = Option<i64>)]
    acked: Option<Timestamp>,
    /// Why it was dropped, if it was.
    #[schema(value_type = Option<String>)]
    dropped: Option<DropReason>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TraceState {
    /// Waiting in the log.
    Owed,
    /// Sent and not acked.
    InFlight,
    /// Settled by an ack.
    Acked,
    /// Settled before this process remembers: the session's floor is past it.
    Settled,
    /// Not to be delivered any more.
    Dropped,
    /// The session is to do a full sync, which covers it.
    FullSync,
}

impl From<DeliveryTrace> for TraceEntry {
    fn from(trace: DeliveryTrace) -> Self {
        let state = match (trace.acked_at, trace.dropped, trace.sent_at.is_empty()) {
            (Some(_), _, _) => TraceState::Acked,
            (None, Some(_), _) => TraceState::Dropped,
            (None, None, false) => TraceState::InFlight,
            (None, None, true) => TraceState::Owed,
        };
        Self {
            user: trace.user,
            session_id: trace.session,
            seq: trace.seq,
            state,
            queued: trace.queued_at,
            redeliveries: trace.sent_at.len().saturating_sub(1),
            sent: trace.sent_at,
            acked: trace.acked_at,
            dropped: trace.dropped,
        }
    }
}

impl TraceEntry {
    /// What the log and the floor of a session tell.
    fn stored(stored: &StoredEvent, session: &SessionRecord) -> Self {
        let seq = stored.event.seq;
        let state = match (session.need_full_sync, seq.is_some_and(|seq| session.floor >= seq)) {
            (true, _) => TraceState::FullSync,
            (false, true) => TraceState::Settled,
            (false, false) => TraceState::Owed,
        };
        Self {
            user: stored.user.clone(),
            session_id: Some(session.id.clone()),
            seq,
            state,
            queued: stored.event.content.published_at,
            sent: Vec::new(),
            redeliveries: 0,
            acked: None,
            dropped: None,
        }
    }
}

/// Tells what became of an event, per session.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event_id}/trace",
    tag = "sessions",
    params(("event_id" = uuid::Uuid, Path, description = "Which")),
    responses(
        (status = 200, description = "What became of it", body = TraceBody),
        (status = 404, description = "`not_found`: no log holds it, nor is it remembered",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn trace(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let event = parameters::event(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let mut deliveries = remembered(&state, event).await?;
    let find = |reply| FindEvent { event, users_max: USERS_MAX, reply };
    let stored = ask(&state.persistence().find_event, find).await??;
    if deliveries.is_empty() && stored.is_empty() {
        return Err(ApiError::new(Code::NotFound, "no log holds this event"));
    }
    let known: HashSet<_> =
        deliveries.iter().map(|entry| (entry.user.clone(), entry.session_id.clone())).collect();
    for found in &stored {
        for session in &found.sessions {
            let is_known = known.contains(&(found.user.clone(), Some(session.id.clone())));
            let is_excluded = found.event.content.exclude_session.as_ref() == Some(&session.id);
            let is_older = session.created_at <= found.event.content.published_at;
            if !is_known && !is_excluded && is_older {
                deliveries.push(TraceEntry::stored(found, session));
            }
        }
    }
    Ok(HttpResponse::Ok().json(TraceBody { event_id: event, deliveries }))
}

/// What the delivery actors remember, or an error: a part of a trace would mislead.
async fn remembered(state: &HttpState, event: EventId) -> Result<Vec<TraceEntry>, ApiError> {
    let ports = state.deliveries().all().iter();
    let asked = ports.map(|port| ask(&port.trace, |reply| TraceEvent { event, reply }));
    let mut entries = Vec::new();
    for traces in join_all(asked).await {
        entries.extend(traces?.into_iter().map(TraceEntry::from));
    }
    Ok(entries)
}
