//! The HTTP API: publishing, catching up, administration, health. One file per resource.
//!
//! Uses messages only, never an actor; [`error`] alone knows the statuses of errors.

mod ask;
mod batch;
mod bodies;
mod body;
mod broadcast;
mod callers;
mod console;
mod dead_letters;
mod drain;
pub mod error;
mod event_body;
mod events;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod notes;
mod openapi;
mod parameters;
mod push;
mod requests;
mod route;
mod sessions;
mod sync;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE,
};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, ServiceConfig, ThinData};
use actix_web::{HttpResponse, Route, guard};

use self::error::{ApiError, Code};
pub use self::requests::request_id;
use crate::auth::{Authorize, Callers, Failures, Tickets, VapidKey};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::delivery::Publisher;
use crate::delivery::messages::DeliveryPorts;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::notebook::Notebook;
use crate::persistence::messages::PersistencePort;
use crate::registry::Drains;
use crate::webhooks::Webhooks;

/// What the API is made of.
pub struct Parts {
    /// The way in for events.
    pub publisher: Publisher,
    /// The delivery actors.
    pub deliveries: DeliveryPorts,
    /// Every note.
    pub notebook: Notebook,
    /// The store.
    pub persistence: PersistencePort,
    /// Tells callers by what they present.
    pub callers: Callers,
    /// Addresses whose credentials keep failing, here or at a socket.
    pub failures: Arc<Failures>,
    /// How often callers may publish.
    pub gate: Arc<Gate>,
    /// The host's say in who may publish.
    pub authorize: Arc<dyn Authorize>,
    /// The settings.
    pub config: Arc<Config>,
    /// How connections are sent away, and whether they are.
    pub drains: Drains,
    /// The counters.
    pub metrics: Metrics,
    /// The webhooks, which send dead letters again.
    pub webhooks: Webhooks,
    /// The other nodes, if there are any.
    pub cluster: Option<Cluster>,
    /// Where consoles get their tickets.
    pub tickets: Arc<Tickets>,
    /// The key of web push, if that is on.
    pub push: Option<Arc<VapidKey>>,
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

    fn notebook(&self) -> &Notebook {
        &self.0.notebook
    }

    fn persistence(&self) -> &PersistencePort {
        &self.0.persistence
    }

    fn callers(&self) -> &Callers {
        &self.0.callers
    }

    fn failures(&self) -> &Failures {
        &self.0.failures
    }

