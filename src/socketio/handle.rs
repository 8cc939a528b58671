//! What everyone who serves a session shares, at whatever worker: its outbox, the way to its
//! task, and which transport it is on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::socket::IoArgs;
use crate::dialect::frame;
use crate::dialect::socketio::engine::{EnginePacket, Malformed};
use crate::dialect::socketio::polling::Payload;
use crate::protocol::{CloseCode, ConnectionId};
use crate::ws::outbox::{Outbox, Pushed};

/// What may wait for a session's task; its transports wait when it is full.
const INBOX_MAX: usize = 16;

/// Acks of handlers that one session may owe.
const ACKS_MAX: usize = 1_024;

/// Where the ack ids of handlers begin, far above any `seq`.
const ACK_ID_MIN: u64 = 1 << 48;

/// What a session's task is told.
#[derive(Debug)]
pub(super) enum Received {
    /// A packet, by WebSocket.
    Packet(EnginePacket),
    /// Packets, by POST. Gets whether all could be read.
    Payload(Payload, oneshot::Sender<Result<(), Malformed>>),
    /// A handler puts its client out of a namespace.
    Leave(String),
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// By polls.
    Polling,
    /// By polls, while a WebSocket is tried.
    Probing,
    /// By WebSocket.
    WebSocket,
}

/// The parts of a session that are shared.
#[derive(Debug)]
pub(super) struct Handle {
    /// Its name, known to its client only.
    pub(super) sid: String,
    /// Its name in logs.
    pub(super) connection: ConnectionId,
    /// At which path.
    pub(super) mount: usize,
    /// What waits for its client, as WebSocket frames.
    pub(super) outbox: Arc<Outbox>,
    /// The way to its task.
    pub(super) inbox: Inbox<Received>,
    /// The session is over.
    pub(super) ended: CancellationToken,
    /// The WebSocket is gone.
    pub(super) gone: CancellationToken,
    /// Lets a waiting poll look again at what it waits for.
    pub(super) turned: Notify,
    state: Mutex<State>,
    acks: Mutex<Acks>,
}

#[derive(Debug)]
struct State {
    transport: Transport,
    is_polling: bool,
    is_posting: bool,
    owes_noop: bool,
    dies_at: Instant,
}

#[derive(Debug)]
struct Acks {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<IoArgs>>,
}

/// A request that must be the only one of its kind until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    handle: Arc<Handle>,
    is_poll: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.handle.state();
        match self.is_poll {
            true => state.is_polling = false,
            false => state.is_posting = false,
        }
    }
}

impl Handle {
    /// A session with a fresh name; none when the system has no randomness.
    pub(super) fn new(
        connection: ConnectionId,
        mount: usize,
        transport: Transport,
        outbox: Arc<Outbox>,
        dies_at: Instant,
    ) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            sid: random_sid()?,
            connection,
            mount,
            outbox,
            inbox: Inbox::new(INBOX_MAX),
            ended: CancellationToken::new(),
            gone: CancellationToken::new(),
            turned: Notify::new(),
            state: Mutex::new(State {
                transport,
                is_polling: false,
                is_posting: false,
                owes_noop: false,
                dies_at,
            }),
            acks: Mutex::new(Acks { next: ACK_ID_MIN, waiting: HashMap::new() }),
        }))
    }

    /// Which way packets go.
    pub(super) fn transport(&self) -> Transport {
        self.state().transport
    }

    /// Changes the way packets go, if it is `from` now.
    pub(super) fn change(&self, from: Transport, to: Transport) -> bool {
        let mut state = self.state();
        if state.transport != from {
            return false;
        }
        state.transport = to;
        drop(state);
        self.turned.notify_waiters();
        true
    }

    /// Sets when it is dead unless it says something before.
    pub(super) fn set_dies_at(&self, dies_at: Instant) {
        self.state().dies_at = dies_at;
    }

    /// Whether it is over, or should be.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.ended.is_cancelled() || self.state().dies_at <= now
    }

    /// Begins a poll; none while there is another.
    pub(super) fn begin_poll(self: &Arc<Self>) -> Option<Turn> {
        let mut state = self.state();
        let was_polling = std::mem::replace(&mut state.is_polling, true);
        state.owes_noop = false;
        drop(state);
        (!was_polling).then(|| Turn { handle: Arc::clone(self), is_poll: true })
    }

    /// Ends the session as its client asks by POST. The poll it sent beside that is owed an
    /// answer, even if it comes later.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.owes_noop = !state.is_polling;
        drop(state);
        self.ended.cancel();
    }

    /// Whether a last poll is owed an answer.
    pub(super) fn owes_noop(&self) -> bool {
        self.state().owes_noop
    }

    /// Takes note that the last poll is answered; says whether it was owed that.
    pub(super) fn take_noop(&self) -> bool {
        std::mem::take(&mut self.state().owes_noop)
    }

    /// Begins a POST; none while there is another.
    pub(super) fn begin_post(self: &Arc<Self>) -> Option<Turn> {
        let was_posting = std::mem::replace(&mut self.state().is_posting, true);
        (!was_posting).then(|| Turn { handle: Arc::clone(self), is_poll: false })
    }

    /// Ends the session; its client is told by a close frame.
    pub(super) fn end(&self, code: Option<CloseCode>) {
        let close = match code {
            Some(code) => frame::close(Some(code.code()), code.reason()),
            None => frame::close(None, ""),
        };
        self.outbox.close(close);
        self.ended.cancel();
    }

    /// Queues packets; a client that does not keep up is put out.
    pub(super) fn push(&self, frames: bytes::Bytes) -> Pushed {
        let pushed = self.outbox.push(frames);
        if pushed == Pushed::Overflow {
            self.end(Some(CloseCode::TooSlow));
        }
        pushed
    }

    /// Queues a packet of text.
    pub(super) fn say(&self, packet: &str) {
        self.push(frame::text(packet));
    }

    /// Draws an ack id, and says where its answer comes; none when too many are owed.
    pub(super) fn expect_ack(&self) -> Option<(u64, oneshot::Receiver<IoArgs>)> {
        let mut acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner);
        acks.waiting.retain(|_, waiting| !waiting.is_closed());
        if acks.waiting.len() >= ACKS_MAX {
            return None;
        }
        let id = acks.next;
        acks.next += 1;
        let (reply, answer) = oneshot::channel();
        acks.waiting.insert(id, reply);
        Some((id, answer))
    }

    /// Hands an ack to the handler that waits for it; says whether it could be a handler's.
    pub(super) fn acked(&self, id: u64, args: IoArgs) -> bool {
        if id < ACK_ID_MIN {
            return false;
        }
        let mut acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reply) = acks.waiting.remove(&id) {
            // Whoever waited may have given up.
            let _ = reply.send(args);
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twenty characters nobody can guess; none when the system has no randomness.
pub(super) fn random_sid() -> Option<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}
