//! Takes what is for users of other nodes to their homes, and brings back the answers.
//!
//! It stands where a ReliableDelivery would: one more group, for every slot that is elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use futures_util::future::join_all;

use super::envelope::{Message, Request};
use super::link::{AskError, Link};
use crate::delivery::messages::{
    AckEntry, Acks, Attach, Attached, Census, DeliveryPort, Detach, FlushFloors, FullSyncOrder,
    ListCloses, ListSessions, LiveUsers, OrderFullSync, Publish, PublishError, Receipt, Revoke,
    Revoked, SlotOrder, Submission, SyncComplete, TakeCensus, TraceEvent, Unreachable, WatchPort,
};
use crate::protocol::{NodeNumber, UserId};

/// Messages that may wait.
const MAILBOX_MAX: usize = 16_384;

/// The actor.
pub(super) struct Router {
    link: Link,
    answer_wait: Duration,
}

impl Router {
    pub(super) fn new(link: Link, answer_wait: Duration) -> Self {
        Self { link, answer_wait }
    }

    /// The node that has a user's slot, unless it is this one: then whoever sent it here looks
    /// again.
    fn home(&self, user: &UserId) -> Option<NodeNumber> {
        home(&self.link, user)
    }

    /// Groups by home; what has none is dropped.
    fn by_home<T>(
        &self,
        entries: Vec<T>,
        user: impl Fn(&T) -> &UserId,
    ) -> BTreeMap<NodeNumber, Vec<T>> {
        let mut homes: BTreeMap<NodeNumber, Vec<T>> = BTreeMap::new();
        for entry in entries {
            if let Some(home) = self.home(user(&entry)) {
                homes.entry(home).or_default().push(entry);
            }
        }
        homes
    }
}

fn home(link: &Link, user: &UserId) -> Option<NodeNumber> {
    let (owner, _) = link.view().owner(user.slot());
    owner.filter(|owner| *owner != link.view().here())
}

/// What others may ask of it: the same as of a ReliableDelivery.
pub(super) fn port(addr: &Addr<Router>) -> DeliveryPort {
    DeliveryPort {
        publish: addr.clone().recipient(),
        attach: addr.clone().recipient(),
        detach: addr.clone().recipient(),
        unreachable: addr.clone().recipient(),
        acks: addr.clone().recipient(),
        sync_complete: addr.clone().recipient(),
        list_sessions: addr.clone().recipient(),
        revoke: addr.clone().recipient(),
        trace: addr.clone().recipient(),
        live_users: addr.clone().recipient(),
        flush_floors: addr.clone().recipient(),
        slots: addr.clone().recipient(),
        watch: WatchPort {
            census: addr.clone().recipient(),
            closes: addr.clone().recipient(),
            full_sync: addr.clone().recipient(),
        },
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let _ = ctx.address();
    }
}

type Published = Result<Receipt, PublishError>;

async fn publish(link: Link, events: Vec<Submission>, answer_wait: Duration) -> Vec<Published> {
    let mut results: Vec<Published> = vec![Err(PublishError::Moved); events.len()];
    let mut homes: BTreeMap<NodeNumber, (Vec<usize>, Vec<Submission>)> = BTreeMap::new();
    for (place, event) in events.into_iter().enumerate() {
        if let Some(home) = home(&link, &event.user) {
            let (places, events) = homes.entry(home).or_default();
            places.push(place);
            events.push(event);
        }
    }
    let asked = homes.into_iter().map(|(home, (places, events))| {
        let link = link.clone();
        async move {
            let wait_acked = events.iter().filter_map(|event| event.wait_acked).max();
            let wait_max = answer_wait + wait_acked.unwrap_or_default();
            let count = events.len();
            let answer = link.ask(home, Request::Publish(events), wait_max).await;
            let answers: Vec<Published> = answer.unwrap_or_else(|error: AskError| {
                log::debug!("{count} events for node {} were not published: {error}", home.0);
                vec![Err(PublishError::Unavailable); count]
            });
            (places, answers)
        }
    });
    for (places, answers) in join_all(asked).await {
        for (place, answer) in places.into_iter().zip(answers) {
            if let Some(result) = results.get_mut(place) {
                *result = answer;
            }
        }
    }
    results
}

impl Handler<Publish> for Router {
    type Result = ();

    fn handle(&mut self, Publish { events, reply }: Publish, _ctx: &mut Self::Context) {
        let published = publish(self.link.clone(), events, self.answer_wait);
        // Whoever asked may have stopped waiting; so with every answer below.
        actix::spawn(async move { drop(reply.send(published.await)) });
    }
}

impl Handler<Attach> for Router {
    type Result = ();

    fn handle(&mut self, attach: Attach, _ctx: &mut Self::Context) {
        let Attach { user, connection, dialect, kind, reply, .. } = attach;
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        let home = self.home(&user);
        actix::spawn(async move {
            let attached = match home {
                Some(home) => {
                    let request = Request::Attach(user, connection, dialect, kind);
                    link.ask(home, request, wait_max).await.unwrap_or(Attached::Unavailable)
                }
                None => Attached::Unavailable,
            };
            let _ = reply.send(attached);
        });
    }
}

impl Handler<Detach> for Router {
    type Result = ();

    fn handle(&mut self, detach: Detach, _ctx: &mut Self::Context) {
        if let Some(home) = self.home(&detach.user) {
            self.link.tell(home, &Message::Detach(detach));
        }
    }
}

