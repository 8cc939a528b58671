//! One node among others: what happens here when a slot changes hands, or a node comes or goes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};

use super::envelope::{Hello, Message};
use super::figures::NodeFigures;
use super::link::{HELLO_EVERY, Link};
use super::messages::{Route, RouteNode, Routes};
use super::standing::{Leases, Unready};
use super::view::{Change, View};
use crate::clock;
use crate::delivery::messages::{DeliveryPorts, SlotOrder};
use crate::metrics::{Metrics, NodeMeasure};
use crate::protocol::{Epoch, NodeNumber, Slot, UserId};
use crate::registry::messages::AttachAgain;
use crate::registry::{Directory, Rooms};

/// How long publishes to a slot that was just taken wait for its connections to come back.
const OPEN_AFTER: Duration = Duration::from_secs(1);

/// How long writing the last floors of slots may hold up letting them go.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(1);

/// The node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Node(Arc<Inner>);

struct Inner {
    name: String,
    advertise: Option<String>,
    link: Link,
    here: DeliveryPorts,
    directory: Directory,
    rooms: Rooms,
    silence_max: Duration,
    is_leaving: AtomicBool,
    /// Slots that are not open yet, and the nodes whose connections are not back.
    opening: Mutex<HashMap<Slot, (Epoch, HashSet<NodeNumber>)>>,
    /// Notified when slots change hands here.
    changed: Arc<Notify>,
    leases: Leases,
    metrics: Metrics,
}

/// What a node is made of.
pub(super) struct NodeParts {
    pub(super) name: String,
    pub(super) advertise: Option<String>,
    pub(super) link: Link,
    pub(super) here: DeliveryPorts,
    pub(super) directory: Directory,
    pub(super) rooms: Rooms,
    pub(super) silence_max: Duration,
    pub(super) changed: Arc<Notify>,
    /// How many leases it needs.
    pub(super) leases: usize,
    pub(super) metrics: Metrics,
}

impl Node {
    pub(super) fn new(parts: NodeParts) -> Self {
        let NodeParts { name, advertise, link, here, directory, rooms, .. } = parts;
        Self(Arc::new(Inner {
            name,
            advertise,
            link,
            here,
            directory,
            rooms,
            silence_max: parts.silence_max,
            is_leaving: AtomicBool::new(false),
            opening: Mutex::default(),
            changed: parts.changed,
            leases: Leases::new(parts.leases),
            metrics: parts.metrics,
        }))
    }

    pub(super) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(super) fn view(&self) -> &Arc<View> {
        self.0.link.view()
    }

