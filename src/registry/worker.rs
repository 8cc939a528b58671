//! What everything on one worker thread shares: the table of connections, the way to the
//! delivery actors, and what is due on this thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Recipient};

use super::acks::AckBatches;
use super::actor::SessionRegistry;
use super::again::Tenancies;
use super::checks::{Check, Checks};
use super::connection::{Connection, SocketHandle};
use super::directory::{Directory, Registry};
use super::messages::{Drain, Orders};
use super::rooms::Rooms;
use super::sessions::Places;
use crate::auth::{Authorize, Failures, Nonces, TokenVerifier};
use crate::clock;
use crate::commands::CommandHandler;
use crate::config::Config;
use crate::delivery::messages::{AckEntry, DeliveryPorts, Detach};
use crate::dialect::DialectKind;
use crate::extension::Extensions;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::notebook::Notebook;
use crate::protocol::{CloseCode, ConnectionId, Push, ReplyTo};
use crate::ws::outbox::{Outbox, Pushed};

/// What a worker is given.
#[derive(Clone)]
pub struct WorkerParts {
    /// The delivery actors.
    pub deliveries: DeliveryPorts,
    /// Checks tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// The host's say in who may connect.
    pub authorize: Arc<dyn Authorize>,
    /// Obeys commands, if the host has a handler.
    pub commands: Option<Arc<dyn CommandHandler>>,
    /// What the host adds.
    pub extensions: Extensions,
    /// Every note.
    pub notebook: Notebook,
    /// Who follows which note.
    pub rooms: Rooms,
    /// Every registry of this process.
    pub directory: Directory,
    /// The addresses whose tokens fail.
    pub failures: Arc<Failures>,
    /// Who may come in, and how often.
    pub gate: Arc<Gate>,
    /// The envelopes that were taken.
    pub nonces: Arc<Nonces>,
    /// The settings.
    pub config: Arc<Config>,
    /// The counters.
    pub metrics: Metrics,
}

/// Commands that one worker runs at a time.
const COMMANDS_MAX: usize = 4_096;

/// A command that counts as running until this is dropped.
pub struct StartedCommand {
    worker: Worker,
    connection: Rc<Connection>,
}

impl Drop for StartedCommand {
    fn drop(&mut self) {
        self.connection.commands.set(self.connection.commands.get() - 1);
        self.worker.0.commands.set(self.worker.0.commands.get() - 1);
    }
}

/// One worker. Cheap to clone, and bound to its thread.
#[derive(Clone)]
pub struct Worker(Rc<Inner>);

struct Inner {
    parts: WorkerParts,
    places: RefCell<Places<Rc<Connection>>>,
    checks: RefCell<Checks>,
    acks: AckBatches,
    /// Detaches that did not fit into a mailbox, to be tried again.
    detaches: RefCell<Vec<Detach>>,
    orders: RefCell<Option<Recipient<Orders>>>,
    /// In a cluster, what each connection was attached as.
    tenancies: RefCell<Tenancies>,
    /// Commands that a handler is at, whether their connections are still there or not.
    commands: Cell<usize>,
    is_draining: Cell<bool>,
}

impl Worker {
    /// Starts the SessionRegistry of the thread this is called on.
    pub fn start(index: u32, parts: WorkerParts) -> (Self, Recipient<Drain>) {
        let acks = AckBatches::new(parts.deliveries.clone());
        let worker = Self(Rc::new(Inner {
            parts,
            places: RefCell::new(Places::new(index)),
            checks: RefCell::default(),
            acks,
            detaches: RefCell::default(),
            orders: RefCell::default(),
            tenancies: RefCell::default(),
            commands: Cell::default(),
            is_draining: Cell::new(false),
        }));
        let addr = SessionRegistry::new(worker.clone()).start();
        let orders: Recipient<Orders> = addr.clone().recipient();
        let registry = Registry { orders: orders.clone(), again: addr.clone().recipient() };
        worker.0.parts.directory.add(index, registry);
        *worker.0.orders.borrow_mut() = Some(orders);
        (worker, addr.recipient())
    }

    /// What it was given.
    pub fn parts(&self) -> &WorkerParts {
        &self.0.parts
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.parts.config
    }

    /// Where delivery actors send orders for this worker.
    pub fn orders(&self) -> Option<Recipient<Orders>> {
        self.0.orders.borrow().clone()
    }

