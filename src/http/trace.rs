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
    /// When its publisher handed it in.
    #[schema(value_type = i64)]
    published: Timestamp,
    /// When it was durable; null if that was before this process remembers.
    #[schema(value_type = Option<i64>)]
    durable: Option<Timestamp>,
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
    /// All of that in order, as far as this process remembers.
    timeline: Vec<Step>,
}

/// One thing that happened to a delivery.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Step {
    /// When, in Unix milliseconds.
    #[schema(value_type = i64)]
    at: Timestamp,
    /// What.
    step: StepKind,
    /// Why it was dropped.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<DropReason>,
}

/// What may happen to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StepKind {
    /// Its event was handed in.
    Published,
    /// Its event was in the log.
    Durable,
    /// It was sent for the first time.
    Sent,
    /// It was sent again.
    Retried,
    /// The session acked it.
    Acked,
    /// It will not be delivered.
    Dropped,
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
        let timeline = timeline(&trace);
        Self {
            timeline,
            published: trace.published_at,
            durable: trace.durable_at,
            user: trace.user,
            session_id: trace.session,
            seq: trace.seq,
            state,
            queued: trace.queued_at,
            redeliveries: trace.sent_at.len().saturating_sub(1),
            sent: trace.sent_at,
            acked: trace.acked_at,
            dropped: trace.dropped.map(|(_, reason)| reason),
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
            published: stored.event.content.published_at,
            durable: None,
            queued: stored.event.content.published_at,
            sent: Vec::new(),
            redeliveries: 0,
            acked: None,
            dropped: None,
            timeline: vec![Step::new(stored.event.content.published_at, StepKind::Published)],
        }
    }
}

impl Step {
    fn new(at: Timestamp, step: StepKind) -> Self {
        Self { at, step, reason: None }
    }
}

/// Everything that is remembered of a delivery, in the order it happened.
fn timeline(trace: &DeliveryTrace) -> Vec<Step> {
    let mut steps = vec![Step::new(trace.published_at, StepKind::Published)];
    steps.extend(trace.durable_at.map(|at| Step::new(at, StepKind::Durable)));
    let kinds = std::iter::once(StepKind::Sent).chain(std::iter::repeat(StepKind::Retried));
    steps.extend(trace.sent_at.iter().zip(kinds).map(|(&at, kind)| Step::new(at, kind)));
    steps.extend(trace.acked_at.map(|at| Step::new(at, StepKind::Acked)));
    steps.extend(trace.dropped.map(|(at, reason)| Step {
        at,
        step: StepKind::Dropped,
        reason: Some(reason),
    }));
    steps
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