    fn gate(&self) -> &Gate {
        &self.0.gate
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

    fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    fn drains(&self) -> &Drains {
        &self.0.drains
    }

    fn push(&self) -> Option<&VapidKey> {
        self.0.push.as_deref()
    }

    fn cluster(&self) -> Option<&Cluster> {
        self.0.cluster.as_ref()
    }

    fn tickets(&self) -> &Tickets {
        &self.0.tickets
    }
}

/// Mounts the API, under whatever scope `services` is.
pub fn configure(state: &HttpState, services: &mut ServiceConfig) {
    services.app_data(ThinData(state.clone()));
    let mut api = web::scope(API).default_service(web::to(nothing_here));
    for mount in mounts() {
        let full_path = mount.path;
        match full_path.strip_prefix(API) {
            Some(path) => api = api.service(mount.resource(path)),
            None => {
                services.service(mount.resource(full_path));
            }
        }
    }
    services.service(api.wrap(DefaultHeaders::new().add((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))));
}

const API: &str = "/api/v1";

/// What a device asks, from a page of whatever origin: its token comes in a header, and never by
/// itself as a cookie would.
const FOR_PAGES: [&str; 7] = [
    "/api/v1/sync",
    "/api/v1/notes",
    "/api/v1/notes/{note}",
    "/api/v1/notes/{note}/members",
    "/api/v1/notes/{note}/members/{user}",
    "/api/v1/push/key",
    "/api/v1/sessions/{session}/push",
];

/// One path and what it takes.
struct Mount {
    path: &'static str,
    routes: Vec<(Method, Route)>,
}

/// Every path of the API; the description has the same ones.
fn mounts() -> Vec<Mount> {
    let at = |method, path, route| Mount { path, routes: vec![(method, route)] };
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    vec![
        at(post.clone(), "/api/v1/users/{user}/events", web::to(events::publish)),
        at(post.clone(), "/api/v1/events", web::to(batch::publish_batch)),
        at(post.clone(), "/api/v1/broadcast", web::to(broadcast::broadcast)),
        at(get.clone(), "/api/v1/sync", web::to(sync::sync)),
        at(get.clone(), "/api/v1/users/{user}/sessions", web::to(sessions::list)),
        at(delete.clone(), "/api/v1/users/{user}/sessions/{session}", web::to(sessions::revoke)),
        at(get.clone(), "/api/v1/users/{user}/closes", web::to(sessions::closes)),
        at(
            post.clone(),
            "/api/v1/users/{user}/sessions/{session}/full-sync",
            web::to(sessions::order_full_sync),
        ),
        at(post.clone(), "/api/v1/console/ticket", web::to(console::ticket)),
        at(get.clone(), "/api/v1/events/{event_id}/trace", web::to(trace::trace)),
        at(get.clone(), "/api/v1/notes", web::to(notes::list)),
        at(get.clone(), "/api/v1/notes/{note}", web::to(notes::read)),
        at(post.clone(), "/api/v1/notes/{note}/events", web::to(notes::publish)),
        Mount {
            path: "/api/v1/notes/{note}/members",
            routes: vec![
                (get.clone(), web::to(notes::members::list_members)),
                (post.clone(), web::to(notes::members::share)),
            ],
        },
        at(delete.clone(), "/api/v1/notes/{note}/members/{user}", web::to(notes::members::unshare)),
        at(get.clone(), "/api/v1/route", web::to(route::route)),
        at(get.clone(), "/api/v1/push/key", web::to(push::key)),
        Mount {
            path: "/api/v1/sessions/{session}/push",
            routes: vec![
                (post.clone(), web::to(push::register)),
                (delete.clone(), web::to(push::forget)),
            ],
        },
        at(get.clone(), "/api/v1/dead-letters", web::to(dead_letters::list)),
        at(delete, "/api/v1/dead-letters/{id}", web::to(dead_letters::delete)),
        at(post.clone(), "/api/v1/drain", web::to(drain::drain)),
        at(post, "/api/v1/dead-letters/{id}/replay", web::to(dead_letters::replay)),
        at(get.clone(), "/api/v1/openapi.json", web::to(openapi::document)),
        at(get.clone(), "/healthz", web::to(health::healthz)),
        at(get.clone(), "/readyz", web::to(health::readyz)),
        at(get, "/metrics", web::to(health::metrics)),
    ]
}

impl Mount {
    fn resource(self, path: &str) -> impl HttpServiceFactory + use<> {
        let mut resource = web::resource(path);
        let mut allow = Vec::new();
        if FOR_PAGES.contains(&self.path) {
            resource = resource.route(web::route().guard(guard::Options()).to(preflight));
        }
        for (method, route) in self.routes {
            // A HEAD is answered like its GET, without the body.
            let methods = if method == Method::GET {
                allow.push("GET, HEAD".to_owned());
                guard::Any(guard::Get()).or(guard::Head())
            } else {
                allow.push(method.to_string());
                guard::Any(guard::Method(method))
            };
            resource = resource.route(route.guard(methods));
        }
        let allow = allow.join(", ");
        let refuse = move || {
            let allow = allow.clone();
            async move { Err::<&'static str, _>(ApiError::method(allow)) }
        };
        resource.default_service(web::to(refuse)).wrap(from_fn(requests::note))
    }
}

async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "600"))
        .finish()
}

async fn nothing_here() -> Result<&'static str, ApiError> {
    Err(ApiError::new(Code::NotFound, "the API has nothing of this name"))
}
