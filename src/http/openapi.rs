//! The API described in OpenAPI, generated from the handlers.

use actix_web::HttpResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{bodies, error, events, health, sessions, sync, trace};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Staffetta",
        description = "Publish an event once; every device of its user applies and acknowledges it."
    ),
    paths(
        events::publish,
        events::publish_batch,
        events::broadcast,
        sync::sync,
        sessions::list,
        sessions::revoke,
        trace::trace,
        health::healthz,
        health::readyz,
        health::metrics,
    ),
    components(schemas(
        bodies::EventBody,
        bodies::ReceiptBody,
        bodies::BatchResult,
        error::Problem,
        error::Code,
    )),
    modifiers(&Bearer)
)]
pub(super) struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, or a token whose `scope` allows the call"))
            .build();
        api.components
            .get_or_insert_with(Default::default)
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The description itself.
pub(super) async fn document() -> HttpResponse {
    HttpResponse::Ok().json(Api::openapi())
}
