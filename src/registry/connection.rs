//! One live connection, as its worker's registry and its WsSession share it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::rc::{Rc, Weak};
use std::time::Instant;

use crate::dialect::{DialectKind, frame};
use crate::protocol::{CloseCode, ConnectionId, NoteId, Push, ReplyTo, UserId};
use crate::ws::heartbeat::Heartbeat;
use crate::ws::outbox::{Outbox, Pushed};

/// A second handle on a connection's TCP stream, to end it from outside when its reader is
/// stuck: then neither the body nor the actor of the connection can.
#[derive(Debug)]
pub struct SocketHandle(std::net::TcpStream);

impl SocketHandle {
    /// Keeps `stream`, which is a duplicate of the connection's.
    pub fn new(stream: std::net::TcpStream) -> Self {
        Self(stream)
    }

    /// Writes as much as the socket takes now. The socket never blocks: its duplicate does not.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => (&self.0).write(one),
            many => (&self.0).write_vectored(many),
        }
    }

    /// Reads nothing more. actix-http then flushes what it has and closes the stream; it would
    /// otherwise wait until its peer does, or for `client_disconnect_timeout`.
    pub fn stop_reading(&self) {
        // It may be gone already.
        let _ = self.0.shutdown(Shutdown::Read);
    }

    /// Ends the stream as it is.
    pub(super) fn cut(&self) {
        // It may be gone already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The connection. Everything on it happens on its worker's thread.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// How it spells.
    pub dialect: DialectKind,
    /// What waits for its reader.
    pub outbox: Rc<Outbox>,
    /// Whose it is, once attached.
    pub user: RefCell<Option<UserId>>,
    /// Whether the other side is still there.
    pub heartbeat: Cell<Heartbeat>,
    /// The rooms it joined.
    pub rooms: RefCell<Vec<NoteId>>,
    /// When it must have authenticated anew.
    pub ends_at: Cell<Option<Instant>>,
    /// How many of its commands a handler is at.
    pub commands: Cell<usize>,
    /// The `auth`s that wait for their `auth_ok`, in order.
    auths: RefCell<VecDeque<ReplyTo>>,
    socket: Option<Rc<SocketHandle>>,
    was_heard: Cell<bool>,
}

impl Connection {
    /// A connection nobody has authenticated yet.
    pub fn new(
        id: ConnectionId,
        dialect: DialectKind,
        outbox: Rc<Outbox>,
        socket: Option<Rc<SocketHandle>>,
    ) -> Self {
        Self {
            id,
            dialect,
            outbox,
            user: RefCell::default(),
            heartbeat: Cell::default(),
            rooms: RefCell::default(),
            ends_at: Cell::default(),
            commands: Cell::default(),
            auths: RefCell::default(),
            socket,
            was_heard: Cell::default(),
        }
    }

    /// Says something, if this dialect has a word for it.
    pub fn say(&self, push: &Push) -> Pushed {
        if !matches!(push, Push::AuthOk { .. }) {
            return self.answer(push, &ReplyTo::default());
        }
        let mut auths = self.auths.borrow_mut();
        let to = auths.pop_front().unwrap_or_default();
        if auths.is_empty() {
            // Lets its memory go: most connections authenticate once.
            *auths = VecDeque::new();
        }
        self.answer(push, &to)
    }

    /// Says something in answer to a command.
    pub fn answer(&self, push: &Push, to: &ReplyTo) -> Pushed {
        match self.dialect.dialect().encode_reply(push, to) {
            Some(text) => self.outbox.push(frame::text(&text)),
            None => Pushed::Queued,
        }
    }

    /// Takes note of an `auth`, so that its `auth_ok` names it: that comes by way of the
    /// delivery actor, which knows no references.
    pub fn expect_auth_ok(&self, to: ReplyTo) {
        match self.dialect {
            DialectKind::Native => {}
            DialectKind::Updates => self.auths.borrow_mut().push_back(to),
        }
    }

    /// Queues the close frame. Says whether it was the first.
    pub fn close(&self, code: CloseCode) -> bool {
        self.outbox.close(frame::close(Some(code.code()), code.reason()))
    }

    /// Ends the connection without waiting for anyone.
    pub fn cut(&self) {
        self.outbox.finish();
        if let Some(socket) = &self.socket {
            socket.cut();
        }
    }

    /// Takes note of a frame. After the first, the peer is written to directly if that can be.
    pub fn heard(&self) {
        if let (false, Some(socket)) = (self.was_heard.replace(true), &self.socket) {
            self.outbox.go_direct(socket);
        }
        self.alive();
    }

    /// Its socket, to be cut when someone else still holds it.
    pub(super) fn socket(&self) -> Option<Weak<SocketHandle>> {
        self.socket.as_ref().map(Rc::downgrade)
    }

    /// Takes note of a sign of life.
    pub fn alive(&self) {
        let mut heartbeat = self.heartbeat.get();
        heartbeat.alive();
        self.heartbeat.set(heartbeat);
    }

    /// Whether it joined a room.
    pub fn is_in(&self, room: &NoteId) -> bool {
        self.rooms.borrow().contains(room)
    }

    /// Whose it is, if it is attached.
    pub fn user(&self) -> Option<UserId> {
        self.user.borrow().clone()
    }
}
