//! Takes what other nodes say: answers what they ask of users whose home is here, and hands what
//! comes for connections here to their registries.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use actix::{Actor, Recipient};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::bus::Packets;
use super::envelope::{Message, Request, read_body};
use super::node::Node;
use super::packet::{Incoming, Packet};
use super::remote::RemoteRegistry;
use super::rooms::RoomsLink;
use super::turns::Turns;
use crate::delivery::hand_out;
use crate::delivery::messages::{
    Acks, Attach, AttachKind, Attached, Census, ListCloses, LiveUsers, OrderFullSync, PublishError,
    TakeCensus, TraceEvent, Unreachable,
};
use crate::dialect::DialectKind;
use crate::protocol::{ConnectionId, NodeNumber, UserId};
use crate::registry::messages::{Order, Orders};

/// Everything that came from elsewhere. Cheap to clone, and bound to its thread.
#[derive(Clone)]
pub(super) struct Inbound(Rc<Inner>);

struct Inner {
    node: Node,
    incoming: RefCell<HashMap<NodeNumber, Incoming>>,
    registries: RefCell<HashMap<NodeNumber, Recipient<Orders>>>,
    rooms: RoomsLink,
    turns: Turns,
}

impl Inbound {
    pub(super) fn new(node: Node, rooms: RoomsLink, turns: Turns) -> Self {
        let (incoming, registries) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Inner { node, incoming, registries, rooms, turns }))
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
        if let Some(body) = packet.announced().cloned() {
            if from != self.0.node.here() {
                self.take(from, &body).await;
            }
            return;
        }
        let arrival = self.0.incoming.borrow_mut().entry(from).or_default().arrive(packet);
        if arrival.has_lost {
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
            Message::TurnOver(call, is_told) => self.0.turns.over(from, call, is_told),
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

    /// Answers what an administrator asks beside listing and revoking.
    async fn watch(&self, from: NodeNumber, call: u64, request: Request) {
        let node = &self.0.node;
        let link = node.link();
        match request {
            Request::ListCloses(user) => {
                let port = &node.ports().of(&user).watch.closes;
                let (reply, answer) = oneshot::channel();
                if port.send(ListCloses { user, reply }).await.is_ok()
                    && let Ok(closes) = answer.await
                {
                    link.answer(from, call, &closes);
                }
            }
            Request::OrderFullSync(user, session) => {
                let port = &node.ports().of(&user).watch.full_sync;
                let (reply, answer) = oneshot::channel();
                if port.send(OrderFullSync { user, session, reply }).await.is_ok()
                    && let Ok(ordered) = answer.await
                {
                    link.answer(from, call, &ordered);
                }
            }
            Request::TakeCensus => {
                let mut all = Census::default();
                for port in node.ports().all() {
                    let (reply, answer) = oneshot::channel();
                    if port.watch.census.send(TakeCensus(reply)).await.is_ok()
                        && let Ok(census) = answer.await
                    {
                        all += census;
                    }
                }
                link.answer(from, call, &all);
            }
            Request::Publish(_)
            | Request::Attach(..)
            | Request::ListSessions(_)
            | Request::Revoke(..)
            | Request::Trace(_)
            | Request::LiveUsers
            | Request::Turn(_) => {}
        }
    }

    async fn answer(self, from: NodeNumber, call: u64, request: Request) {
        let node = &self.0.node;
        let link = node.link();
        match request {
            Request::Publish(events) => {
                let mut results = vec![Err(PublishError::Unavailable); events.len()];
                let events = events.into_iter().enumerate().collect();
                hand_out(node.ports(), events, &mut results).await;
                link.answer(from, call, &results);
            }
            Request::Attach(user, connection, dialect, kind) => {
                let attached = self.attach(from, user, connection, dialect, kind).await;
                link.answer(from, call, &attached);
            }
            Request::ListSessions(user) => {
                let port = &node.ports().of(&user).list_sessions;
                let (reply, answer) = oneshot::channel();
                let list = crate::delivery::messages::ListSessions { user, reply };
                if port.send(list).await.is_ok() {
                    link.answer(from, call, &answer.await.unwrap_or(None));
                }
            }
            Request::Revoke(user, session) => {
                let port = &node.ports().of(&user).revoke;
                let (reply, answer) = oneshot::channel();
                let revoke = crate::delivery::messages::Revoke { user, session, reply };
                if port.send(revoke).await.is_ok()
                    && let Ok(revoked) = answer.await
                {
                    link.answer(from, call, &revoked);
                }
            }
            Request::ListCloses(_) | Request::OrderFullSync(..) | Request::TakeCensus => {
                self.watch(from, call, request).await;
            }
            Request::Trace(event) => {
                let asked = node.ports().all().iter().map(|port| async move {
                    let (reply, answer) = oneshot::channel();
                    port.trace.send(TraceEvent { event, reply }).await.ok()?;
                    answer.await.ok()
                });
                let traces: Option<Vec<_>> = join_all(asked).await.into_iter().collect();
                if let Some(traces) = traces {
                    let traces: Vec<_> = traces.into_iter().flatten().collect();
                    link.answer(from, call, &traces);
                }
            }
            Request::LiveUsers => {
                let asked = node.ports().all().iter().map(|port| async move {
                    let (reply, answer) = oneshot::channel();
                    port.live_users.send(LiveUsers(reply)).await.ok()?;
                    answer.await.ok()
                });
                let users = join_all(asked).await.into_iter().flatten();
                let users: Vec<_> = users.flatten().collect();
                link.answer(from, call, &users);
            }
            Request::Turn(note) => self.0.turns.give(link, from, call, note).await,
        }
    }

    async fn attach(
        &self,
        from: NodeNumber,
        user: UserId,
        connection: ConnectionId,
        dialect: DialectKind,
        kind: AttachKind,
    ) -> Attached {
        let registry = self.registry(from);
        let (reply, answer) = oneshot::channel();
        let port = self.0.node.ports().of(&user).attach.clone();
        let attach = Attach { user, connection, registry, dialect, kind, reply };
        if port.send(attach).await.is_err() {
            return Attached::Unavailable;
        }
        answer.await.unwrap_or(Attached::Unavailable)
    }

    /// Where orders for connections of another node go.
    fn registry(&self, node: NodeNumber) -> Recipient<Orders> {
        let mut registries = self.0.registries.borrow_mut();
        let link = self.0.node.link();
        let start = || RemoteRegistry::new(node, link.clone()).start().recipient();
        registries.entry(node).or_insert_with(start).clone()
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
