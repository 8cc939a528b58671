//! How a node of a cluster starts, and how it leaves.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle};
use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc, oneshot};

use super::asking::Asking;
use super::bus::{Bus, BusError, Subject};
use super::envelope::Request;
use super::figures::{ClusterFigures, NodeFigures};
use super::inbound::Inbound;
use super::keeper::{Keeper, Leave, Rhythm};
use super::link::Link;
use super::messages::{Route, Routes};
use super::nats::NatsBus;
use super::node::{Node, NodeParts};
use super::notes::{Ears, Homes};
use super::rooms::RoomsLink;
use super::router::{self, Router};
use super::standing::Unready;
use super::stores::{self, Stores};
use super::view::View;
use crate::clock;
use crate::config::ClusterConfig;
use crate::delivery::messages::DeliveryPorts;
use crate::metrics::Metrics;
use crate::notebook::{NoteHomes, Notebook};
use crate::persistence::SlotStore;
use crate::persistence::messages::PersistencePort;
use crate::protocol::{Epoch, NodeNumber, Slot, UserId};
use crate::registry::{Directory, Rooms};

/// How long a node waits until its own actors have the slots that are fixed.
const TAKEN_WAIT_MAX: Duration = Duration::from_millis(100);

/// How long leaving waits for the slots to be let go.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a console waits for the figures of another node.
const FIGURES_WAIT_MAX: Duration = Duration::from_millis(800);

/// What a cluster is made of.
pub struct ClusterParts {
    /// The settings.
    pub config: ClusterConfig,
    /// The name of this node.
    pub name: String,
    /// Whose the slots are.
    pub view: Arc<View>,
    /// What joins the nodes.
    pub bus: BusKind,
    /// The delivery actors of this node.
    pub here: DeliveryPorts,
    /// What this node keeps.
    pub store: PersistencePort,
    /// The connections of this node.
    pub directory: Directory,
    /// The rooms of this node.
    pub rooms: Rooms,
    /// Who says whose the slots are.
    pub owners: Owners,
    /// What is counted.
    pub metrics: Metrics,
}

/// What joins the nodes.
pub enum BusKind {
    /// NATS, as the settings say.
    Nats,
    /// This.
    Given(Arc<dyn Bus>),
}

/// Who says whose the slots are.
pub enum Owners {
    /// Rows in these databases.
    Rows(Vec<SlotStore>),
    /// The configuration: these are this node's.
    Fixed(Vec<(Slot, Epoch)>),
}

/// This node, as the rest of its hub sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    node: Node,
    asking: Asking,
    deliveries: DeliveryPorts,
    store: PersistencePort,
    homes: Arc<Homes>,
    ears: Ears,
    leaves: Vec<mpsc::Sender<Leave>>,
    changed: Arc<Notify>,
    arbiter: ArbiterHandle,
}

impl Cluster {
    /// Starts a node on a thread of its own.
    ///
    /// # Errors
    /// When the bus cannot be set up.
    pub async fn start(parts: ClusterParts) -> Result<Self, BusError> {
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        let (reply, started) = oneshot::channel();
        let starting = move || {
            actix::spawn(async move {
                // Whoever asked is waiting.
                let _ = reply.send(run(parts, handle).await);
            });
        };
        let gone = || BusError::Setup("its thread ended".to_owned());
        if !arbiter.spawn_fn(starting) {
            return Err(gone());
        }
        started.await.map_err(|_| gone())?
    }

    /// The delivery actors of every node.
    pub fn deliveries(&self) -> &DeliveryPorts {
        &self.0.deliveries
    }

    /// What is kept, on whichever node.
    pub fn store(&self) -> &PersistencePort {
        &self.0.store
    }

    /// Where notes are at home.
    pub fn note_homes(&self) -> Arc<dyn NoteHomes> {
        Arc::clone(&self.0.homes) as Arc<dyn NoteHomes>
    }

    /// Tells these of notes and broadcasts from now on.
    pub fn tell(&self, notebook: Notebook, broadcast_started: Arc<Notify>) {
        self.0.ears.open(notebook, broadcast_started);
        let (ears, changed) = (self.0.ears.clone(), Arc::clone(&self.0.changed));
        self.0.arbiter.spawn(async move {
            loop {
                changed.notified().await;
                ears.slots_changed();
            }
        });
    }

    /// This life of this node.
    pub fn number(&self) -> NodeNumber {
        self.0.node.here()
    }

    /// Where a user's home is.
    pub fn route(&self, user: &UserId) -> Route {
        self.0.node.route(user)
    }

    /// Whether this node should be sent users.
    ///
    /// # Errors
    /// Why not.
    pub fn standing(&self) -> Result<(), Unready> {
        self.0.node.standing()
    }

