//! Takes what is for users of other nodes to their homes, and brings back the answers.
//!
//! It stands where a ReliableDelivery would: one more group, for every slot that is elsewhere.

use std::collections::BTreeMap;

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::asking::Asking;
use super::envelope::{Message, Request};
use super::link::AskError;
use super::wire::Wire;
use crate::delivery::messages::{
    AckEntry, Acks, Attach, Attached, Census, DeliveryPort, DeliveryTrace, Detach, FlushFloors,
    FullSyncOrder, ListCloses, ListSessions, LiveUsers, OrderFullSync, Publish, PublishError,
    Receipt, Revoke, Revoked, SlotOrder, Submission, SyncComplete, TakeCensus, TraceEvent,
    Unreachable, WatchPort,
};
use crate::protocol::{NodeNumber, UserId};

/// Messages that may wait.
const MAILBOX_MAX: usize = 16_384;

/// The actor.
pub(super) struct Router {
    asking: Asking,
}

impl Router {
    pub(super) fn new(asking: Asking) -> Self {
        Self { asking }
    }

    /// Groups by home; what has none is dropped.
    fn by_home<T>(
        &self,
        entries: Vec<T>,
        user: impl Fn(&T) -> &UserId,
    ) -> BTreeMap<NodeNumber, Vec<T>> {
        let mut homes: BTreeMap<NodeNumber, Vec<T>> = BTreeMap::new();
        for entry in entries {
            if let Some(home) = self.asking.home(user(&entry)) {
                homes.entry(home).or_default().push(entry);
            }
        }
        homes
    }

    /// Says something to a user's home, if there is one elsewhere.
    fn tell_home(&self, user: &UserId, message: impl FnOnce() -> Message) {
        if let Some(home) = self.asking.home(user) {
            self.asking.link().tell(home, &message());
        }
    }

    /// Asks a user's home and answers what it says; without an answer, `otherwise`.
    fn ask_home<T: Wire + 'static>(
        &self,
        user: UserId,
        request: Request,
        otherwise: T,
        reply: oneshot::Sender<T>,
    ) {
        let asking = self.asking.clone();
        actix::spawn(async move {
            let answer = asking.ask_home(&user, request).await;
            // Whoever asked may have stopped waiting; so with every answer below.
            let _ = reply.send(answer.unwrap_or(otherwise));
        });
    }

    /// Asks every other node, and answers what `sum` makes of their answers; nothing if it makes
    /// nothing of them: then the asker is refused.
    fn ask_others<T: Wire + 'static, A: 'static>(
        &self,
        request: impl Fn() -> Request + 'static,
        sum: impl FnOnce(Vec<Result<T, AskError>>) -> Option<A> + 'static,
        reply: oneshot::Sender<A>,
    ) {
        let asking = self.asking.clone();
        actix::spawn(async move {
            if let Some(answer) = sum(asking.ask_others(request).await) {
                let _ = reply.send(answer);
            }
        });
    }
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

