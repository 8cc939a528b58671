//! How a node of a cluster starts, and how it leaves.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle};
use tokio::sync::{Notify, mpsc, oneshot};

use super::bus::{Bus, BusError, Subject};
use super::inbound::Inbound;
use super::keeper::{Keeper, Leave, Rhythm};
use super::link::Link;
use super::messages::{Route, Routes};
use super::nats::NatsBus;
use super::node::{Node, NodeParts};
use super::rooms::RoomsLink;
use super::router::{self, Router};
use super::turns::{Ears, Homes, Turns};
use super::view::View;
use crate::config::ClusterConfig;
use crate::delivery::messages::DeliveryPorts;
use crate::notebook::{NoteHomes, Notebook};
use crate::persistence::SlotStore;
use crate::protocol::{Epoch, NodeNumber, Slot, UserId};
use crate::registry::{Directory, Rooms};

/// How long leaving waits for the slots to be let go.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

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
    /// The connections of this node.
    pub directory: Directory,
    /// The rooms of this node.
    pub rooms: Rooms,
    /// Who says whose the slots are.
    pub owners: Owners,
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
    deliveries: DeliveryPorts,
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

    /// Where the changes of notes take turns.
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
        let all = futures_util::future::join_all(left);
        if tokio::time::timeout(LEAVE_WAIT_MAX, all).await.is_err() {
            log::warn!("the slots are not let go in time: others take them when the lease ends");
        }
    }

    /// Ends its thread.
    pub fn stop(&self) {
        self.0.arbiter.stop();
    }
}

async fn run(parts: ClusterParts, arbiter: ArbiterHandle) -> Result<Cluster, BusError> {
    let ClusterParts { config, name, view, bus, here, directory, rooms, owners } = parts;
    let bus: Arc<dyn Bus> = match bus {
        BusKind::Nats => Arc::new(NatsBus::start(&config).await?),
        BusKind::Given(bus) => bus,
    };
    let mine = bus.subscribe(Subject::Node(view.here())).await?;
    let everybodys = bus.subscribe(Subject::All).await?;
    let link = Link::start(Arc::clone(&view), bus);
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
    });
    let ears = Ears::default();
    let turns = Turns::new(ears.clone());
    let inbound = Inbound::new(node.clone(), RoomsLink::join(rooms, link.clone()), turns);
    actix::spawn(inbound.clone().run(mine));
    actix::spawn(inbound.run(everybodys));
    let router = Router::new(link.clone(), answer_wait).start();
    let deliveries = here.and_elsewhere(router::port(&router), view);
    let mut leaves = Vec::new();
    match owners {
        Owners::Rows(stores) => {
            let rhythm = Rhythm {
                lease: Duration::from_millis(config.lease_ms),
                renew: Duration::from_millis(config.renew_ms),
            };
            for store in stores {
                let (leave, asked) = mpsc::channel(4);
                actix::spawn(Keeper::new(node.clone(), store, rhythm).run(asked));
                leaves.push(leave);
            }
        }
        Owners::Fixed(slots) => node.take(slots).await,
    }
    actix::spawn(node.clone().beat());
    let homes = Arc::new(Homes { link, answer_wait });
    Ok(Cluster(Arc::new(Inner { node, deliveries, homes, ears, leaves, changed, arbiter })))
}
