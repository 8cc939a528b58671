//! ReliableDelivery: the pending-event table of one group of slots, with a clock and neighbours.
//!
//! Thin on purpose: every message is one call of the table, and `perform` does
//! what the table decided. It never blocks, and waits for nothing but its turn.

mod perform;
mod replies;
mod slots;
mod turns;
mod watch;

use std::collections::HashMap;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient, WrapFuture};

use self::perform::Registry;
use self::replies::Replies;
use self::slots::{Admission, Slots};
use self::turns::Turns;
use super::messages::{
    Acks, Attach, Attached, DeliveryPort, Detach, FlushFloors, ListSessions, LiveUsers, Publish,
    Revoke, Revoked, SyncComplete, TraceEvent, Unreachable,
};
use super::notices::Notices;
use super::pending::{AttachRequest, FloorRounds, Holdings, Limits, Moment, PendingTable};
use super::retry::RetryPolicy;
use super::window::WindowLimits;
use crate::clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::persistence::messages::{
    Appended, Floor, Flush, LogPruned, LogRead, ObservePruning, PersistencePort, SessionClaimed,
    UserLoaded,
};
use crate::protocol::{Epoch, HubEventKinds, SessionId, SessionRecord, UserId};

/// Messages that may wait for one ReliableDelivery. A full mailbox makes publishers wait
/// (`send().await`); acks and detaches are kept by the workers and tried again.
const MAILBOX_MAX: usize = 8_192;

/// Users nobody needed for this long are forgotten until they are needed again.
const USER_IDLE: Duration = Duration::from_secs(30);

/// How often forgetting is considered.
const EVICT_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked at how much there is.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Requests that wait for their user to be read, at most; beyond, they are refused.
const WAITING_MAX: usize = 65_536;

/// The actor. One per group of slots.
#[derive(Debug)]
pub struct ReliableDelivery {
    group: usize,
    table: PendingTable,
    persistence: PersistencePort,
    metrics: Metrics,
    notices: Notices,
    tick: Duration,
    floor_flush: Duration,
    floor_rounds: FloorRounds,
    registries: HashMap<u32, Registry>,
    turns: Turns,
    /// Deliveries that were ordered since the last word to the registries.
    targets: usize,
    replies: Replies,
    /// Sessions that could not be written yet: the store was full.
    unsaved: HashMap<SessionId, (UserId, SessionRecord, Epoch)>,
    /// Floors that could not be written yet.
    floors: Vec<Floor>,
    /// What the table held when that was last told.
    holdings: Holdings,
    myself: Option<Myself>,
    slots: Slots,
}

/// Where the store's answers go.
#[derive(Debug)]
struct Myself {
    appended: Recipient<Appended>,
    claimed: Recipient<SessionClaimed>,
    loaded: Recipient<UserLoaded>,
    log_read: Recipient<LogRead>,
}

impl ReliableDelivery {
    /// The actor for one group of slots.
    pub fn new(
        group: usize,
        config: &Config,
        persistence: PersistencePort,
        metrics: Metrics,
        notices: Notices,
    ) -> Self {
        Self {
            group,
            table: PendingTable::new(limits(config, notices.kinds())),
            persistence,
            metrics,
            notices,
            tick: Duration::from_millis(config.delivery.tick_ms),
            floor_flush: Duration::from_millis(config.delivery.floor_flush_ms),
            floor_rounds: FloorRounds::default(),
            registries: HashMap::new(),
            turns: Turns::default(),
            targets: 0,
            replies: Replies::default(),
            unsaved: HashMap::new(),
            floors: Vec::new(),
            holdings: Holdings::default(),
            myself: None,
            slots: Slots::default(),
        }
    }
}

impl ReliableDelivery {
    /// Tells how much there is.
    fn measure(&mut self) {
        let holdings = self.table.holdings();
        self.metrics.measured(&std::mem::replace(&mut self.holdings, holdings), &holdings);
    }
}

/// What others may ask of this actor.
pub fn port(addr: &Addr<ReliableDelivery>) -> DeliveryPort {
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
        watch: watch::port(addr),
    }
}

fn limits(config: &Config, notices: HubEventKinds) -> Limits {
    let delivery = &config.delivery;
    Limits {
        retry: RetryPolicy {
            ack_wait: Duration::from_millis(delivery.ack_wait_ms),
            redeliveries_max: delivery.redeliveries_max,
        },
        window: WindowLimits {
            events_max: delivery.in_flight_max,
            bytes_max: delivery.in_flight_bytes_max,
        },
        owed_max: config.retention.owed_events_max,
        connections_max: config.limits.connections_per_user_max,
        sessions_max: config.limits.sessions_per_user_max,
        users_cached_max: delivery.users_cached_max,
        waiting_max: WAITING_MAX,
        traces_max: delivery.traces_max,
        notices,
    }
}

fn moment() -> Moment {
    Moment { now: clock::now(), wall: clock::wall() }
}

