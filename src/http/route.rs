//! Where a user is at home: for load balancers and clients that want to save a hop.

use actix_web::web::ThinData;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::callers::Publisher;
use super::error::{ApiError, Code, Problem};
use super::{HttpState, parameters};
use crate::protocol::UserId;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteQuery {
    user: String,
}

/// Where a user is at home.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RouteBody {
    #[schema(value_type = String)]
    user: UserId,
    /// The user's slot: 0 to 255.
    slot: u8,
    /// How often the slot changed hands.
    epoch: i64,
    /// The name of the node that has the slot; null while it changes hands, and where there is one
    /// node only.
    node: Option<String>,
    /// That node's `cluster.advertise`.
    url: Option<String>,
    /// Whether it is the node that answers.
    here: bool,
}

/// Says where a user is at home. Any node takes any request; the home needs no hop.
#[utoipa::path(
    get,
    path = "/api/v1/route",
    tag = "operations",
    params(("user" = String, Query, description = "Who")),
    responses(
        (status = 200, description = "The home", body = RouteBody),
        (status = 422, description = "`invalid_field`: that is nobody's name",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["publish"]))
)]
pub(super) async fn route(
    _: Publisher,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query: RouteQuery = parameters::query(&request)?;
    let user = UserId::new(&query.user)
        .map_err(|error| ApiError::new(Code::InvalidField, format!("user {error}")))?;
    let Some(cluster) = state.cluster() else {
        let slot = user.slot().0;
        let body = RouteBody { user, slot, epoch: 0, node: None, url: None, here: true };
        return Ok(HttpResponse::Ok().json(body));
    };
    let route = cluster.route(&user);
    let here = route.node.as_ref().is_some_and(|node| node.is_here);
    let (node, url) = route.node.map(|node| (node.name, node.advertise)).unzip();
    let url = url.flatten();
    let body = RouteBody { user, slot: route.slot.0, epoch: route.epoch.0, node, url, here };
    Ok(HttpResponse::Ok().json(body))
}