async fn publish(asking: Asking, events: Vec<Submission>) -> Vec<Published> {
    let mut results: Vec<Published> = vec![Err(PublishError::Moved); events.len()];
    let mut homes: BTreeMap<NodeNumber, (Vec<usize>, Vec<Submission>)> = BTreeMap::new();
    for (place, event) in events.into_iter().enumerate() {
        if let Some(home) = asking.home(&event.user) {
            let (places, events) = homes.entry(home).or_default();
            places.push(place);
            events.push(event);
        }
    }
    let asked = homes.into_iter().map(|(home, (places, events))| {
        let asking = asking.clone();
        async move {
            let takes = events.iter().filter_map(|event| event.wait_acked).max();
            let count = events.len();
            let counters = asking.link().metrics().counters();
            counters.publishes_forwarded.inc_by(count as u64);
            let request = Request::Publish(events);
            let answer = asking.ask_for(home, request, takes.unwrap_or_default()).await;
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
        let published = publish(self.asking.clone(), events);
        actix::spawn(async move { drop(reply.send(published.await)) });
    }
}

impl Handler<Attach> for Router {
    type Result = ();

    fn handle(&mut self, attach: Attach, _ctx: &mut Self::Context) {
        let Attach { user, connection, dialect, kind, reply, .. } = attach;
        let request = Request::Attach(user.clone(), connection, dialect, kind);
        self.ask_home(user, request, Attached::Unavailable, reply);
    }
}

impl Handler<Detach> for Router {
    type Result = ();

    fn handle(&mut self, detach: Detach, _ctx: &mut Self::Context) {
        self.tell_home(&detach.user.clone(), || Message::Detach(detach));
    }
}

impl Handler<Unreachable> for Router {
    type Result = ();

    fn handle(&mut self, Unreachable(gone): Unreachable, _ctx: &mut Self::Context) {
        for (home, gone) in self.by_home(gone, |(user, _)| user) {
            self.asking.link().tell(home, &Message::Unreachable(gone));
        }
    }
}

impl Handler<Acks> for Router {
    type Result = ();

    fn handle(&mut self, Acks(entries): Acks, _ctx: &mut Self::Context) {
        for (home, entries) in self.by_home(entries, |entry: &AckEntry| &entry.user) {
            self.asking.link().tell(home, &Message::Acks(entries));
        }
    }
}

impl Handler<SyncComplete> for Router {
    type Result = ();

    fn handle(&mut self, done: SyncComplete, _ctx: &mut Self::Context) {
        self.tell_home(&done.user.clone(), || Message::SyncComplete(done));
    }
}

impl Handler<ListSessions> for Router {
    type Result = ();

    fn handle(&mut self, ListSessions { user, reply }: ListSessions, _ctx: &mut Self::Context) {
        self.ask_home(user.clone(), Request::ListSessions(user), None, reply);
    }
}

impl Handler<Revoke> for Router {
    type Result = ();

    fn handle(&mut self, Revoke { user, session, reply }: Revoke, _ctx: &mut Self::Context) {
        let request = Request::Revoke(user.clone(), session);
        self.ask_home(user, request, Revoked::Unavailable, reply);
    }
}

impl Handler<OrderFullSync> for Router {
    type Result = ();

    fn handle(&mut self, order: OrderFullSync, _ctx: &mut Self::Context) {
        let OrderFullSync { user, session, reply } = order;
        let request = Request::OrderFullSync(user.clone(), session);
        self.ask_home(user, request, FullSyncOrder::Unavailable, reply);
    }
}

impl Handler<ListCloses> for Router {
    type Result = ();

    fn handle(&mut self, ListCloses { user, reply }: ListCloses, _ctx: &mut Self::Context) {
        let asking = self.asking.clone();
        actix::spawn(async move {
            let request = Request::ListCloses(user.clone());
            // Without an answer the asker is refused.
            if let Some(closes) = asking.ask_home(&user, request).await {
                let _ = reply.send(closes);
            }
        });
    }
}

impl Handler<TraceEvent> for Router {
    type Result = ();

    fn handle(&mut self, TraceEvent { event, reply }: TraceEvent, _ctx: &mut Self::Context) {
        // A part of a trace would mislead.
        let whole = |traces: Vec<Result<Vec<DeliveryTrace>, AskError>>| {
            let traces: Option<Vec<_>> = traces.into_iter().map(Result::ok).collect();
            Some(traces?.concat())
        };
        self.ask_others(move || Request::Trace(event), whole, reply);
    }
}

impl Handler<LiveUsers> for Router {
    type Result = ();

    fn handle(&mut self, LiveUsers(reply): LiveUsers, _ctx: &mut Self::Context) {
        // Users of a node that cannot be reached cannot be told now anyway.
        let all = |users: Vec<Result<Vec<UserId>, AskError>>| {
            Some(users.into_iter().flatten().flatten().collect())
        };
        self.ask_others(|| Request::LiveUsers, all, reply);
    }
}

impl Handler<TakeCensus> for Router {
    type Result = ();

    fn handle(&mut self, TakeCensus(reply): TakeCensus, _ctx: &mut Self::Context) {
        // A node that cannot be reached is left out.
        let sum = |parts: Vec<Result<Census, AskError>>| {
            let mut all = Census::default();
            parts.into_iter().flatten().for_each(|part| all += part);
            Some(all)
        };
        self.ask_others(|| Request::TakeCensus, sum, reply);
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