impl Actor for ReliableDelivery {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let addr = ctx.address();
        self.myself = Some(Myself {
            appended: addr.clone().recipient(),
            claimed: addr.clone().recipient(),
            loaded: addr.clone().recipient(),
            log_read: addr.clone().recipient(),
        });
        let observe = self.persistence.observe_pruning.send(ObservePruning(addr.recipient()));
        ctx.spawn(
            async move {
                if observe.await.is_err() {
                    log::warn!("pruning goes unobserved: the store is closed");
                }
            }
            .into_actor(self),
        );
        ctx.run_interval(self.tick, |actor, _| actor.beat());
        ctx.run_interval(self.floor_part(), |actor, _| actor.write_part());
        ctx.run_interval(MEASURE_EVERY, |actor, _| actor.measure());
        ctx.run_interval(EVICT_EVERY, |actor, _| actor.table.evict(USER_IDLE, clock::now()));
    }
}

impl Handler<Publish> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, Publish { events, reply }: Publish, ctx: &mut Self::Context) {
        self.worked(events.len(), ctx);
        let batch = self.replies.open_batch(events.len(), reply);
        let moment = moment();
        for (place, submission) in events.into_iter().enumerate() {
            let ticket = self.table.ticket();
            self.replies.expect_publish(ticket, batch, place);
            self.take_submission(ticket, submission, moment);
        }
        self.perform();
    }
}

impl Handler<Attach> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, attach: Attach, ctx: &mut Self::Context) {
        self.worked(1, ctx);
        let Attach { user, connection, registry, dialect, kind, reply } = attach;
        if self.slots.admit(&user) == Admission::Elsewhere {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Attached::Unavailable);
            return;
        }
        let registries = connection.registry(self.slots.here());
        self.registries.entry(registries).or_insert_with(|| Registry::new(registry));
        let ticket = self.table.ticket();
        self.replies.expect_attach(ticket, user.clone(), connection, reply);
        self.table.attach(ticket, &user, AttachRequest { connection, dialect, kind }, moment());
        self.perform();
    }
}

impl Handler<Detach> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, Detach { user, connection }: Detach, _ctx: &mut Self::Context) {
        self.table.detach(&user, connection, moment());
        self.perform();
    }
}

impl Handler<Unreachable> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, Unreachable(gone): Unreachable, _ctx: &mut Self::Context) {
        let moment = moment();
        for (user, connection) in gone {
            self.table.detach(&user, connection, moment);
        }
        self.perform();
    }
}

impl Handler<Acks> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, Acks(entries): Acks, ctx: &mut Self::Context) {
        self.worked(entries.len(), ctx);
        let moment = moment();
        for entry in &entries {
            self.table.ack(&entry.user, entry.connection, &entry.ack, moment);
        }
        self.perform();
    }
}

impl Handler<SyncComplete> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, SyncComplete { user, connection }: SyncComplete, _: &mut Self::Context) {
        self.table.sync_complete(&user, connection);
        self.perform();
    }
}

impl Handler<ListSessions> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, ListSessions { user, reply }: ListSessions, _ctx: &mut Self::Context) {
        if self.slots.admit(&user) == Admission::Elsewhere {
            let _ = reply.send(None);
            return;
        }
        let ticket = self.table.ticket();
        self.replies.expect_sessions(ticket, reply);
        self.table.list_sessions(ticket, &user, moment());
        self.perform();
    }
}

impl Handler<Revoke> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, Revoke { user, session, reply }: Revoke, _ctx: &mut Self::Context) {
        if self.slots.admit(&user) == Admission::Elsewhere {
            let _ = reply.send(Revoked::Unavailable);
            return;
        }
        let ticket = self.table.ticket();
        self.replies.expect_revoked(ticket, reply);
        self.table.revoke(ticket, &user, session, moment());
        self.perform();
    }
}

impl Handler<TraceEvent> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, TraceEvent { event, reply }: TraceEvent, _ctx: &mut Self::Context) {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(self.table.traces().of(event));
    }
}

impl Handler<LiveUsers> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, LiveUsers(reply): LiveUsers, _ctx: &mut Self::Context) {
        let _ = reply.send(self.table.live_users());
    }
}

impl Handler<FlushFloors> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, FlushFloors(reply): FlushFloors, ctx: &mut Self::Context) {
        self.write_floors(usize::MAX);
        let flush = self.persistence.flush.send(Flush(reply));
        ctx.spawn(
            async move {
                if flush.await.is_err() {
                    log::warn!("floors were not flushed: the store is closed");
                }
            }
            .into_actor(self),
        );
    }
}

impl Handler<Appended> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, Appended(results): Appended, ctx: &mut Self::Context) {
        self.worked(results.len(), ctx);
        let moment = moment();
        for (ticket, result) in results {
            self.slots.heard(&result);
            self.table.appended(ticket, result, moment);
        }
        self.perform();
    }
}

impl Handler<SessionClaimed> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, claimed: SessionClaimed, _ctx: &mut Self::Context) {
        self.table.claimed(claimed.ticket, claimed.result, moment());
        self.perform();
    }
}

impl Handler<UserLoaded> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, UserLoaded { user, result }: UserLoaded, ctx: &mut Self::Context) {
        self.worked(1, ctx);
        self.table.loaded(&user, result, moment());
        self.perform();
    }
}

impl Handler<LogRead> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, read: LogRead, ctx: &mut Self::Context) {
        self.worked(read.result.as_ref().map_or(1, Vec::len), ctx);
        self.table.log_read(&read.user, &read.session, read.ticket, read.result, moment());
        self.perform();
    }
}

impl Handler<LogPruned> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, LogPruned { users }: LogPruned, _ctx: &mut Self::Context) {
        for (user, up_to) in &users {
            self.table.pruned(user, *up_to);
        }
    }
}
