//! Takes what other nodes say: answers what they ask of users whose home is here, and hands what
//! comes for connections here to their registries.

mod answers;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use actix::Recipient;
use bytes::Bytes;
use futures_util::StreamExt;

use super::bus::Packets;
use super::envelope::{Message, read_body};
use super::node::Node;
use super::notes::Ears;
use super::packet::{Incoming, Packet};
use super::rooms::RoomsLink;
use crate::delivery::messages::{Acks, Unreachable};
use crate::persistence::messages::PersistencePort;
use crate::protocol::{NodeNumber, UserId};
use crate::registry::messages::{Order, Orders};

/// Everything that came from elsewhere. Cheap to clone, and bound to its thread.
#[derive(Clone)]
pub(super) struct Inbound(Rc<Inner>);

struct Inner {
    node: Node,
    incoming: RefCell<HashMap<NodeNumber, Incoming>>,
    registries: RefCell<HashMap<NodeNumber, Recipient<Orders>>>,
    rooms: RoomsLink,
    ears: Ears,
    store: PersistencePort,
}

impl Inbound {
    pub(super) fn new(node: Node, rooms: RoomsLink, ears: Ears, store: PersistencePort) -> Self {
        let (incoming, registries) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Inner { node, incoming, registries, rooms, ears, store }))
    }

    /// Takes packets until there are no more.
    pub(super) async fn run(self, mut packets: Packets) {
        while let Some(bytes) = packets.next().await {
            match Packet::read(bytes) {
                Ok(packet) => self.arrive(packet).await,
                Err(error) => log::warn!("a packet from another node is refused: {error}"),
            }
        }
        log::error!("the bus has ended");
    }

    async fn arrive(&self, packet: Packet) {
        let from = packet.from;
        let counters = self.0.node.link().metrics().counters();
        if from != self.0.node.here() {
            counters.packets_received.inc();
            counters.bytes_received.inc_by(packet.bytes() as u64);
        }
        if let Some(body) = packet.announced().cloned() {
            if from != self.0.node.here() {
                self.take(from, &body).await;
            }
            return;
        }
        let arrival = self.0.incoming.borrow_mut().entry(from).or_default().arrive(packet);
        if arrival.has_lost {
            counters.gaps.inc();
            log::warn!("something from node {} is lost: its connections attach again", from.0);
            actix::spawn(self.clone().put_right(from));
        }
        if let Some(body) = arrival.body {
            self.take(from, &body).await;
        }
    }

    /// Attaches what is at home on that node again: what was lost is sent again, in order.
    async fn put_right(self, from: NodeNumber) {
        let losses = self.0.incoming.borrow().get(&from).map_or(0, Incoming::losses);
        self.0.node.attach_again_at(from).await;
        if let Some(incoming) = self.0.incoming.borrow_mut().get_mut(&from) {
            incoming.all_attached(losses);
        }
    }

    async fn take(&self, from: NodeNumber, body: &Bytes) {
        let (messages, unread) = read_body(body);
        if unread > 0 {
            log::warn!("{unread} messages from node {} cannot be read", from.0);
        }
        self.0.node.link().metrics().counters().messages_received.inc_by(messages.len() as u64);
        for message in messages {
            self.obey(from, message).await;
        }
    }

    async fn obey(&self, from: NodeNumber, message: Message) {
        let node = &self.0.node;
        match message {
            Message::Hello(hello) => node.heard(hello).await,
            Message::Ask(call, request) => {
                actix::spawn(self.clone().answer(from, call, request));
            }
            Message::Answer(call, answer) => node.link().answered(call, answer),
            Message::Orders(orders) => self.hand(from, orders),
            Message::Acks(acks) => {
                // What does not fit is lost: those events are sent again.
                for (port, entries) in self.by_port(acks, |entry| &entry.user) {
                    if let Some(port) = node.ports().all().get(port)
                        && port.acks.try_send(Acks(entries)).is_err()
                    {
                        log::debug!("acks from node {} are lost", from.0);
                    }
                }
            }
            Message::Detach(detach) => {
                let port = node.ports().of(&detach.user);
                if port.detach.try_send(detach).is_err() {
                    log::debug!("the end of a connection is noticed later");
                }
            }
            Message::Unreachable(gone) => {
                for (port, gone) in self.by_port(gone, |(user, _)| user) {
                    if let Some(port) = node.ports().all().get(port)
                        && port.unreachable.try_send(Unreachable(gone)).is_err()
                    {
                        log::debug!("the end of connections is noticed later");
                    }
                }
            }
            Message::SyncComplete(done) => {
                let port = node.ports().of(&done.user);
                if port.sync_complete.try_send(done).is_err() {
                    log::warn!("the end of a full sync is lost: it will be asked for again");
                }
            }
            Message::Back(slots) => node.back(from, &slots).await,
            Message::Room(note, word) => self.0.rooms.hear(from, &note, word),
            Message::Doubt => node.view().doubt(),
        }
    }

    /// Hands orders to the registries of their connections, apart from what is out of order.
    fn hand(&self, from: NodeNumber, orders: Vec<Order>) {
        let mut workers: HashMap<u32, Vec<Order>> = HashMap::new();
        let mut all_incoming = self.0.incoming.borrow_mut();
        let incoming = all_incoming.entry(from).or_default();
        let mut give = |worker: u32, order: Order| workers.entry(worker).or_default().push(order);
        for order in orders {
            match order {
                // Said before the slot moved, and kept on the way: it must not come after what the
                // new home says.
                Order::FanOut { user, .. } if self.is_former_home(from, &user) => {
                    log::debug!("node {} is not the home of {user} any more", from.0);
                }
                Order::FanOut { user, frames, room, mut targets, kind } => {
                    targets.retain(|target| incoming.is_in_order(*target));
                    while let Some(worker) = targets.first().map(|first| first.worker) {
                        let theirs =
                            targets.extract_if(.., |target| target.worker == worker).collect();
                        let (user, frames, room) = (user.clone(), frames.clone(), room.clone());
                        give(worker, Order::FanOut { user, frames, room, targets: theirs, kind });
                    }
                }
                Order::Say { connection, .. } | Order::Resumed { connection } => {
                    incoming.attached(connection);
                    give(connection.worker, order);
                }
                Order::Close { connection, .. } => give(connection.worker, order),
                Order::Room { .. } | Order::LeaveRoom { .. } => {}
            }
        }
        drop(all_incoming);
        for (worker, orders) in workers {
            if !self.0.node.directory().order(worker, orders) {
                // As if it was lost on the way: reliable sessions get it again.
                log::warn!("worker {worker} does not keep up with node {}", from.0);
            }
        }
    }

    fn is_former_home(&self, node: NodeNumber, user: &UserId) -> bool {
        let (home, _) = self.0.node.view().owner(user.slot());
        home.is_some_and(|home| home != node)
    }

    fn by_port<T>(&self, entries: Vec<T>, user: impl Fn(&T) -> &UserId) -> Vec<(usize, Vec<T>)> {
        let ports = self.0.node.ports();
        let mut groups: HashMap<usize, Vec<T>> = HashMap::new();
        for entry in entries {
            groups.entry(ports.group_of(user(&entry))).or_default().push(entry);
        }
        groups.into_iter().collect()
    }
}
