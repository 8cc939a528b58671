//! SessionRegistry: hands events to the connections of one worker, and looks after them.
//!
//! No message per delivery: one order names an event and everyone here who gets it, and the
//! frame is encoded once per dialect.

use std::collections::HashSet;
use std::hint::black_box;
use std::iter::Peekable;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::checks::Check;
use super::connection::{Connection, Write};
use super::messages::{AttachAgain, Drain, Order, Orders, RoomFrame, SendKind};
use super::worker::Worker;
use crate::clock;
use crate::delivery::messages::Unreachable;
use crate::dialect::{Burst, EventFrames, frame};
use crate::protocol::{ClientError, CloseCode, ConnectionId, NoteId, NotePush, Push, UserId};
use crate::ws::heartbeat::Beat;
use crate::ws::outbox::Pushed;

/// Messages that may wait; delivery actors keep what does not fit.
const MAILBOX_MAX: usize = 4_096;

/// A reader with more than this waiting gets no signals.
const SIGNAL_BEHIND_BYTES_MAX: usize = 16 * 1024;

/// Connections whose memory is fetched together.
const BATCH: usize = 32;

/// How often it is looked at how much waits.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// How often connections are closed while draining.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// How long a drain waits for the last connections to be gone.
const DRAIN_LINGER: Duration = Duration::from_millis(300);

/// The actor. One per worker, on the worker's own thread.
pub(super) struct SessionRegistry {
    worker: Worker,
    /// Bytes that waited for readers when that was last told.
    outbox_bytes: usize,
}

impl SessionRegistry {
    /// The registry of this worker.
    pub(super) fn new(worker: Worker) -> Self {
        Self { worker, outbox_bytes: 0 }
    }

    /// Tells how much waits for readers.
    fn measure(&mut self) {
        let bytes = self.worker.places().iter().map(|connection| connection.outbox.bytes()).sum();
        let before = std::mem::replace(&mut self.outbox_bytes, bytes);
        self.worker.parts().metrics.outboxes_measured(before, bytes);
    }

    fn fan_out(
        &self,
        user: &UserId,
        burst: &Burst,
        room: Option<&NoteId>,
        targets: impl Iterator<Item = ConnectionId>,
        mut held: Option<&mut Vec<Rc<Connection>>>,
    ) {
        let mut gone = Vec::new();
        let mut slow = Vec::new();
        let places = self.worker.places();
        let mut found = Vec::with_capacity(targets.size_hint().1.unwrap_or_default());
        for target in targets {
            match places.get(target) {
                Some(connection) => found.push(connection),
                None => gone.push((user.clone(), target)),
            }
        }
        for batch in found.chunks(BATCH) {
            fetch(batch);
            for connection in batch {
                if room.is_some_and(|room| !connection.is_in(room)) {
                    continue;
                }
                let pushed = match &mut held {
                    Some(held) => {
                        held.push(Rc::clone(connection));
                        connection.hand(burst, Write::AtFlush)
                    }
                    None => connection.hand(burst, Write::Now),
                };
                if pushed == Pushed::Overflow {
                    slow.push(Rc::clone(connection));
                }
            }
        }
        drop(found);
        drop(places);
        for connection in slow {
            self.worker.close(&connection, CloseCode::TooSlow);
        }
        if !gone.is_empty() {
            // If this is lost, the next fan-out says it again.
            let port = self.worker.parts().deliveries.of(user);
            if port.unreachable.try_send(Unreachable(gone)).is_err() {
                log::debug!("a delivery actor does not keep up");
            }
        }
    }

    /// The connections that read what they got before, among those that get something again in
    /// `orders`. What still waits for a slow reader will reach it: no second copy behind it.
    fn ready_for_more(&self, orders: &[Order]) -> HashSet<ConnectionId> {
        let places = self.worker.places();
        orders
            .iter()
            .filter_map(|order| match order {
                Order::FanOut { targets, kind: SendKind::Redelivery, .. } => Some(targets),
                Order::FanOut { .. }
                | Order::Say { .. }
                | Order::Room { .. }
                | Order::LeaveRoom { .. }
                | Order::Resumed { .. }
                | Order::Close { .. } => None,
            })
            .flatten()
            // One that is gone is for the fan-out to notice.
            .filter(|target| places.get(**target).is_none_or(|found| found.outbox.is_empty()))
            .copied()
            .collect()
    }

