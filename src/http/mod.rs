//! The HTTP API: publishing, catching up, administration, health. One file per resource.
//!
//! Uses messages only, never an actor; [`error`] alone knows the statuses of errors.

mod bodies;
mod callers;
pub mod error;
mod events;
mod health;
mod openapi;
mod sessions;
mod sync;
mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::web::{self, Bytes, PayloadConfig, ServiceConfig, ThinData};

use self::error::{ApiError, Code};
use crate::auth::{Authorize, Callers};
use crate::config::Config;
use crate::delivery::Publisher;
use crate::delivery::messages::DeliveryPorts;
use crate::metrics::Metrics;
use crate::persistence::messages::PersistencePort;

/// What the API is made of.
pub struct Parts {
    /// The way in for events.
    pub publisher: Publisher,
    /// The delivery actors.
    pub deliveries: DeliveryPorts,
    /// The store.
    pub persistence: PersistencePort,
    /// Tells callers by what they present.
    pub callers: Callers,
    /// The host's say in who may publish.
    pub authorize: Arc<dyn Authorize>,
    /// The settings.
    pub config: Arc<Config>,
    /// Whether the hub is going away.
    pub draining: Arc<AtomicBool>,
    /// The counters.
    pub metrics: Metrics,
}

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub struct HttpState(Arc<Parts>);

impl HttpState {
    /// A state of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    fn deliveries(&self) -> &DeliveryPorts {
        &self.0.deliveries
    }

    fn persistence(&self) -> &PersistencePort {
        &self.0.persistence
    }

    fn callers(&self) -> &Callers {
        &self.0.callers
    }

    fn authorize(&self) -> &dyn Authorize {
        &*self.0.authorize
    }

    fn config(&self) -> &Config {
        &self.0.config
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }
}

/// Mounts the API, under whatever scope `services` is.
pub fn configure(state: &HttpState, services: &mut ServiceConfig) {
    let body_bytes_max = state.config().server.body_bytes_max;
    services
        .app_data(ThinData(state.clone()))
        .service(web::resource("/healthz").get(health::healthz))
        .service(web::resource("/readyz").get(health::readyz))
        .service(web::resource("/metrics").get(health::metrics))
        .service(
            web::scope("/api/v1")
                .app_data(PayloadConfig::new(body_bytes_max))
                .service(
                    web::resource("/users/{user}/events")
                        .post(events::publish)
                        .default_service(web::to(|| no_method("POST"))),
                )
                .service(
                    web::resource("/events")
                        .post(events::publish_batch)
                        .default_service(web::to(|| no_method("POST"))),
                )
                .service(
                    web::resource("/broadcast")
                        .post(events::broadcast)
                        .default_service(web::to(|| no_method("POST"))),
                )
                .service(
                    web::resource("/sync")
                        .get(sync::sync)
                        .default_service(web::to(|| no_method("GET"))),
                )
                .service(
                    web::resource("/users/{user}/sessions")
                        .get(sessions::list)
                        .default_service(web::to(|| no_method("GET"))),
                )
                .service(
                    web::resource("/users/{user}/sessions/{session}")
                        .delete(sessions::revoke)
                        .default_service(web::to(|| no_method("DELETE"))),
                )
                .service(
                    web::resource("/events/{event_id}/trace")
                        .get(trace::trace)
                        .default_service(web::to(|| no_method("GET"))),
                )
                .service(
                    web::resource("/openapi.json")
                        .get(openapi::document)
                        .default_service(web::to(|| no_method("GET"))),
                )
                .default_service(web::to(nothing_here)),
        );
}

async fn no_method(allow: &'static str) -> Result<&'static str, ApiError> {
    Err(ApiError::method(allow))
}

async fn nothing_here() -> Result<&'static str, ApiError> {
    Err(ApiError::new(Code::NotFound, "the API has nothing of this name"))
}

/// A request's body, or why it could not be read.
fn body(bytes: Result<Bytes, actix_web::Error>) -> Result<Bytes, ApiError> {
    bytes.map_err(|error| {
        let is_too_large = error.as_response_error().status_code() == 413;
        if is_too_large {
            ApiError::new(Code::TooLarge, "the body is larger than server.body_bytes_max")
        } else {
            ApiError::new(Code::InvalidJson, "the body could not be read")
        }
    })
}