    /// Takes note of what this node is now, among the metrics.
    pub fn measure(&self) {
        self.0.node.measure();
    }

    /// The figures of every node that answers in time.
    pub async fn figures(&self) -> ClusterFigures {
        let others = self.0.asking.link().others();
        let known = others.len() + 1;
        let asked = others.into_iter().map(|node| async move {
            let started = clock::now();
            let asking = &self.0.asking;
            let answer = asking.link().ask(node, Request::TakeFigures, FIGURES_WAIT_MAX).await;
            let figures: NodeFigures = answer.ok()?;
            let lag_ms = (clock::now() - started).as_millis() as u64;
            Some(NodeFigures { lag_ms, ..figures })
        });
        let (own, others) = tokio::join!(self.0.node.figures(), join_all(asked));
        let mut nodes: Vec<_> = others.into_iter().flatten().chain([own]).collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        ClusterFigures { nodes, known }
    }

    /// Hands this node's slots over. Requests about them go to their new homes from then on.
    pub async fn leave(&self) {
        self.0.node.start_leaving();
        let mut left = Vec::new();
        for keeper in &self.0.leaves {
            let (reply, answer) = oneshot::channel();
            if keeper.send(reply).await.is_ok() {
                left.push(answer);
            }
        }
        let all = join_all(left);
        if tokio::time::timeout(LEAVE_WAIT_MAX, all).await.is_err() {
            log::warn!("the slots are not let go in time: others take them when the lease ends");
        }
    }

    /// Ends its thread.
    pub fn stop(&self) {
        self.0.arbiter.stop();
    }
}

/// Takes slots that are fixed. Delivery actors that wait for the server's workers have them when those
/// start.
async fn take(node: Node, slots: Vec<(Slot, Epoch)>) {
    let taken = actix::spawn(async move { node.take(slots).await });
    // It goes on by itself.
    let _ = tokio::time::timeout(TAKEN_WAIT_MAX, taken).await;
}

async fn run(parts: ClusterParts, arbiter: ArbiterHandle) -> Result<Cluster, BusError> {
    let ClusterParts { config, name, view, bus, here, store, directory, .. } = parts;
    let (rooms, owners) = (parts.rooms, parts.owners);
    let bus: Arc<dyn Bus> = match bus {
        BusKind::Nats => Arc::new(NatsBus::start(&config).await?),
        BusKind::Given(bus) => bus,
    };
    let mine = bus.subscribe(Subject::Node(view.here())).await?;
    let everybodys = bus.subscribe(Subject::All).await?;
    let link = Link::start(Arc::clone(&view), bus, parts.metrics.cluster());
    let answer_wait = Duration::from_millis(config.answer_wait_ms);
    let changed = Arc::new(Notify::new());
    let node = Node::new(NodeParts {
        name,
        advertise: config.advertise.clone(),
        link: link.clone(),
        here: here.clone(),
        directory,
        rooms: rooms.clone(),
        silence_max: Duration::from_millis(config.lease_ms),
        changed: Arc::clone(&changed),
        leases: match &owners {
            Owners::Rows(stores) => stores.len(),
            Owners::Fixed(_) => 0,
        },
        metrics: parts.metrics,
    });
    let ears = Ears::default();
    let rooms = RoomsLink::join(rooms, link.clone());
    let inbound = Inbound::new(node.clone(), rooms, ears.clone(), store.clone());
    actix::spawn(inbound.clone().run(mine));
    actix::spawn(inbound.run(everybodys));
    let asking = Asking::new(link, answer_wait);
    let router = Router::new(asking.clone()).start();
    let deliveries = here.and_elsewhere(router::port(&router), view);
    let mut leaves = Vec::new();
    let are_apart = matches!(owners, Owners::Fixed(_));
    match owners {
        Owners::Rows(stores) => {
            let rhythm = Rhythm {
                lease: Duration::from_millis(config.lease_ms),
                renew: Duration::from_millis(config.renew_ms),
            };
            for (place, store) in stores.into_iter().enumerate() {
                let (leave, asked) = mpsc::channel(4);
                actix::spawn(Keeper::new(node.clone(), place, store, rhythm).run(asked));
                leaves.push(leave);
            }
        }
        Owners::Fixed(slots) => take(node.clone(), slots).await,
    }
    actix::spawn(node.clone().beat());
    let stores = are_apart.then(|| Stores::new(asking.clone(), store.clone()).start());
    let store = stores.map_or(store.clone(), |stores| stores::port(&stores, &store));
    let homes = Arc::new(Homes { asking: asking.clone(), are_apart });
    Ok(Cluster(Arc::new(Inner {
        node,
        asking,
        deliveries,
        store,
        homes,
        ears,
        leaves,
        changed,
        arbiter,
    })))
}
