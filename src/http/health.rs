//! Whether the hub lives, whether it is ready, and what it counts.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::ThinData;
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::ask::ask_within;
use crate::cluster::{Cluster, Unready};
use crate::persistence::messages::CheckHealth;

/// A database that takes longer to answer is not ready.
const DATABASE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Whether the hub lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
}

/// Whether the hub is ready, and what stands in the way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ok` or `unavailable`.
    status: &'static str,
    checks: Checks,
}

/// Each check: `ok` or what is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checks {
    database: &'static str,
    draining: &'static str,
    /// `ended` where a thread that decides or stores is no more: only a new start brings it back.
    threads: &'static str,
    /// Where there are other nodes: its lease, the bus, its slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    cluster: Option<&'static str>,
}

/// Says that the process lives, and does not have to be started anew.
#[utoipa::path(get, path = "/healthz", tag = "operations",
    responses(
        (status = 200, description = "It lives", body = Health),
        (status = 503, description = "A part of it has ended for good: start it anew", body = Health),
    ))]
pub(super) async fn healthz(state: ThinData<HttpState>) -> HttpResponse {
    if is_whole(&state) {
        return HttpResponse::Ok().json(Health { status: "ok" });
    }
    HttpResponse::ServiceUnavailable().json(Health { status: "unavailable" })
}

/// Whether everything that decides and stores is still there: what ended by itself does not come back.
fn is_whole(state: &HttpState) -> bool {
    state.deliveries().are_served() && state.persistence().check_health.connected()
}

/// Says whether publishing and connecting would work now.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "They would", body = Readiness),
        (status = 503, description = "They would not", body = Readiness),
    ))]
pub(super) async fn readyz(state: ThinData<HttpState>) -> HttpResponse {
    let is_database_well = database_answers(&state).await;
    let is_draining = state.drains().has_begun();
    let is_whole = is_whole(&state);
    let standing = state.cluster().map(Cluster::standing);
    let checks = Checks {
        database: if is_database_well { "ok" } else { "unavailable" },
        draining: if is_draining { "draining" } else { "ok" },
        threads: if is_whole { "ok" } else { "ended" },
        cluster: standing.map(|standing| standing.err().map_or("ok", Unready::reason)),
    };
    let stands = standing.is_none_or(|standing| standing.is_ok());
    if is_database_well && !is_draining && is_whole && stands {
        return HttpResponse::Ok().json(Readiness { status: "ok", checks });
    }
    HttpResponse::ServiceUnavailable().json(Readiness { status: "unavailable", checks })
}

async fn database_answers(state: &HttpState) -> bool {
    let health = &state.persistence().check_health;
    match ask_within(DATABASE_WAIT_MAX, health, CheckHealth).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            log::warn!("not ready: {error}");
            false
        }
        Err(error) => {
            log::warn!("not ready: {error}");
            false
        }
    }
}

/// What the hub counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "OpenMetrics text", body = String)))]
pub(super) async fn metrics(state: ThinData<HttpState>) -> HttpResponse {
    if let Some(cluster) = state.cluster() {
        cluster.measure();
    }
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(state.metrics().text())
}
