//! What a hub is made of, and how it starts.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::System;

use super::cluster::{self, Membership, Places};
use super::seats::Seats;
use super::{Hub, Inner, webhooks};
use crate::auth::{
    ApiKeys, AuthSetupError, Authorize, Callers, EveryoneMay, Failures, JwtVerifier,
    TicketVerifier, Tickets, TokenVerifier, VapidKey,
};
use crate::cluster::{BusError, Cluster, View};
use crate::commands::CommandHandler;
use crate::config::{AuthConfig, Config, DatabaseConfig};
use crate::delivery::actor::ReliableDelivery;
use crate::delivery::messages::DeliveryPorts;
use crate::delivery::notices::Notices;
use crate::delivery::{Publisher, broadcast};
use crate::extension::{Everybody, Extension, Extensions};
use crate::gate::Gate;
use crate::host::BoundedVerifier;
use crate::http::{self, HttpState};
use crate::metrics::Metrics;
use crate::notes::NoteStore;
use crate::persistence::messages::PersistencePort;
use crate::persistence::{Persistence, PersistenceHandle, StoreSetupError, StoredNotes};
use crate::protocol::HubEvent;
use crate::push::Waker;
use crate::registry::Drains;
use crate::socketio::{IoHandlers, SocketIoState};
use crate::webhooks::EventListener;

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
    /// The other nodes cannot be joined.
    #[error(transparent)]
    Bus(#[from] BusError),
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
    extensions: Vec<Arc<dyn Extension>>,
    socketio: IoHandlers,
    on_workers: bool,
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
        self.verifier = Some(Arc::new(BoundedVerifier(Arc::new(verifier))));
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

    /// With one more extension; they are asked in the order they were added.
    #[must_use]
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.extensions.push(Arc::new(extension));
        self
    }

    /// With what the host does with what Socket.IO clients say.
    #[must_use]
    pub fn socketio(mut self, describe: impl FnOnce(IoHandlers) -> IoHandlers) -> Self {
        self.socketio = describe(self.socketio);
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

    /// For a server that has `server.workers` workers and mounts the hub in each: deliveries are
    /// decided on their threads, so that an event changes threads less often. Nothing is delivered
    /// before the last of them has started.
    #[doc(hidden)]
    #[must_use]
    pub fn on_workers(mut self) -> Self {
        self.on_workers = true;
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
        let (tickets, verifier) = verifier(self.verifier, &config.auth)?;
        let callers = callers(&config.auth, self.api_key.as_deref(), &verifier)?;
        let metrics = Metrics::new();
        let membership = cluster::join(&config).await?;
        let persistence = start_persistence(&config, membership.as_ref(), &metrics)?;
        let store = persistence.port();
        let (notices, webhooks) =
            webhooks::start(&config.webhooks, self.on_event, store.dead_letters.clone(), &metrics)?;
        let view = membership.as_ref().map(Membership::view);
        let deliveries = describe_deliveries(&config, store, &metrics, &notices, view);
        let (here, seats) = Seats::place(deliveries, &config.delivery, self.on_workers);
        let places = Places::new(&metrics);
        let (cluster, ports) = join(&places, membership, &config, here, store).await?;
        let everywhere = cluster.as_ref().map_or(store, Cluster::store).clone();
        let publisher = start_publisher(&config, &ports, &everywhere);
        let notes = start_notes(self.notes, &config, store);
        let notebook = places.start_notebook(notes, &config, &publisher, cluster.as_ref());
        let (authorize, extensions) = everybody(self.authorize, self.extensions);
        let (gate, failures) = (Arc::new(Gate::new(&config)), failures(&config.auth));
        let drains = Drains::default();
        let http = HttpState::new(http::Parts {
            publisher: publisher.clone(),
            deliveries: ports.clone(),
            notebook: notebook.clone(),
            persistence: everywhere.clone(),
            callers: callers.clone(),
            failures: Arc::clone(&failures),
            authorize: Arc::clone(&authorize),
            gate: gate.clone(),
            config: Arc::clone(&config),
            drains: drains.clone(),
            metrics: metrics.clone(),
            webhooks: webhooks.clone(),
            cluster: cluster.clone(),
            tickets: Arc::clone(&tickets),
            push: start_push(&config, &ports, store, &metrics)?,
        });
        let socketio = SocketIoState::new(config.clone(), self.socketio, everywhere);
        Ok(Hub(Arc::new(Inner {
            failures,
            reloaded: Mutex::new((*config).clone()),
            config,
            callers,
            verifier,
            tickets,
            authorize,
            commands: self.commands.or_else(|| webhooks::commands(&webhooks)),
            publisher,
            ports,
            persistence,
            webhooks,
            metrics,
            http,
            seats,
            workers: AtomicU32::new(0),
            drains,
            notebook,
            places,
            cluster,
            nonces: Arc::default(),
            gate,
            extensions,
            socketio,
        })))
    }
}

