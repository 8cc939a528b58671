//! The hub as a whole: the only file that knows every actor.
//!
//! [`Hub`] is a cheap handle. It may be mounted in any actix-web application, once per worker,
//! under any scope; the `staffetta` program is one such application.

mod webhooks;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Arbiter, Recipient, System};
use actix_web::web::ServiceConfig;
use tokio::sync::oneshot;

use crate::auth::{
    ApiKeys, AuthSetupError, Authorize, Callers, EveryoneMay, JwtVerifier, Nonces, TokenVerifier,
};
use crate::commands::CommandHandler;
use crate::config::Config;
use crate::delivery::actor::{self as delivery_actor, ReliableDelivery};
use crate::delivery::messages::{DeliveryPorts, FlushFloors, PublishError, Receipt};
use crate::delivery::notices::Notices;
use crate::delivery::{BroadcastReceipt, Publisher, Wait, broadcast};
use crate::http::{self, HttpState};
use crate::metrics::Metrics;
use crate::notebook::Notebook;
use crate::notes::NoteStore;
use crate::persistence::messages::PersistencePort;
use crate::persistence::{Persistence, PersistenceHandle, StoreSetupError, StoredNotes};
use crate::protocol::{HubEvent, NewEvent, UserId};
use crate::registry::messages::Drain;
use crate::registry::{Rooms, Worker, WorkerParts};
use crate::webhooks::{EventListener, Webhooks};
use crate::ws;

/// How long shutting down waits for floors to be written, beyond the drain window.
const FLUSH_WAIT: Duration = Duration::from_millis(1_500);

/// Why the hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is no actix system on this thread.
    #[error("the hub needs an actix system: start it from #[actix_web::main]")]
    NoSystem,
    /// The keys cannot be had.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreSetupError),
}

/// What a hub is made of; everything not set is as the configuration says.
#[derive(Default)]
pub struct HubBuilder {
    config: Config,
    api_key: Option<String>,
    verifier: Option<Arc<dyn TokenVerifier>>,
    authorize: Option<Arc<dyn Authorize>>,
    commands: Option<Arc<dyn CommandHandler>>,
    notes: Option<Arc<dyn NoteStore>>,
    on_event: Option<EventListener>,
}

impl HubBuilder {
    /// With this configuration, which has passed validation.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// With one more API key, which may publish and administer; an empty one is refused at the
    /// start.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// With the host's own way to check tokens.
    #[must_use]
    pub fn verifier(mut self, verifier: impl TokenVerifier) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// With the host's say in who may connect and publish.
    #[must_use]
    pub fn authorize(mut self, authorize: impl Authorize) -> Self {
        self.authorize = Some(Arc::new(authorize));
        self
    }

    /// With the host's answer to the commands of `/updates` clients, in place of the webhook's.
    #[must_use]
    pub fn commands(mut self, handler: impl CommandHandler) -> Self {
        self.commands = Some(Arc::new(handler));
        self
    }

    /// With the host's own notes; without it the hub keeps them in its database.
    #[must_use]
    pub fn note_store(mut self, notes: impl NoteStore) -> Self {
        self.notes = Some(Arc::new(notes));
        self
    }

    /// With the host's ear for what happens in the hub: sessions opened and closed, sessions
    /// given up, deliveries settled. Called in order per user, on a thread that also serves
    /// webhooks: it must be quick. One that does not keep up misses events, which are counted.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&HubEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(listener));
        self
    }

    /// Opens the database, brings its schema up to date, and starts the actors.
    ///
    /// # Errors
    /// When there is no actix system, a key is missing or empty, or the database cannot be opened.
    pub async fn start(self) -> Result<Hub, HubError> {
        if System::try_current().is_none() {
            return Err(HubError::NoSystem);
        }
        let config = Arc::new(self.config);
        let verifier = match self.verifier {
            Some(verifier) => verifier,
            None => Arc::new(JwtVerifier::from_config(&config.auth)?),
        };
        let api_keys = ApiKeys::from_config(&config.auth, self.api_key.as_deref())?;
        let callers = Callers::new(api_keys, Arc::clone(&verifier));
        let metrics = Metrics::new();
        let persistence = Persistence::start(
            &config.database,
            &config.retention,
            config.webhooks.dead_letters_max,
            metrics.clone(),
        )?;
        let dead_letters = persistence.port().dead_letters.clone();
        let (notices, webhooks) =
            webhooks::start(&config.webhooks, self.on_event, dead_letters, &metrics)?;
        let (arbiters, ports) = start_deliveries(&config, persistence.port(), &metrics, &notices);
        let publisher = Publisher::new(
            ports.clone(),
            persistence.port().clone(),
            Arc::new(config.publish.clone()),
        );
        actix::spawn(broadcast::run(
            publisher.clone(),
            persistence.port().clone(),
            publisher.broadcast_started(),
        ));
        let rooms = Rooms::default();
        let notes = self
            .notes
            .unwrap_or_else(|| Arc::new(StoredNotes::new(persistence.port(), &config.notes)));
        let notebook = Notebook::new(notes, publisher.clone(), rooms.clone(), &config.notes);
        notebook.start();
        let authorize = self.authorize.unwrap_or_else(|| Arc::new(EveryoneMay));
        let draining = Arc::new(AtomicBool::new(false));
        let http = HttpState::new(http::Parts {
            publisher: publisher.clone(),
            deliveries: ports.clone(),
            notebook: notebook.clone(),
            persistence: persistence.port().clone(),
            callers,
            authorize: Arc::clone(&authorize),
            config: Arc::clone(&config),
            draining: Arc::clone(&draining),
            metrics: metrics.clone(),
            webhooks: webhooks.clone(),
        });
        Ok(Hub(Arc::new(Inner {
            config,
            verifier,
            authorize,
            commands: self.commands.or_else(|| webhooks::commands(&webhooks)),
            publisher,
            ports,
            persistence,
            webhooks,
            metrics,
            http,
            draining,
            arbiters,
            workers: AtomicU32::new(0),
            drains: Mutex::default(),
            notebook,
            rooms,
            nonces: Arc::default(),
        })))
    }
}