    fn tell_room(&self, frame: &Bytes, targets: &[ConnectionId], kind: RoomFrame) {
        let mut slow = Vec::new();
        let places = self.worker.places();
        for connection in targets.iter().filter_map(|target| places.get(*target)) {
            let is_behind = connection.outbox.bytes() > SIGNAL_BEHIND_BYTES_MAX;
            if kind == RoomFrame::Signal && is_behind {
                continue;
            }
            if connection.outbox.push(frame.clone()) == Pushed::Overflow {
                slow.push(Rc::clone(connection));
            }
        }
        drop(places);
        for connection in slow {
            self.worker.close(&connection, CloseCode::TooSlow);
        }
    }

    fn say(&self, connection: ConnectionId, push: &Push) {
        let Some(connection) = self.worker.connection(connection) else { return };
        if connection.say(push) == Pushed::Overflow {
            self.worker.close(&connection, CloseCode::TooSlow);
        }
    }

    fn look(&self) {
        let now = clock::now();
        while let Some(check) = self.worker.pop_due(now) {
            match check {
                Check::Auth(id) => self.check_auth(id),
                Check::Beat(id) => self.beat(id),
                Check::Age(id) => {
                    let Some(connection) = self.worker.connection(id) else { continue };
                    if connection.ends_at.get().is_some_and(|ends_at| ends_at <= now) {
                        self.worker.close(&connection, CloseCode::AuthFailed);
                    }
                }
                Check::Reap(id) => {
                    if let Some(connection) = self.worker.connection(id) {
                        connection.cut();
                    }
                }
            }
        }
        self.worker.detach_again();
    }

    fn check_auth(&self, id: ConnectionId) {
        let Some(connection) = self.worker.connection(id) else { return };
        if connection.user.borrow().is_some() {
            return;
        }
        connection.say(&Push::Error(ClientError::AuthTimeout));
        self.worker.close(&connection, CloseCode::AuthFailed);
    }

    fn beat(&self, id: ConnectionId) {
        let Some(connection) = self.worker.connection(id) else { return };
        let settings = &self.worker.config().ws;
        let mut heartbeat = connection.heartbeat.get();
        let beat = heartbeat.beat(settings.pings_unanswered_max);
        connection.heartbeat.set(heartbeat);
        match beat {
            Beat::Ping => {
                connection.outbox.push(frame::ping(b""));
                self.worker.due_in(settings.ping_interval_ms, Check::Beat(id));
            }
            Beat::Dead => {
                log::debug!(connection_id:% = id; "dead: pings unanswered");
                connection.cut();
            }
        }
    }
}

/// Takes the next order if it is one more event for the same connections.
fn next_for(
    orders: &mut Peekable<impl Iterator<Item = Order>>,
    user: &UserId,
    targets: &[ConnectionId],
) -> Option<Arc<EventFrames>> {
    let next = orders.next_if(|next| match next {
        Order::FanOut { user: of, room: None, targets: to, kind: SendKind::First, .. } => {
            to == targets && of == user
        }
        _ => false,
    });
    match next {
        Some(Order::FanOut { frames, .. }) => Some(frames),
        _ => None,
    }
}

/// Reads a little of each connection. One after the other, with a system call in between, each
/// would have to wait for memory several times; here the processor waits for all of them at once.
fn fetch(batch: &[&Rc<Connection>]) {
    let first = batch.iter().map(|connection| connection.commands.get());
    black_box(first.fold(0, usize::wrapping_add));
    let second = batch.iter().map(|connection| connection.touch());
    black_box(second.fold(0, usize::wrapping_add));
}

