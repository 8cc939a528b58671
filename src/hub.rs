//! The hub as a whole: the only file that knows every actor.
//!
//! [`Hub`] is a cheap handle. It may be mounted in any actix-web application, once per worker,
//! under any scope; the `staffetta` program is one such application.

mod builder;
mod cluster;
mod seats;
mod serve;
mod webhooks;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::ServiceConfig;
use tokio::sync::oneshot;

pub use self::builder::{HubBuilder, HubError};
use self::cluster::Places;
use self::seats::Seats;
use crate::auth::{Authorize, Callers, Failures, Nonces, Tickets, TokenVerifier};
use crate::cluster::Cluster;
use crate::commands::CommandHandler;
use crate::config::{Changes, Config};
use crate::delivery::messages::{DeliveryPorts, FlushFloors, PublishError, Receipt};
use crate::delivery::{BroadcastReceipt, Publisher, Wait};
use crate::extension::Extensions;
use crate::gate::Gate;
use crate::http::{self, HttpState};
use crate::metrics::Metrics;
use crate::notebook::Notebook;
use crate::pages;
use crate::persistence::PersistenceHandle;
use crate::protocol::{NewEvent, NodeNumber, UserId};
use crate::registry::{Drains, Worker, WorkerParts};
use crate::socketio::{self, SocketIoState};
use crate::webhooks::Webhooks;
use crate::ws;

/// How long shutting down waits for floors to be written, beyond the drain window.
const FLUSH_WAIT: Duration = Duration::from_millis(1_500);

