//! One session: a task that takes what its client says, in order, and keeps its clocks.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::beats::Beats;
use super::handle::{Handle, Received, Transport};
use super::namespaces::Joined;
use super::pulse::Pulse;
use super::request::At;
use super::socket::IoArgs;
use super::state::{Layer, SocketIoState};
use crate::auth::Address;
use crate::clock;
use crate::delivery::messages::AckEntry;
use crate::dialect::socketio::Marking;
use crate::dialect::socketio::engine::{EnginePacket, Malformed};
use crate::dialect::socketio::packet::{Args, Body, Packet, ROOT, spell_ack};
use crate::dialect::{DialectKind, frame};
use crate::extension::Connected;
use crate::gate::Seat;
use crate::host::bounded;
use crate::protocol::{Ack, CloseCode, Seq};
use crate::registry::{Connection, SocketHandle, Worker};

/// How long the poll is waited for that was sent beside a POST that ends the session.
const LAST_POLL_WAIT: Duration = Duration::from_millis(100);

/// The session. It lives on the worker that opened it.
pub(super) struct Session {
    pub(super) worker: Worker,
    pub(super) state: SocketIoState,
    pub(super) connection: Rc<Connection>,
    pub(super) handle: Arc<Handle>,
    pub(super) layer: Layer,
    /// What came with the request that opened it; never logged.
    pub(super) token: Option<String>,
    pub(super) joined: HashMap<String, Joined>,
    /// Whether its client ever joined a namespace.
    pub(super) has_joined: bool,
    /// Whether a token of its client was refused.
    pub(super) has_failed: bool,
    /// Handlers that may run at once.
    pub(super) permits: Arc<Semaphore>,
    /// What the extensions know it as.
    pub(super) connected: Option<Connected>,
    /// Where its client is.
    pub(super) address: Option<Address>,
    /// Counts it as one of its address.
    _seat: Seat,
    partial: Option<Partial>,
    pulse: Pulse,
}

/// A packet whose attachments are not all there.
struct Partial {
    packet: Packet,
    missing: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

impl Session {
    /// Opens a session on this worker and starts its task; none when the system has no randomness.
    pub(super) fn start(
        at: &At,
        (token, address, seat): (Option<String>, Option<Address>, Seat),
        transport: Transport,
        socket: Option<Arc<SocketHandle>>,
    ) -> Option<Arc<Handle>> {
        let settings = at.state.settings();
        let interval = Duration::from_millis(settings.ping_interval_ms);
        let timeout = Duration::from_millis(settings.ping_timeout_ms);
        let beats = Beats::new(interval, timeout, clock::now());
        let connection = at.worker.open(DialectKind::SocketIo(Marking::Bare), socket);
        let outbox = Arc::clone(&connection.outbox);
        let Some(handle) = Handle::new(connection.id, at.index, transport, outbox, beats.dies_at())
        else {
            at.worker.closed(&connection);
            return None;
        };
        connection.set_session(handle.ended.clone());
        at.state.directory().insert(Arc::clone(&handle));
        let handlers_max = at.worker.config().limits.commands_in_flight_max;
        let session = Self {
            worker: at.worker.clone(),
            state: at.state.clone(),
            connection,
            handle: Arc::clone(&handle),
            layer: at.state.layer(at.index),
            token,
            joined: HashMap::new(),
            has_joined: false,
            has_failed: false,
            permits: Arc::new(Semaphore::new(handlers_max)),
            connected: None,
            address,
            _seat: seat,
            partial: None,
            pulse: Pulse::new(beats, Arc::clone(&handle)),
        };
        actix::spawn(session.run());
        Some(handle)
    }

    async fn run(mut self) {
        let join_by = clock::now() + Duration::from_millis(self.worker.config().ws.auth_timeout_ms);
        let (pulse, handle) = (self.pulse.clone(), Arc::clone(&self.handle));
        let mut inbox = handle.inbox.receiver();
        loop {
            let look_at = self.look_at(join_by);
            tokio::select! {
                biased;
                () = handle.ended.cancelled() => break,
                // Boxed: letting somebody in is a large future, and most sessions are idle.
                next = inbox.receive() => {
                    pulse.keep_up(Box::pin(self.receive(next))).await;
                }
                () = tokio::time::sleep_until(look_at.into()) => self.look(join_by),
            }
        }
        drop(inbox);
        Box::pin(self.finish()).await;
    }

    fn look_at(&self, join_by: Instant) -> Instant {
        let is_waiting = matches!(self.layer, Layer::SocketIo(_)) && !self.has_joined;
        if is_waiting { self.pulse.due_at().min(join_by) } else { self.pulse.due_at() }
    }

    fn look(&mut self, join_by: Instant) {
        self.pulse.look();
        let is_late = !self.has_joined && join_by <= clock::now();
        if matches!(self.layer, Layer::SocketIo(_)) && is_late {
            log::debug!(connection_id:% = self.connection.id; "joined no namespace in time");
            self.handle.end(None);
        }
    }

    async fn receive(&mut self, received: Received) {
        if self.handle.outbox.is_closing() {
            // The hub has said its last word.
            return;
        }
        let taken = match received {
            Received::Packet(packet) => self.take(packet).await,
            Received::Payload(payload, reply) => {
                let mut taken = Ok(());
                for packet in payload.packets() {
                    taken = match packet {
                        Ok(packet) => self.take(packet).await,
                        Err(malformed) => Err(malformed),
                    };
                    if taken.is_err() {
                        break;
                    }
                }
                if taken.is_err() {
                    self.handle.end(Some(CloseCode::ProtocolError));
                }
                // The POST may be gone.
                let _ = reply.send(taken);
                taken
            }
            Received::Leave(namespace) => {
                self.put_out(&namespace);
                Ok(())
            }
        };
        if taken.is_err() {
            log::debug!(connection_id:% = self.connection.id; "broke the protocol");
            self.handle.end(Some(CloseCode::ProtocolError));
        }
    }

