//! What one node says to others and hears in answer: a lane to each node, and the calls that wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::bus::{Bus, Subject};
use super::envelope::{self, Hello, Message, Request};
use super::packet::{BODY_MAX, Outgoing, announcement};
use super::view::View;
use super::wire::{Input, Wire};
use crate::clock;
use crate::metrics::ClusterMetrics;
use crate::protocol::NodeNumber;
use crate::registry::messages::Order;

/// Messages that may wait for one node; beyond, they are lost.
const WAITING_MAX: usize = 65_536;

/// How often a node says that it is there.
pub(super) const HELLO_EVERY: Duration = Duration::from_secs(1);

/// A node that was not heard of for this long is not asked anything.
const AWAY_AFTER: Duration = Duration::from_secs(5);

/// Why there is no answer. Whether it was done is not known, except after `Away`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// The node cannot be reached: it was not asked.
    #[error("the node cannot be reached")]
    Away,
    /// It did not answer in time, or the bus went away meanwhile.
    #[error("the node did not answer")]
    Lost,
}

/// Another node, as it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) advertise: Option<String>,
    heard_at: Instant,
}

/// The link. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    view: Arc<View>,
    bus: Arc<dyn Bus>,
    is_up: watch::Receiver<bool>,
    runtime: Handle,
    lanes: Mutex<HashMap<NodeNumber, mpsc::Sender<Vec<u8>>>>,
    announcements: mpsc::Sender<Vec<u8>>,
    calls: Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
    next_call: AtomicU64,
    peers: RwLock<HashMap<NodeNumber, Peer>>,
    metrics: ClusterMetrics,
}

/// A question, forgotten with whoever waits for its answer.
struct Asked<'a> {
    link: &'a Link,
    call: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.link.calls().remove(&self.call);
    }
}

impl Link {
    /// Starts the link on the runtime this is called on.
    pub(super) fn start(view: Arc<View>, bus: Arc<dyn Bus>, metrics: ClusterMetrics) -> Self {
        let (announcements, queue) = mpsc::channel(WAITING_MAX);
        let link = Self(Arc::new(Inner {
            is_up: bus.state(),
            runtime: Handle::current(),
            lanes: Mutex::default(),
            announcements,
            calls: Mutex::default(),
            next_call: AtomicU64::new(1),
            peers: RwLock::default(),
            metrics: metrics.clone(),
            bus: Arc::clone(&bus),
            view: Arc::clone(&view),
        }));
        tokio::spawn(announce(Arc::clone(&bus), view.here(), queue, metrics));
        tokio::spawn(drop_calls(Arc::downgrade(&link.0), bus.state()));
        link
    }