fn start_deliveries(
    config: &Config,
    persistence: &PersistencePort,
    metrics: &Metrics,
    notices: &Notices,
) -> (Vec<Arbiter>, DeliveryPorts) {
    let groups = match config.delivery.threads {
        0 => config.server.workers_or_cores(),
        threads => threads,
    };
    let mut arbiters = Vec::with_capacity(groups);
    let mut ports = Vec::with_capacity(groups);
    for group in 0..groups.max(1) {
        let arbiter = Arbiter::new();
        let (persistence, metrics) = (persistence.clone(), metrics.clone());
        let actor = ReliableDelivery::new(group, config, persistence, metrics, notices.clone());
        let addr = ReliableDelivery::start_in_arbiter(&arbiter.handle(), |_| actor);
        ports.push(delivery_actor::port(&addr));
        arbiters.push(arbiter);
    }
    (arbiters, DeliveryPorts::new(ports))
}

/// A running hub. Cheap to clone, and may be used from any thread.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    verifier: Arc<dyn TokenVerifier>,
    authorize: Arc<dyn Authorize>,
    commands: Option<Arc<dyn CommandHandler>>,
    publisher: Publisher,
    ports: DeliveryPorts,
    persistence: PersistenceHandle,
    webhooks: Webhooks,
    metrics: Metrics,
    http: HttpState,
    draining: Arc<AtomicBool>,
    arbiters: Vec<Arbiter>,
    workers: AtomicU32,
    drains: Mutex<Vec<Recipient<Drain>>>,
    notebook: Notebook,
    rooms: Rooms,
    nonces: Arc<Nonces>,
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
    /// of the scope's root), `/updates`, `/api/v1`, `/healthz`, `/readyz` and `/metrics`. Call it in the
    /// application factory, so that each worker gets its own SessionRegistry.
    pub fn routes(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let hub = self.clone();
        move |services| {
            let worker = hub.start_worker();
            http::configure(&hub.0.http, services);
            ws::configure(&worker, services);
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

    /// What the hub counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Tells every connection to come back later, spread over `server.drain_ms`, writes the
    /// floors, ends what is posted to webhooks, and stops the actors. The hub takes nothing after this; what is unacked is sent
    /// again by the next start. Says how many connections there were.
    pub async fn shutdown(&self) -> usize {
        self.0.draining.store(true, Ordering::Release);
        let window = Duration::from_millis(self.0.config.server.drain_ms);
        let told = self.drain(window).await;
        self.flush().await;
        self.0.webhooks.stop().await;
        self.0.persistence.stop().await;
        for arbiter in &self.0.arbiters {
            arbiter.stop();
        }
        told
    }

    async fn drain(&self, window: Duration) -> usize {
        let drains = self.0.drains.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut answers = Vec::with_capacity(drains.len());
        for drain in drains {
            let (reply, answer) = oneshot::channel();
            if drain.send(Drain { window, reply }).await.is_ok() {
                answers.push(answer);
            }
        }
        let mut told = 0;
        let deadline = tokio::time::Instant::now() + window + Duration::from_millis(500);
        for answer in answers {
            if let Ok(Ok(count)) = tokio::time::timeout_at(deadline, answer).await {
                told += count;
            }
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

    /// Starts the SessionRegistry of the worker this is called on.
    fn start_worker(&self) -> Worker {
        let index = self.0.workers.fetch_add(1, Ordering::Relaxed);
        let (worker, drain) = Worker::start(
            index,
            WorkerParts {
                deliveries: self.0.ports.clone(),
                verifier: Arc::clone(&self.0.verifier),
                authorize: Arc::clone(&self.0.authorize),
                commands: self.0.commands.clone(),
                notebook: self.0.notebook.clone(),
                rooms: self.0.rooms.clone(),
                nonces: Arc::clone(&self.0.nonces),
                config: Arc::clone(&self.0.config),
                metrics: self.0.metrics.clone(),
            },
        );
        let mut drains = self.0.drains.lock().unwrap_or_else(PoisonError::into_inner);
        drains.retain(Recipient::connected);
        drains.push(drain);
        worker
    }
}