    /// Whether connections are being told to come back later.
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.get()
    }

    pub(super) fn start_draining(&self) {
        self.0.is_draining.set(true);
    }

    /// Opens a connection and starts its clocks.
    pub fn open(&self, dialect: DialectKind, socket: Option<Arc<SocketHandle>>) -> Rc<Connection> {
        let config = self.config();
        let outbox = Arc::new(Outbox::new(config.limits.outbox_bytes_max));
        let mut opened = None;
        let id = self.0.places.borrow_mut().insert(|id| {
            let connection = Rc::new(Connection::new(id, dialect, outbox, socket));
            opened = Some(Rc::clone(&connection));
            connection
        });
        match dialect {
            DialectKind::Native | DialectKind::Updates => {
                self.due_in(config.ws.auth_timeout_ms, Check::Auth(id));
                self.due_in(config.ws.ping_interval_ms, Check::Beat(id));
            }
            // Its session has clocks of its own.
            DialectKind::SocketIo(_) => {}
        }
        self.0.parts.metrics.connection_opened(dialect);
        // `insert` always calls what it is given.
        opened.unwrap_or_else(|| {
            let outbox = Arc::new(Outbox::new(0));
            Rc::new(Connection::new(id, dialect, outbox, None))
        })
    }

    /// Forgets a connection that has ended. What waits for its reader may still be read within
    /// the grace.
    pub fn closed(&self, connection: &Rc<Connection>) {
        if self.0.places.borrow_mut().remove(connection.id).is_some() {
            self.0.parts.metrics.connection_ended(connection.dialect.get());
        }
        for note in connection.rooms.take() {
            self.0.parts.rooms.leave(&note, connection.id);
        }
        connection.outbox.finish();
        if let Some(socket) = connection.socket() {
            let grace = Duration::from_millis(self.config().ws.close_grace_ms);
            actix::spawn(async move {
                tokio::time::sleep(grace).await;
                // Gone, unless its reader is stuck.
                if let Some(socket) = socket.upgrade() {
                    socket.cut();
                }
            });
        }
        if let Some(user) = connection.user.take() {
            self.detach(Detach { user, connection: connection.id });
        }
    }

    /// Tells a connection why it ends, and cuts it when it does not go within the grace.
    pub fn close(&self, connection: &Connection, code: CloseCode) {
        if !connection.close(code) {
            return;
        }
        self.0.parts.metrics.closed(code);
        match connection.user() {
            // A drain says once how many it told.
            Some(user) if code != CloseCode::Restart => {
                let (id, number, reason) = (connection.id, code.code(), code.reason());
                log::info!(connection_id:% = id, code = number; "closing {user:?}: {reason}");
            }
            _ => {
                let (id, number, reason) = (connection.id, code.code(), code.reason());
                log::debug!(connection_id:% = id, code = number; "closing: {reason}");
            }
        }
        self.due_in(self.config().ws.close_grace_ms, Check::Reap(connection.id));
    }

    /// Says something to one connection, in answer to a command, if it is still there.
    pub fn say(&self, id: ConnectionId, push: &Push, to: &ReplyTo) {
        let Some(connection) = self.connection(id) else { return };
        if connection.answer(push, to) == Pushed::Overflow {
            self.close(&connection, CloseCode::TooSlow);
        }
    }

    /// Counts one more command of a connection until what it returns is dropped; none when the
    /// connection, or the worker, has as many as it may.
    pub fn start_command(&self, connection: &Rc<Connection>) -> Option<StartedCommand> {
        let connection_max = self.config().limits.commands_in_flight_max;
        let is_full =
            connection.commands.get() >= connection_max || self.0.commands.get() >= COMMANDS_MAX;
        if is_full {
            return None;
        }
        connection.commands.set(connection.commands.get() + 1);
        self.0.commands.set(self.0.commands.get() + 1);
        Some(StartedCommand { worker: self.clone(), connection: Rc::clone(connection) })
    }

    /// Looks at a connection again at `ends_at`, when its token or its age ends it.
    pub fn end_at(&self, connection: &Connection, ends_at: Instant) {
        connection.ends_at.set(Some(ends_at));
        self.due_at(ends_at, Check::Age(connection.id));
    }

    /// Passes an ack on with the others of this turn.
    pub fn ack(&self, entry: AckEntry) {
        self.0.acks.push(entry);
    }

    /// Says that a connection is gone, after the last of its acks; kept and tried again if
    /// either does not fit.
    pub fn detach(&self, detach: Detach) {
        self.tenancies().remove(&detach.user, detach.connection);
        if !self.0.acks.pass_on(&detach.user) {
            self.0.detaches.borrow_mut().push(detach);
            return;
        }
        let port = self.0.parts.deliveries.of(&detach.user);
        if let Err(actix::prelude::SendError::Full(detach)) = port.detach.try_send(detach) {
            self.0.detaches.borrow_mut().push(detach);
        }
    }

    pub(super) fn tenancies(&self) -> std::cell::RefMut<'_, Tenancies> {
        self.0.tenancies.borrow_mut()
    }

    pub(super) fn detach_again(&self) {
        for detach in self.0.detaches.take() {
            self.detach(detach);
        }
    }

    pub(super) fn connection(&self, id: ConnectionId) -> Option<Rc<Connection>> {
        self.0.places.borrow().get(id).cloned()
    }

    pub(super) fn connections(&self) -> Vec<Rc<Connection>> {
        self.0.places.borrow().iter().cloned().collect()
    }

    /// How many connections there are.
    pub fn connections_count(&self) -> usize {
        self.0.places.borrow().len()
    }

    pub(super) fn places(&self) -> std::cell::Ref<'_, Places<Rc<Connection>>> {
        self.0.places.borrow()
    }

    pub(super) fn due_in(&self, ms: u64, check: Check) {
        self.due_at(clock::now() + Duration::from_millis(ms), check);
    }

    fn due_at(&self, due_at: Instant, check: Check) {
        let is_wanted = |check, due_at| match check {
            Check::Auth(id) | Check::Beat(id) | Check::Reap(id) => self.connection(id).is_some(),
            // Every renewal sets another end; only the last one counts.
            Check::Age(id) => {
                self.connection(id).is_some_and(|found| found.ends_at.get() == Some(due_at))
            }
        };
        self.0.checks.borrow_mut().push(check, is_wanted, due_at);
    }

    pub(super) fn pop_due(&self, now: Instant) -> Option<Check> {
        self.0.checks.borrow_mut().pop_due(now)
    }
}