    pub(super) fn here(&self) -> NodeNumber {
        self.view().here()
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// The delivery actors of this node.
    pub(super) fn ports(&self) -> &DeliveryPorts {
        &self.0.here
    }

    /// The connections of this node.
    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Ordering::Acquire)
    }

    pub(super) fn start_leaving(&self) {
        self.0.is_leaving.store(true, Ordering::Release);
    }

    pub(super) fn leases(&self) -> &Leases {
        &self.0.leases
    }

    /// Whether this node should be sent users.
    pub(super) fn standing(&self) -> Result<(), Unready> {
        if self.0.leases.remaining(clock::now()).is_some_and(|left| left.is_zero()) {
            return Err(Unready::NoLease);
        }
        let opening = self.opening();
        let slots = self.view().slots_of(self.here());
        let is_attached = slots.iter().any(|(slot, _)| !opening.contains_key(slot));
        match (is_attached, self.link().is_up()) {
            // Without the bus too: whoever is at home here is served, and nobody elsewhere.
            (true, _) => Ok(()),
            (false, true) => Err(Unready::NotAttached),
            (false, false) => Err(Unready::BusAway),
        }
    }

    /// Takes note of what this node is now.
    pub(super) fn measure(&self) {
        let lease = self.0.leases.remaining(clock::now()).unwrap_or_default();
        self.link().metrics().measured(NodeMeasure {
            slots: self.view().slots_of(self.here()).len(),
            lease_seconds: lease.as_secs_f64(),
            is_bus_up: self.link().is_up(),
            asks: self.link().waiting(),
        });
    }

    /// What this node tells of itself to consoles.
    pub(super) async fn figures(&self) -> NodeFigures {
        NodeFigures {
            name: self.0.name.clone(),
            slots: self.view().slots_of(self.here()).len() as u32,
            lag_ms: 0,
            totals: self.0.metrics.totals(),
            census: self.0.here.census().await,
        }
    }

    /// Serves slots that are this node's from now on.
    pub(super) async fn take(&self, slots: Vec<(Slot, Epoch)>) {
        if slots.is_empty() {
            return;
        }
        log::info!("node {} has {} more slots", self.here().0, slots.len());
        self.tell_deliveries(|| SlotOrder::Take(slots.clone())).await;
        let mut missing: HashSet<_> = self.link().others().into_iter().collect();
        missing.insert(self.here());
        for (slot, epoch) in &slots {
            self.opening().insert(*slot, (*epoch, missing.clone()));
            self.view().learn(*slot, Some(self.here()), *epoch);
        }
        self.0.changed.notify_waiters();
        self.say_hello();
        let (node, taken) = (self.clone(), slots.clone());
        tokio::spawn(async move {
            node.attach_again(&taken).await;
            node.back(node.here(), &taken).await;
        });
        let node = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(OPEN_AFTER).await;
            node.open(&slots).await;
        });
    }

    /// Writes what is left of slots, so that they can be let go.
    pub(super) async fn leave(&self, slots: &[Slot]) {
        let mut written = Vec::new();
        for port in self.0.here.all() {
            let (reply, answer) = oneshot::channel();
            if port.slots.send(SlotOrder::Leave { slots: slots.to_vec(), reply }).await.is_ok() {
                written.push(answer);
            }
        }
        if tokio::time::timeout(LEAVE_WAIT_MAX, join_all(written)).await.is_err() {
            log::warn!("slots go before their floors are written: acked events are sent again");
        }
    }

    /// Does what follows from changes that this node did not make itself.
    pub(super) async fn learned(&self, changes: Vec<Change>) {
        let here = Some(self.here());
        let lost: Vec<_> = changes
            .iter()
            .filter(|c| c.before == here && c.after != here)
            .map(|c| c.slot)
            .collect();
        if !lost.is_empty() {
            log::info!("node {} has {} slots less", self.here().0, lost.len());
            self.opening().retain(|slot, _| !lost.contains(slot));
            self.tell_deliveries(|| SlotOrder::Drop(lost.clone())).await;
            self.0.changed.notify_waiters();
        }
        let mut homes: HashMap<NodeNumber, Vec<(Slot, Epoch)>> = HashMap::new();
        for change in changes {
            if let Some(home) = change.after.filter(|home| Some(*home) != here) {
                homes.entry(home).or_default().push((change.slot, change.epoch));
            }
        }
        for (home, slots) in homes {
            let node = self.clone();
            tokio::spawn(async move {
                node.attach_again(&slots).await;
                node.link().tell(home, &Message::Back(slots));
            });
        }
    }

    /// Takes note that a node has attached all its connections in these slots again.
    pub(super) async fn back(&self, from: NodeNumber, slots: &[(Slot, Epoch)]) {
        let mut open = Vec::new();
        {
            let mut opening = self.opening();
            for (slot, epoch) in slots {
                let Some((known, missing)) = opening.get_mut(slot) else { continue };
                if known == epoch {
                    missing.remove(&from);
                    if missing.is_empty() {
                        open.push((*slot, *epoch));
                    }
                }
            }
        }
        self.open(&open).await;
    }

    async fn open(&self, slots: &[(Slot, Epoch)]) {
        let mut open = Vec::new();
        for (slot, epoch) in slots {
            let mut opening = self.opening();
            if opening.get(slot).is_some_and(|(known, _)| known == epoch) {
                opening.remove(slot);
                open.push(*slot);
            }
        }
        if !open.is_empty() {
            self.tell_deliveries(|| SlotOrder::Open(open.clone())).await;
        }
    }

    /// Attaches the connections of this node in these slots again, wherever their homes are.
    pub(super) async fn attach_again(&self, slots: &[(Slot, Epoch)]) {
        let slots: Vec<Slot> = slots.iter().map(|(slot, _)| *slot).collect();
        let mut asked = Vec::new();
        for worker in self.0.directory.again() {
            let (reply, answer) = oneshot::channel();
            if worker.send(AttachAgain { slots: slots.clone(), reply }).await.is_ok() {
                asked.push(answer);
            }
        }
        join_all(asked).await;
    }

    /// Attaches the connections of this node again whose homes are on that node.
    pub(super) async fn attach_again_at(&self, home: NodeNumber) {
        self.attach_again(&self.view().slots_of(home)).await;
    }

    /// Takes word of a node.
    pub(super) async fn heard(&self, hello: Hello) {
        if hello.number == self.here() {
            return;
        }
        let is_new = self.link().heard(&hello);
        let learn =
            |(slot, epoch): &(Slot, Epoch)| self.view().learn(*slot, Some(hello.number), *epoch);
        let changes: Vec<_> = hello.slots.iter().filter_map(learn).collect();
        self.learned(changes).await;
        if is_new {
            log::info!("node {} ({}) is there", hello.number.0, hello.name);
            self.say_hello();
            // It may have taken this node for gone, and its connections with it.
            let node = self.clone();
            tokio::spawn(async move { node.attach_again_at(hello.number).await });
        }
    }

    /// Tells every node that this one is there, and what it has.
    pub(super) fn say_hello(&self) {
        self.link().announce(&Message::Hello(Hello {
            number: self.here(),
            name: self.0.name.clone(),
            advertise: self.0.advertise.clone(),
            is_leaving: self.is_leaving(),
            slots: self.view().slots_of(self.here()),
        }));
    }

    /// Says that this node is there, and notices who is not any more; runs for ever.
    pub(super) async fn beat(self) {
        let mut state = self.link().is_up();
        loop {
            let is_up = self.link().is_up();
            if is_up && !state {
                // Whatever was said meanwhile is lost, here and there.
                self.link().excuse_silence();
                self.0.rooms.ask_again();
                let node = self.clone();
                tokio::spawn(async move {
                    for home in node.link().others() {
                        node.attach_again_at(home).await;
                    }
                });
            }
            state = is_up;
            if is_up {
                self.say_hello();
                for gone in self.link().forget_silent(self.0.silence_max) {
                    self.node_gone(gone).await;
                }
            }
            tokio::time::sleep(HELLO_EVERY).await;
        }
    }

    async fn node_gone(&self, gone: NodeNumber) {
        log::info!("node {} is gone", gone.0);
        self.0.rooms.forget_node(gone);
        self.tell_deliveries(|| SlotOrder::NodeGone(gone)).await;
        let waiting: Vec<_> =
            self.opening().iter().map(|(slot, (epoch, _))| (*slot, *epoch)).collect();
        self.back(gone, &waiting).await;
    }

    async fn tell_deliveries(&self, order: impl Fn() -> SlotOrder) {
        for port in self.0.here.all() {
            if port.slots.send(order()).await.is_err() {
                log::debug!("a delivery actor has ended");
            }
        }
    }

    fn opening(&self) -> MutexGuard<'_, HashMap<Slot, (Epoch, HashSet<NodeNumber>)>> {
        self.0.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes for Node {
    fn route(&self, user: &UserId) -> Route {
        let slot = user.slot();
        let (owner, epoch) = self.view().owner(slot);
        let node = owner.map(|number| {
            let is_here = number == self.here();
            let peer = self.link().peer(number).filter(|_| !is_here);
            let (name, advertise) = match peer {
                Some(peer) => (peer.name, peer.advertise),
                None if is_here => (self.0.name.clone(), self.0.advertise.clone()),
                None => (String::new(), None),
            };
            RouteNode { number, name, advertise, is_here }
        });
        Route { slot, epoch, node }
    }
}