    /// Whose the slots are.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.0.view
    }

    /// Whether the bus is there.
    pub(super) fn is_up(&self) -> bool {
        *self.0.is_up.borrow()
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &ClusterMetrics {
        &self.0.metrics
    }

    /// Questions that wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.calls().len()
    }

    /// Says something to one node; what does not fit is lost.
    pub(super) fn tell(&self, node: NodeNumber, message: &Message) {
        let mut bytes = Vec::new();
        envelope::put(message, &mut bytes);
        self.say(node, bytes);
    }

    /// Hands orders for its connections to one node.
    pub(super) fn order(&self, node: NodeNumber, orders: &[Order]) {
        let mut bytes = Vec::new();
        envelope::put_order_message(orders, &mut bytes);
        self.say(node, bytes);
    }

    /// Says something to every node, this one too.
    pub(super) fn announce(&self, message: &Message) {
        let mut bytes = Vec::new();
        envelope::put(message, &mut bytes);
        let counters = self.0.metrics.counters();
        counters.messages_sent.inc();
        if self.0.announcements.try_send(bytes).is_err() {
            counters.messages_lost.inc();
            log::warn!("the bus does not keep up: an announcement is lost");
        }
    }

    /// Asks a node, and waits at most `wait_max` for what it answers.
    pub(super) async fn ask<T: Wire>(
        &self,
        node: NodeNumber,
        request: Request,
        wait_max: Duration,
    ) -> Result<T, AskError> {
        let answered = self.try_ask(node, request, wait_max).await;
        if answered.is_err() {
            self.0.metrics.counters().asks_refused.inc();
        }
        answered
    }

    async fn try_ask<T: Wire>(
        &self,
        node: NodeNumber,
        request: Request,
        wait_max: Duration,
    ) -> Result<T, AskError> {
        let (call, answer) = self.call(node, request)?;
        let _asked = Asked { link: self, call };
        let answered = tokio::time::timeout(wait_max, answer).await;
        let Ok(Ok(bytes)) = answered else { return Err(AskError::Lost) };
        T::get(&mut Input::new(&bytes)).ok_or(AskError::Lost)
    }

    /// Asks a node; says under which number, and where the answer comes.
    fn call(
        &self,
        node: NodeNumber,
        request: Request,
    ) -> Result<(u64, oneshot::Receiver<Vec<u8>>), AskError> {
        if !self.reaches(node) {
            return Err(AskError::Away);
        }
        let call = self.0.next_call.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.calls().insert(call, reply);
        self.tell(node, &Message::Ask(call, request));
        Ok((call, answer))
    }

    /// Answers what another node asked.
    pub(super) fn answer(&self, node: NodeNumber, call: u64, answer: &impl Wire) {
        let mut bytes = Vec::new();
        answer.put(&mut bytes);
        self.tell(node, &Message::Answer(call, bytes));
    }

    /// Takes an answer.
    pub(super) fn answered(&self, call: u64, answer: Vec<u8>) {
        if let Some(reply) = self.calls().remove(&call) {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(answer);
        }
    }

    /// Takes note of a node; says whether it was not known, or had been given up.
    pub(super) fn heard(&self, hello: &Hello) -> bool {
        let peer = Peer {
            name: hello.name.clone(),
            advertise: hello.advertise.clone(),
            heard_at: clock::now(),
        };
        let mut peers = self.0.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.insert(hello.number, peer).is_none()
    }

    /// Says which nodes were not heard of for `silence`, and forgets them.
    pub(super) fn forget_silent(&self, silence: Duration) -> Vec<NodeNumber> {
        let now = clock::now();
        let mut peers = self.0.peers.write().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |peer: &Peer| now >= peer.heard_at + silence;
        let silent: Vec<_> =
            peers.iter().filter(|(_, peer)| is_silent(peer)).map(|(node, _)| *node).collect();
        peers.retain(|_, peer| !is_silent(peer));
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|node, _| !silent.contains(node));
        silent
    }

    /// Gives every node time to be heard again, because none could be.
    pub(super) fn excuse_silence(&self) {
        let mut peers = self.0.peers.write().unwrap_or_else(PoisonError::into_inner);
        for peer in peers.values_mut() {
            peer.heard_at = clock::now();
        }
    }

    /// The other nodes that are there.
    pub(super) fn others(&self) -> Vec<NodeNumber> {
        let peers = self.0.peers.read().unwrap_or_else(PoisonError::into_inner);
        let here = self.0.view.here();
        peers.keys().copied().filter(|node| *node != here).collect()
    }

    /// What a node says of itself.
    pub(super) fn peer(&self, node: NodeNumber) -> Option<Peer> {
        self.0.peers.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Whether a node is worth asking: the bus is there, and the node not known to be silent.
    pub(super) fn reaches(&self, node: NodeNumber) -> bool {
        let now = clock::now();
        self.is_up() && self.peer(node).is_none_or(|peer| now < peer.heard_at + AWAY_AFTER)
    }

    fn say(&self, node: NodeNumber, bytes: Vec<u8>) {
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(node).or_insert_with(|| {
            let (lane, queue) = mpsc::channel(WAITING_MAX);
            let bus = Arc::clone(&self.0.bus);
            let (here, metrics) = (self.0.view.here(), self.0.metrics.clone());
            self.0.runtime.spawn(drive(bus, here, node, queue, metrics));
            lane
        });
        let counters = self.0.metrics.counters();
        counters.messages_sent.inc();
        if lane.try_send(bytes).is_err() {
            counters.messages_lost.inc();
            log::warn!("node {} does not keep up: a message to it is lost", node.0);
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Vec<u8>>>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says to one node what waits for it, as much at once as a packet holds.
async fn drive(
    bus: Arc<dyn Bus>,
    here: NodeNumber,
    node: NodeNumber,
    mut queue: mpsc::Receiver<Vec<u8>>,
    metrics: ClusterMetrics,
) {
    let mut outgoing = Outgoing::new(here);
    let mut body = Vec::new();
    while let Some(first) = queue.recv().await {
        body.clear();
        body.extend_from_slice(&first);
        while body.len() < BODY_MAX / 2
            && let Ok(next) = queue.try_recv()
        {
            body.extend_from_slice(&next);
        }
        for packet in outgoing.packets(&body) {
            // Lost, and its place with it: the other side notices.
            let bytes = packet.len();
            match bus.publish(Subject::Node(node), packet).await {
                Ok(()) => count_sent(&metrics, bytes),
                Err(error) => log::debug!("something for node {} is lost: {error}", node.0),
            }
        }
    }
}

fn count_sent(metrics: &ClusterMetrics, bytes: usize) {
    metrics.counters().packets_sent.inc();
    metrics.counters().bytes_sent.inc_by(bytes as u64);
}

async fn announce(
    bus: Arc<dyn Bus>,
    here: NodeNumber,
    mut queue: mpsc::Receiver<Vec<u8>>,
    metrics: ClusterMetrics,
) {
    while let Some(body) = queue.recv().await {
        let packet = announcement(here, &body);
        let bytes = packet.len();
        match bus.publish(Subject::All, packet).await {
            Ok(()) => count_sent(&metrics, bytes),
            Err(error) => log::debug!("an announcement is lost: {error}"),
        }
    }
}

/// Nobody waits for an answer that cannot come.
async fn drop_calls(link: std::sync::Weak<Inner>, mut is_up: watch::Receiver<bool>) {
    while is_up.changed().await.is_ok() {
        let Some(inner) = link.upgrade() else { return };
        if !*is_up.borrow() {
            inner.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
