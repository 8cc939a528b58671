//! Answers what other nodes ask. What has no answer is not answered: the asker stops waiting.

use actix::{Actor, Recipient};

use super::Inbound;
use crate::cluster::envelope::Request;
use crate::cluster::remote::RemoteRegistry;
use crate::cluster::wire::Wire;
use crate::delivery::messages::{
    Attach, AttachKind, Attached, ListCloses, ListSessions, OrderFullSync, PublishError, Revoke,
};
use crate::delivery::{asked, hand_out};
use crate::dialect::DialectKind;
use crate::persistence::messages::{BroadcastOutcome, FindEvent, PersistencePort, ReadPage};
use crate::persistence::start_in;
use crate::protocol::{ConnectionId, NodeNumber, UserId};
use crate::registry::messages::Orders;

impl Inbound {
    /// Answers one question.
    pub(super) async fn answer(self, from: NodeNumber, call: u64, request: Request) {
        let ports = self.0.node.ports();
        match request {
            Request::Publish(events) => {
                let mut results = vec![Err(PublishError::Unavailable); events.len()];
                let events = events.into_iter().enumerate().collect();
                hand_out(ports, events, &mut results).await;
                self.say(from, call, Some(results));
            }
            Request::Attach(user, connection, dialect, kind) => {
                let attached = self.attach(from, user, connection, dialect, kind).await;
                self.say(from, call, Some(attached));
            }
            Request::ListSessions(user) => {
                let port = &ports.of(&user).list_sessions;
                let listed = asked(port, |reply| ListSessions { user, reply }).await;
                self.say(from, call, listed);
            }
            Request::Revoke(user, session) => {
                let port = &ports.of(&user).revoke;
                let revoked = asked(port, |reply| Revoke { user, session, reply }).await;
                self.say(from, call, revoked);
            }
            Request::ListCloses(user) => {
                let port = &ports.of(&user).watch.closes;
                let closes = asked(port, |reply| ListCloses { user, reply }).await;
                self.say(from, call, closes);
            }
            Request::OrderFullSync(user, session) => {
                let port = &ports.of(&user).watch.full_sync;
                let ordered = asked(port, |reply| OrderFullSync { user, session, reply }).await;
                self.say(from, call, ordered);
            }
            Request::Trace(event) => self.say(from, call, ports.trace(event).await),
            Request::LiveUsers => self.say(from, call, Some(ports.live_users().await)),
            Request::TakeCensus => self.say(from, call, Some(ports.census().await)),
            Request::TakeFigures => {
                self.say(from, call, Some(self.0.node.figures().await));
            }
            Request::Note(order) => self.say(from, call, Some(self.0.ears.obey(*order).await)),
            Request::ListNotes(query) => {
                self.say(from, call, Some(self.0.ears.list(query).await));
            }
            Request::ReadPage(..) | Request::FindEvent(..) | Request::StartBroadcast(..) => {
                self.answer_of_store(from, call, request).await;
            }
        }
    }

    /// Answers what this node's database knows.
    async fn answer_of_store(&self, from: NodeNumber, call: u64, request: Request) {
        let store: &PersistencePort = &self.0.store;
        match request {
            Request::ReadPage(user, after, now, events_max, bytes_max) => {
                let read = |reply| ReadPage { user, after, now, events_max, bytes_max, reply };
                let page = asked(&store.read_page, read).await.and_then(Result::ok);
                self.say(from, call, Some(page));
            }
            Request::FindEvent(event, users_max) => {
                let find = |reply| FindEvent { event, users_max, reply };
                let found = asked(&store.find_event, find).await.and_then(Result::ok);
                self.say(from, call, Some(found));
            }
            Request::StartBroadcast(content, duplicate) => {
                let started = start_in(&store.start_broadcast, content, duplicate).await.ok();
                if matches!(started, Some(BroadcastOutcome::Started { .. })) {
                    self.0.ears.broadcast_started();
                }
                self.say(from, call, Some(started));
            }
            Request::Publish(_)
            | Request::Attach(..)
            | Request::ListSessions(_)
            | Request::Revoke(..)
            | Request::Trace(_)
            | Request::LiveUsers
            | Request::Note(_)
            | Request::ListCloses(_)
            | Request::OrderFullSync(..)
            | Request::TakeCensus
            | Request::TakeFigures
            | Request::ListNotes(_) => {}
        }
    }

    fn say(&self, to: NodeNumber, call: u64, answer: Option<impl Wire>) {
        if let Some(answer) = answer {
            self.0.node.link().answer(to, call, &answer);
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
        let port = &self.0.node.ports().of(&user).attach;
        let attach = |reply| Attach { user, connection, registry, dialect, kind, reply };
        asked(port, attach).await.unwrap_or(Attached::Unavailable)
    }

    /// Where orders for connections of another node go.
    fn registry(&self, node: NodeNumber) -> Recipient<Orders> {
        let mut registries = self.0.registries.borrow_mut();
        let link = self.0.node.link();
        let start = || RemoteRegistry::new(node, link.clone()).start().recipient();
        registries.entry(node).or_insert_with(start).clone()
    }
}