impl Handler<Unreachable> for Router {
    type Result = ();

    fn handle(&mut self, Unreachable(gone): Unreachable, _ctx: &mut Self::Context) {
        for (home, gone) in self.by_home(gone, |(user, _)| user) {
            self.link.tell(home, &Message::Unreachable(gone));
        }
    }
}

impl Handler<Acks> for Router {
    type Result = ();

    fn handle(&mut self, Acks(entries): Acks, _ctx: &mut Self::Context) {
        for (home, entries) in self.by_home(entries, |entry: &AckEntry| &entry.user) {
            self.link.tell(home, &Message::Acks(entries));
        }
    }
}

impl Handler<SyncComplete> for Router {
    type Result = ();

    fn handle(&mut self, done: SyncComplete, _ctx: &mut Self::Context) {
        if let Some(home) = self.home(&done.user) {
            self.link.tell(home, &Message::SyncComplete(done));
        }
    }
}

impl Handler<ListSessions> for Router {
    type Result = ();

    fn handle(&mut self, ListSessions { user, reply }: ListSessions, _ctx: &mut Self::Context) {
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        let home = self.home(&user);
        actix::spawn(async move {
            let sessions = match home {
                Some(home) => {
                    link.ask(home, Request::ListSessions(user), wait_max).await.unwrap_or(None)
                }
                None => None,
            };
            let _ = reply.send(sessions);
        });
    }
}

impl Handler<Revoke> for Router {
    type Result = ();

    fn handle(&mut self, Revoke { user, session, reply }: Revoke, _ctx: &mut Self::Context) {
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        let home = self.home(&user);
        actix::spawn(async move {
            let revoked = match home {
                Some(home) => {
                    let request = Request::Revoke(user, session);
                    link.ask(home, request, wait_max).await.unwrap_or(Revoked::Unavailable)
                }
                None => Revoked::Unavailable,
            };
            let _ = reply.send(revoked);
        });
    }
}

impl Handler<TraceEvent> for Router {
    type Result = ();

    fn handle(&mut self, TraceEvent { event, reply }: TraceEvent, _ctx: &mut Self::Context) {
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        actix::spawn(async move {
            let asked = link.others().into_iter().map(|node| {
                let link = link.clone();
                async move { link.ask(node, Request::Trace(event), wait_max).await }
            });
            let mut all = Vec::new();
            for traces in join_all(asked).await {
                // A part of a trace would mislead: without an answer the asker is refused.
                let Ok(traces) = traces else { return };
                let traces: Vec<_> = traces;
                all.extend(traces);
            }
            let _ = reply.send(all);
        });
    }
}

impl Handler<LiveUsers> for Router {
    type Result = ();

    fn handle(&mut self, LiveUsers(reply): LiveUsers, _ctx: &mut Self::Context) {
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        actix::spawn(async move {
            let asked = link.others().into_iter().map(|node| {
                let link = link.clone();
                async move { link.ask(node, Request::LiveUsers, wait_max).await }
            });
            // Users of a node that cannot be reached cannot be told now anyway.
            let users: Vec<Vec<UserId>> =
                join_all(asked).await.into_iter().filter_map(Result::ok).collect();
            let _ = reply.send(users.into_iter().flatten().collect());
        });
    }
}

impl Handler<ListCloses> for Router {
    type Result = ();

    fn handle(&mut self, ListCloses { user, reply }: ListCloses, _ctx: &mut Self::Context) {
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        let Some(home) = self.home(&user) else { return };
        actix::spawn(async move {
            // Without an answer the asker is refused.
            if let Ok(closes) = link.ask(home, Request::ListCloses(user), wait_max).await {
                let _ = reply.send(closes);
            }
        });
    }
}

impl Handler<OrderFullSync> for Router {
    type Result = ();

    fn handle(&mut self, order: OrderFullSync, _ctx: &mut Self::Context) {
        let OrderFullSync { user, session, reply } = order;
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        let home = self.home(&user);
        actix::spawn(async move {
            let ordered = match home {
                Some(home) => {
                    let request = Request::OrderFullSync(user, session);
                    link.ask(home, request, wait_max).await.unwrap_or(FullSyncOrder::Unavailable)
                }
                None => FullSyncOrder::Unavailable,
            };
            let _ = reply.send(ordered);
        });
    }
}

impl Handler<TakeCensus> for Router {
    type Result = ();

    fn handle(&mut self, TakeCensus(reply): TakeCensus, _ctx: &mut Self::Context) {
        let (link, wait_max) = (self.link.clone(), self.answer_wait);
        actix::spawn(async move {
            let asked = link.others().into_iter().map(|node| {
                let link = link.clone();
                async move { link.ask(node, Request::TakeCensus, wait_max).await }
            });
            let mut all = Census::default();
            // A node that cannot be reached is left out.
            for census in join_all(asked).await.into_iter().filter_map(Result::ok) {
                all += census;
            }
            let _ = reply.send(all);
        });
    }
}

impl Handler<FlushFloors> for Router {
    type Result = ();

    fn handle(&mut self, FlushFloors(reply): FlushFloors, _ctx: &mut Self::Context) {
        let _ = reply.send(());
    }
}

impl Handler<SlotOrder> for Router {
    type Result = ();

    fn handle(&mut self, order: SlotOrder, _ctx: &mut Self::Context) {
        // It has no slots.
        if let SlotOrder::Leave { reply, .. } = order {
            let _ = reply.send(());
        }
    }
}