    async fn take(&mut self, packet: EnginePacket) -> Result<(), Malformed> {
        match (packet, self.layer) {
            (EnginePacket::Close, _) => {
                match self.handle.transport() {
                    Transport::WebSocket => self.handle.end(None),
                    Transport::Polling | Transport::Probing => self.handle.leave(),
                }
                Ok(())
            }
            (EnginePacket::Pong(_), _) => {
                self.pulse.pong();
                Ok(())
            }
            (EnginePacket::Noop, _) => Ok(()),
            (EnginePacket::Message(text), Layer::Echo) => {
                self.handle.say(&format!("4{text}"));
                Ok(())
            }
            (EnginePacket::Binary(bytes), Layer::Echo) => {
                self.handle.push(frame::binary(&bytes));
                Ok(())
            }
            (EnginePacket::Message(text), Layer::SocketIo(_)) => {
                if self.partial.is_some() {
                    return Err(Malformed);
                }
                let packet = Packet::parse(&text)?;
                match packet.attachments() {
                    0 => self.obey(packet, Vec::new()).await,
                    missing => {
                        let attachments = Vec::with_capacity(missing);
                        self.partial = Some(Partial { packet, missing, attachments, bytes: 0 });
                        Ok(())
                    }
                }
            }
            (EnginePacket::Binary(bytes), Layer::SocketIo(_)) => self.attach(bytes).await,
            (EnginePacket::Open(_) | EnginePacket::Ping(_) | EnginePacket::Upgrade, _) => {
                Err(Malformed)
            }
        }
    }

    async fn attach(&mut self, bytes: Bytes) -> Result<(), Malformed> {
        let mut partial = self.partial.take().ok_or(Malformed)?;
        partial.bytes += bytes.len();
        if partial.bytes > self.worker.config().limits.message_bytes_hard_max {
            return Err(Malformed);
        }
        partial.attachments.push(bytes);
        if partial.attachments.len() == partial.missing {
            return self.obey(partial.packet, partial.attachments).await;
        }
        self.partial = Some(partial);
        Ok(())
    }

    async fn obey(&mut self, packet: Packet, attachments: Vec<Bytes>) -> Result<(), Malformed> {
        let Packet { namespace, body } = packet;
        match body {
            Body::Connect(payload) => {
                self.connect(namespace, payload).await;
                Ok(())
            }
            Body::Disconnect => {
                self.leave(&namespace);
                Ok(())
            }
            Body::Event { name, args, id } => {
                self.event(namespace, &name, IoArgs::received(args, attachments), id).await
            }
            Body::Ack { id, args } => {
                let is_handlers = self.handle.acked(id, IoArgs::received(args, attachments));
                if !is_handlers && namespace == ROOT {
                    self.ack(id);
                }
                Ok(())
            }
        }
    }

    /// Settles the event at this place.
    fn ack(&self, id: u64) {
        let is_reliable = self.connection.dialect.get() == DialectKind::SocketIo(Marking::Acked);
        let (Some(user), Ok(seq)) = (self.connection.user(), i64::try_from(id)) else { return };
        if is_reliable {
            let ack = Ack::At(Seq(seq));
            self.worker.ack(AckEntry { user, connection: self.connection.id, ack });
        }
    }

    async fn event(
        &mut self,
        namespace: String,
        name: &str,
        args: IoArgs,
        id: Option<u64>,
    ) -> Result<(), Malformed> {
        // An event of a namespace that was never joined breaks the protocol; one on its way when
        // its client was put out does not.
        let Some(joined) = self.joined.get(&namespace) else {
            return if self.has_joined { Ok(()) } else { Err(Malformed) };
        };
        let state = self.state.clone();
        let Some(handlers) = state.namespace(&namespace) else { return Ok(()) };
        let socket = joined.socket.clone();
        let Some(handling) = handlers.event(name, socket.clone(), args) else {
            if name == "sync_complete" && namespace == ROOT {
                self.sync_complete();
            }
            return Ok(());
        };
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Ok(()) };
        let wait_max = Duration::from_millis(self.worker.config().limits.command_timeout_ms);
        actix::spawn(async move {
            let reply = bounded("a Socket.IO handler", wait_max, handling).await.flatten();
            drop(permit);
            if let (Some(id), Some(reply)) = (id, reply) {
                let spell = |json: &str, count| spell_ack(&namespace, id, json, count);
                socket.handle().push(reply.framed(spell));
            }
        });
        Ok(())
    }

    /// Forgets the session; what waits for its client may still be read within the grace.
    async fn finish(mut self) {
        self.handle.ended.cancel();
        let namespaces: Vec<_> = self.joined.keys().cloned().collect();
        for namespace in namespaces {
            self.leave(&namespace);
        }
        if self.handle.transport() == Transport::WebSocket {
            let grace = Duration::from_millis(self.worker.config().ws.close_grace_ms);
            // After the grace its reader is stuck: it is cut.
            let _ = tokio::time::timeout(grace, self.handle.gone.cancelled()).await;
        }
        self.worker.closed(&self.connection);
        if self.handle.owes_noop() {
            tokio::time::sleep(LAST_POLL_WAIT).await;
        }
        self.state.directory().remove(&self.handle.sid);
    }
}

impl Packet {
    /// How many binary messages come after it.
    fn attachments(&self) -> usize {
        match &self.body {
            Body::Event { args: Args { attachments, .. }, .. }
            | Body::Ack { args: Args { attachments, .. }, .. } => *attachments,
            Body::Connect(_) | Body::Disconnect => 0,
        }
    }
}