/// A running hub. Cheap to clone, and may be used from any thread.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    /// The settings, with those that were read again.
    reloaded: Mutex<Config>,
    callers: Callers,
    verifier: Arc<dyn TokenVerifier>,
    tickets: Arc<Tickets>,
    authorize: Arc<dyn Authorize>,
    commands: Option<Arc<dyn CommandHandler>>,
    publisher: Publisher,
    ports: DeliveryPorts,
    persistence: PersistenceHandle,
    webhooks: Webhooks,
    metrics: Metrics,
    http: HttpState,
    seats: Seats,
    workers: AtomicU32,
    drains: Drains,
    notebook: Notebook,
    places: Places,
    cluster: Option<Cluster>,
    nonces: Arc<Nonces>,
    failures: Arc<Failures>,
    gate: Arc<Gate>,
    extensions: Extensions,
    socketio: SocketIoState,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Starts to describe a hub.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// Everything the hub serves, for [`actix_web::App::configure`]: `/ws` (also as an upgrade
    /// of the scope's root), `/updates`, the paths of Socket.IO, `/client` (the JavaScript
    /// client), `/api/v1`, `/healthz`, `/readyz` and `/metrics`. Call it in the
    /// application factory, so that each worker gets its own SessionRegistry.
    pub fn routes(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let hub = self.clone();
        move |services| {
            let worker = hub.start_worker();
            http::configure(&hub.0.http, services);
            pages::configure(services);
            ws::configure(&worker, services);
            socketio::configure(&worker, &hub.0.socketio, services);
        }
    }

    /// Publishes one event to one user; answers once it is durable.
    ///
    /// # Errors
    /// Why it was not taken. After [`PublishError::Unavailable`] and
    /// [`PublishError::Overloaded`], publish again with the same event id.
    pub async fn publish(&self, user: &UserId, event: NewEvent) -> Result<Receipt, PublishError> {
        self.0.publisher.publish(user.clone(), event, Wait::Durable).await
    }

    /// Publishes one event and waits, at most `timeout`, until every live session acked it.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn publish_acked(
        &self,
        user: &UserId,
        event: NewEvent,
        timeout: Duration,
    ) -> Result<Receipt, PublishError> {
        self.0.publisher.publish(user.clone(), event, Wait::Acked(timeout)).await
    }

    /// Publishes many events; answers in order once all are durable or refused.
    pub async fn publish_many(
        &self,
        events: Vec<(UserId, NewEvent)>,
    ) -> Vec<Result<Receipt, PublishError>> {
        self.0.publisher.publish_many(events).await
    }

    /// Publishes one event to every user that has a session.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn broadcast(&self, event: NewEvent) -> Result<BroadcastReceipt, PublishError> {
        self.0.publisher.broadcast(event).await
    }

    /// Its notes.
    pub fn notes(&self) -> &Notebook {
        &self.0.notebook
    }

    /// The webhooks, for a host that posts commands of its own.
    pub fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    /// Goes by the settings of `config` that need no restart: `auth.api_keys`,
    /// `server.allowed_origins`, and the limits of addresses, users and callers. Says which settings
    /// changed, and which of them hold after a restart only; `log.level` is the caller's.
    ///
    /// # Errors
    /// When an API key is not as it must be; then nothing changes.
    pub fn reload(&self, config: &Config) -> Result<Changes, HubError> {
        let mut reloaded = self.0.reloaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.callers.reload(&config.auth)?;
        self.0.gate.reload(config);
        let changes = reloaded.changes(config);
        *reloaded = reloaded.with_reloaded(config);
        Ok(changes)
    }

    /// What the hub counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The delivery actors.
    pub(crate) fn deliveries(&self) -> &DeliveryPorts {
        &self.0.ports
    }

    /// This node among others, if there are any.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.0.cluster.as_ref()
    }

    /// The tickets of consoles.
    pub(crate) fn tickets(&self) -> &Tickets {
        &self.0.tickets
    }

    /// Tells every connection to come back later, spread over `server.drain_ms`, writes the
    /// floors, ends what is posted to webhooks, and stops the actors. The hub takes nothing after
    /// this; what is unacked is sent again by the next start. Says how many connections there were.
    pub async fn shutdown(&self) -> usize {
        let window = Duration::from_millis(self.0.config.server.drain_ms);
        if let Some(cluster) = &self.0.cluster {
            cluster.leave().await;
        }
        let told = self.0.drains.drain(window).await;
        self.flush().await;
        self.0.webhooks.stop().await;
        self.0.persistence.stop().await;
        self.0.seats.stop();
        if let Some(cluster) = &self.0.cluster {
            cluster.stop();
        }
        told
    }

    async fn flush(&self) {
        let mut answers = Vec::with_capacity(self.0.ports.groups());
        for port in self.0.ports.all() {
            let (reply, answer) = oneshot::channel();
            if port.flush_floors.send(FlushFloors(reply)).await.is_ok() {
                answers.push(answer);
            }
        }
        let deadline = tokio::time::Instant::now() + FLUSH_WAIT;
        for answer in answers {
            if tokio::time::timeout_at(deadline, answer).await.is_err() {
                log::warn!("floors were not written in time: acked events will be sent again");
            }
        }
    }

    /// Starts the SessionRegistry of the worker this is called on, and the ReliableDelivery that is
    /// to run there.
    fn start_worker(&self) -> Worker {
        self.0.seats.take();
        let index = self.0.workers.fetch_add(1, Ordering::Relaxed);
        let here = self.0.cluster.as_ref().map_or(NodeNumber(0), Cluster::number);
        let (worker, drain) = Worker::start(
            here.worker(index),
            WorkerParts {
                deliveries: self.0.ports.clone(),
                verifier: Arc::clone(&self.0.verifier),
                authorize: Arc::clone(&self.0.authorize),
                commands: self.0.commands.clone(),
                extensions: self.0.extensions.clone(),
                notebook: self.0.notebook.clone(),
                rooms: self.0.places.rooms.clone(),
                directory: self.0.places.directory.clone(),
                nonces: Arc::clone(&self.0.nonces),
                failures: Arc::clone(&self.0.failures),
                gate: Arc::clone(&self.0.gate),
                config: Arc::clone(&self.0.config),
                metrics: self.0.metrics.clone(),
            },
        );
        self.0.drains.add(drain);
        worker
    }
}
