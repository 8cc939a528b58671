//! Sending every connection away, as SIGTERM does, without the end.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Json, ThinData};
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::callers::Administrator;
use super::error::ApiError;
use super::parameters::{self, NoQuery};

/// What came of a drain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DrainBody {
    /// How many connections were told to come back.
    connections: usize,
}

/// Tells every connection to come back, spread over `server.drain_ms`, and lets no new one in:
/// `/readyz` answers 503 from now on, until the hub is started anew. Publishing goes on.
#[utoipa::path(
    post,
    path = "/api/v1/drain",
    tag = "operations",
    responses((status = 200, description = "Everyone is told", body = DrainBody)),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn drain(
    _: Administrator,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<Json<DrainBody>, ApiError> {
    parameters::query::<NoQuery>(&request)?;
    log::info!("draining, as an administrator asked");
    let window = Duration::from_millis(state.config().server.drain_ms);
    let connections = state.drains().drain(window).await;
    log::info!("told {connections} connections to come back");
    Ok(Json(DrainBody { connections }))
}