impl Actor for SessionRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let settings = &self.worker.config().ws;
        // A tenth of the shortest clock is precise enough.
        let shortest = settings.ping_interval_ms.min(settings.auth_timeout_ms);
        let every =
            Duration::from_millis((shortest.min(settings.close_grace_ms) / 10).clamp(5, 250));
        ctx.run_interval(every, |registry, _| registry.look());
        ctx.run_interval(MEASURE_EVERY, |registry, _| registry.measure());
    }
}

impl Handler<Orders> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Orders(orders): Orders, _ctx: &mut Self::Context) {
        let ready = self.ready_for_more(&orders);
        // Of several events, those of one connection are written together.
        let mut held = (orders.len() > 1).then(Vec::new);
        let mut orders = orders.into_iter().peekable();
        while let Some(order) = orders.next() {
            match order {
                Order::FanOut { user, frames, room: None, targets, kind: SendKind::First } => {
                    let mut burst = Burst::new(frames);
                    while let Some(frames) = next_for(&mut orders, &user, &targets) {
                        burst.push(frames);
                    }
                    self.fan_out(&user, &burst, None, targets.into_iter(), held.as_mut());
                }
                Order::FanOut { user, frames, room, targets, kind } => {
                    let targets = targets.into_iter().filter(|target| match kind {
                        SendKind::First => true,
                        SendKind::Redelivery => ready.contains(target),
                    });
                    let burst = Burst::new(frames);
                    self.fan_out(&user, &burst, room.as_ref(), targets, held.as_mut());
                }
                Order::Say { connection, push } => self.say(connection, &push),
                Order::Room { frame, targets, kind } => self.tell_room(&frame, &targets, kind),
                Order::LeaveRoom { connection, note } => {
                    if let Some(connection) = self.worker.connection(connection) {
                        connection.rooms.borrow_mut().retain(|room| *room != note);
                        self.say(connection.id, &Push::Note(NotePush::Left(note)));
                    }
                }
                // Nothing is lost on the way between actors of one node.
                Order::Resumed { .. } => {}
                Order::Close { connection, code } => {
                    if let Some(connection) = self.worker.connection(connection) {
                        self.worker.close(&connection, code);
                    }
                }
            }
        }
        for connection in held.into_iter().flatten() {
            connection.outbox.flush();
        }
    }
}

impl Handler<AttachAgain> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, AttachAgain { slots, reply }: AttachAgain, _ctx: &mut Self::Context) {
        actix::spawn(self.worker.clone().attach_all_again(slots, reply));
    }
}

impl Handler<Drain> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Drain { window, reply }: Drain, _ctx: &mut Self::Context) {
        self.worker.start_draining();
        actix::spawn(drain(self.worker.clone(), window, reply));
    }
}

/// Tells every connection to come back, a slice at a time, and waits a little for them to go.
async fn drain(worker: Worker, window: Duration, reply: oneshot::Sender<usize>) {
    let connections = worker.connections();
    let count = connections.len();
    let steps = (window.as_millis() / DRAIN_STEP.as_millis()).max(1) as usize;
    let slice = count.div_ceil(steps).max(1);
    // About one comes back per millisecond.
    let spread_ms = (count as u64).clamp(1_000, 15_000);
    for connections in connections.chunks(slice) {
        for connection in connections {
            tell_to_come_back(&worker, connection, spread_ms);
        }
        tokio::time::sleep(DRAIN_STEP).await;
    }
    let deadline = tokio::time::Instant::now() + DRAIN_LINGER;
    while worker.connections_count() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(DRAIN_STEP).await;
    }
    let _ = reply.send(count);
}

fn tell_to_come_back(worker: &Worker, connection: &Connection, spread_ms: u64) {
    let retry_after_ms = 250 + getrandom::u64().unwrap_or(0) % spread_ms;
    connection.say(&Push::Reconnect { retry_after_ms });
    worker.close(connection, CloseCode::Restart);
}