/// Joins the other nodes, if there are any; says how everybody's deliveries are reached.
async fn join(
    places: &Places,
    membership: Option<Membership>,
    config: &Arc<Config>,
    here: DeliveryPorts,
    store: &PersistencePort,
) -> Result<(Option<Cluster>, DeliveryPorts), HubError> {
    let cluster = places.join(membership, config, &here, store).await?;
    let ports = cluster.as_ref().map_or(here, |cluster| cluster.deliveries().clone());
    Ok((cluster, ports))
}

/// Who checks tokens: the host's verifier, or the hub's own; and tickets before either.
fn verifier(
    own: Option<Arc<dyn TokenVerifier>>,
    auth: &AuthConfig,
) -> Result<(Arc<Tickets>, Arc<dyn TokenVerifier>), AuthSetupError> {
    let tokens = match own {
        Some(own) => own,
        None => Arc::new(JwtVerifier::from_config(auth)?),
    };
    let tickets = Arc::new(Tickets::default());
    Ok((Arc::clone(&tickets), Arc::new(TicketVerifier { tickets, tokens })))
}

/// Who may call the API: by keys, or by tokens.
fn callers(
    auth: &AuthConfig,
    own: Option<&str>,
    verifier: &Arc<dyn TokenVerifier>,
) -> Result<Callers, AuthSetupError> {
    Ok(Callers::new(ApiKeys::from_config(auth, own)?, Arc::clone(verifier)))
}

/// Starts to wake sleeping devices, if the configuration says whom push services write to.
fn start_push(
    config: &Config,
    ports: &DeliveryPorts,
    persistence: &PersistencePort,
    metrics: &Metrics,
) -> Result<Option<Arc<VapidKey>>, HubError> {
    let Some(contact) = &config.push.contact else { return Ok(None) };
    let key = Arc::new(VapidKey::load_or_create(&config.push.key_file, contact)?);
    let pushes = persistence.pushes.clone();
    let waker = Waker::new(&config.push, Arc::clone(&key), pushes, ports.clone(), metrics.clone());
    actix::spawn(waker.run());
    Ok(Some(key))
}

fn failures(auth: &AuthConfig) -> Arc<Failures> {
    let pause_max = Duration::from_secs(auth.failure_pause_max_s);
    Arc::new(Failures::new(auth.failures_free, pause_max))
}

fn start_publisher(
    config: &Config,
    ports: &DeliveryPorts,
    persistence: &PersistencePort,
) -> Publisher {
    let publish = Arc::new(config.publish.clone());
    let publisher = Publisher::new(ports.clone(), persistence.clone(), publish);
    let started = publisher.broadcast_started();
    actix::spawn(broadcast::run(publisher.clone(), persistence.clone(), started));
    publisher
}

fn start_persistence(
    config: &Config,
    membership: Option<&Membership>,
    metrics: &Metrics,
) -> Result<PersistenceHandle, StoreSetupError> {
    let start = |database: &DatabaseConfig| {
        Persistence::start(
            database,
            &config.retention,
            config.webhooks.dead_letters_max,
            membership.and_then(Membership::sharing),
            metrics.clone(),
        )
    };
    let main = start(&config.database)?;
    let Some(of_slots) = config.cluster.database_of_slots() else { return Ok(main) };
    let stores = config.cluster.databases.iter().map(|part| start(&part.of(&config.database)));
    Ok(main.and_for_slots(stores.collect::<Result<_, _>>()?, of_slots))
}

fn start_notes(
    own: Option<Arc<dyn NoteStore>>,
    config: &Config,
    persistence: &PersistencePort,
) -> Arc<dyn NoteStore> {
    own.unwrap_or_else(|| Arc::new(StoredNotes::new(persistence, &config.notes)))
}

/// The host's say, and that of its extensions.
fn everybody(
    own: Option<Arc<dyn Authorize>>,
    extensions: Vec<Arc<dyn Extension>>,
) -> (Arc<dyn Authorize>, Extensions) {
    let host = own.unwrap_or_else(|| Arc::new(EveryoneMay));
    let extensions = Extensions::new(extensions);
    (Arc::new(Everybody { host, extensions: extensions.clone() }), extensions)
}

/// The delivery actors, each for one group of slots.
fn describe_deliveries(
    config: &Config,
    persistence: &PersistencePort,
    metrics: &Metrics,
    notices: &Notices,
    view: Option<&Arc<View>>,
) -> Vec<ReliableDelivery> {
    let groups = match config.delivery.threads {
        0 => config.server.workers_or_cores(),
        threads => threads,
    };
    let describe = |group| {
        let (persistence, metrics) = (persistence.clone(), metrics.clone());
        let actor = ReliableDelivery::new(group, config, persistence, metrics, notices.clone());
        match view {
            Some(view) => actor.in_cluster(Arc::clone(view)),
            None => actor,
        }
    };
    (0..groups.max(1)).map(describe).collect()
}
