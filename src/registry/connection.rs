//! One live connection, as its worker's registry and its WsSession share it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::dialect::socketio::packet::{ROOT, spell_disconnect};
use crate::dialect::{Burst, DialectKind, EventFrames, frame};
use crate::protocol::{
    CloseCode, ConnectionId, NoteId, Push, ReconnectAdvice, ReplyTo, Seq, UserId,
};
use crate::ws::heartbeat::Heartbeat;
use crate::ws::outbox::{Outbox, Pushed};

/// A second handle on a connection's TCP stream, to end it from outside when its reader is
/// stuck: then neither the body nor the actor of the connection can.
#[derive(Debug)]
pub struct SocketHandle {
    stream: std::net::TcpStream,
    wire: Wire,
}

/// What crosses a TCP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// What is written.
    Plain,
    /// What TLS makes of it: nobody may write past that.
    Tls,
}

impl SocketHandle {
    /// Keeps `stream`, which is a duplicate of the connection's.
    pub fn new(stream: std::net::TcpStream, wire: Wire) -> Self {
        Self { stream, wire }
    }

    /// Whether frames may be written to it as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.wire == Wire::Plain
    }

    /// Writes as much as the socket takes now. The socket never blocks: its duplicate does not.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => (&self.stream).write(one),
            many => (&self.stream).write_vectored(many),
        }
    }

    /// Reads nothing more. actix-http then flushes what it has and closes the stream; it would
    /// otherwise wait until its peer does, or for `client_disconnect_timeout`.
    pub fn stop_reading(&self) {
        // It may be gone already.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Waits until the other side has closed; for ever if that cannot be told.
    pub async fn closed(&self) {
        let stream = self.stream.try_clone().and_then(tokio::net::TcpStream::from_std);
        if let Ok(stream) = stream {
            // What is there to read stays there: it is for whoever reads the connection.
            let peeked = stream.peek(&mut [0]).await;
            if !matches!(peeked, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Ends the stream as it is.
    pub fn cut(&self) {
        // It may be gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The connection. Everything on it happens on its worker's thread.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// How it spells.
    pub dialect: Cell<DialectKind>,
    /// What waits for its reader.
    pub outbox: Arc<Outbox>,
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
    /// What goes out right before the word that it is attached.
    prelude: RefCell<Option<Box<Prelude>>>,
    /// What does not go out as it comes.
    kept: RefCell<Option<Box<Kept>>>,
    /// Ends its session, where that is not one with the socket.
    session: RefCell<Option<CancellationToken>>,
    socket: Option<Arc<SocketHandle>>,
    was_heard: Cell<bool>,
}

/// When what is handed to a connection is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// At once.
    Now,
    /// With the next flush of its outbox.
    AtFlush,
}

/// What goes out first, and who waits for that.
#[derive(Debug)]
struct Prelude {
    frame: Bytes,
    said: oneshot::Sender<()>,
}

/// What does not go out as it comes.
#[derive(Debug)]
enum Kept {
    /// Events that wait until what came before them is sent, and their bytes.
    Waiting(Vec<Arc<EventFrames>>, usize),
    /// What was sent up to here was read in the log; it may still come, and is not sent twice.
    SentTo(Seq),
}

impl Connection {
    /// A connection nobody has authenticated yet.
    pub fn new(
        id: ConnectionId,
        dialect: DialectKind,
        outbox: Arc<Outbox>,
        socket: Option<Arc<SocketHandle>>,
    ) -> Self {
        Self {
            id,
            dialect: Cell::new(dialect),
            outbox,
            user: RefCell::default(),
            heartbeat: Cell::default(),
            rooms: RefCell::default(),
            ends_at: Cell::default(),
            commands: Cell::default(),
            auths: RefCell::default(),
            prelude: RefCell::default(),
            kept: RefCell::default(),
            session: RefCell::default(),
            socket,
            was_heard: Cell::default(),
        }
    }

    /// Says something, if this dialect has a word for it.
    pub fn say(&self, push: &Push) -> Pushed {
        let is_attached = matches!(push, Push::AuthOk { .. } | Push::AuthSuccess { .. });
        if is_attached && let Some(prelude) = self.prelude.take() {
            self.outbox.push(prelude.frame);
            let pushed = self.answer(push, &ReplyTo::default());
            // Whoever waited may have given up.
            let _ = prelude.said.send(());
            return pushed;
        }
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
        match self.dialect.get().dialect().encode_reply(push, to) {
            Some(text) => self.outbox.push(frame::text(&text)),
            None => Pushed::Queued,
        }
    }

    /// Takes note of an `auth`, so that its `auth_ok` names it: that comes by way of the
    /// delivery actor, which knows no references.
    pub fn expect_auth_ok(&self, to: ReplyTo) {
        match self.dialect.get() {
            DialectKind::Native | DialectKind::SocketIo(_) => {}
            DialectKind::Updates => self.auths.borrow_mut().push_back(to),
        }
    }

    /// Takes note of what goes out right before the word that it is attached, and says when both
    /// are said: that word comes by way of the delivery actor.
    pub fn set_prelude(&self, frame: Bytes) -> oneshot::Receiver<()> {
        let (said, is_said) = oneshot::channel();
        *self.prelude.borrow_mut() = Some(Box::new(Prelude { frame, said }));
        is_said
    }

    /// Sends events, or keeps them while what came before them is not sent.
    pub fn hand(&self, burst: &Burst, write: Write) -> Pushed {
        let mut kept = self.kept.borrow_mut();
        match kept.as_deref_mut() {
            None => self.push_each(burst.pieces(self.dialect.get()), write),
            Some(Kept::Waiting(events, bytes)) => {
                for frames in burst.events() {
                    *bytes += frames.event().content.bytes();
                    if *bytes > self.outbox.bytes_max() {
                        return Pushed::Overflow;
                    }
                    events.push(Arc::clone(frames));
                }
                Pushed::Queued
            }
            Some(Kept::SentTo(last)) => {
                let last = *last;
                let events = burst.events();
                if events.iter().any(|frames| frames.event().seq > Some(last)) {
                    // Nothing that was sent before comes after it.
                    *kept = None;
                }
                let new = events.iter().filter(|frames| is_new(frames, Some(last)));
                self.push_each(new.map(|frames| frames.framed(self.dialect.get())), write)
            }
        }
    }

    fn push_each<'a>(&self, pieces: impl IntoIterator<Item = &'a Bytes>, write: Write) -> Pushed {
        let mut pushed = pieces.into_iter().map(|piece| match write {
            Write::Now => self.outbox.push_shared(piece),
            Write::AtFlush => self.outbox.hold(piece.clone()),
        });
        pushed.find(|pushed| *pushed != Pushed::Queued).unwrap_or(Pushed::Queued)
    }

    /// Keeps events from now on.
    pub fn keep(&self) {
        *self.kept.borrow_mut() = Some(Box::new(Kept::Waiting(Vec::new(), 0)));
    }

    /// Keeps events no longer, and says which of those that were kept are to be sent. Those up to
    /// `sent` are sent: they were read in the log, perhaps before they came here.
    pub fn release(&self, sent: Option<Seq>) -> Vec<Arc<EventFrames>> {
        let rest = sent.map(|sent| Box::new(Kept::SentTo(sent)));
        match std::mem::replace(&mut *self.kept.borrow_mut(), rest).map(|kept| *kept) {
            Some(Kept::Waiting(mut events, _)) => {
                events.retain(|frames| is_new(frames, sent));
                events
            }
            Some(Kept::SentTo(_)) | None => Vec::new(),
        }
    }

    /// Takes note of what ends its session when it is cut.
    pub fn set_session(&self, session: CancellationToken) {
        *self.session.borrow_mut() = Some(session);
    }

    /// Queues the close frame. Says whether it was the first.
    pub fn close(&self, code: CloseCode) -> bool {
        match (self.dialect.get(), code.advice()) {
            // Its clients come back by themselves unless they are told not to.
            (
                DialectKind::SocketIo(_),
                ReconnectAdvice::Stay | ReconnectAdvice::ReconnectWithFreshToken,
            ) => {
                self.outbox.push(frame::text(&spell_disconnect(ROOT)));
            }
            (DialectKind::SocketIo(_), ReconnectAdvice::Reconnect)
            | (DialectKind::Native | DialectKind::Updates, _) => {}
        }
        self.outbox.close(frame::close(Some(code.code()), code.reason()))
    }

    /// Ends the connection without waiting for anyone.
    pub fn cut(&self) {
        self.outbox.finish();
        if let Some(session) = self.session.borrow().as_ref() {
            session.cancel();
        }
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
        self.socket.as_ref().map(Arc::downgrade)
    }

    /// Reads a little of what sending needs beyond the connection itself.
    pub(super) fn touch(&self) -> usize {
        let is_direct = self.socket.as_ref().is_some_and(|socket| socket.stream.as_raw_fd() >= 0);
        self.outbox.bytes_max().wrapping_add(is_direct.into())
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

/// Whether an event is not among those that were sent up to `sent`; an ephemeral one never is.
fn is_new(frames: &EventFrames, sent: Option<Seq>) -> bool {
    frames.event().seq.is_none_or(|seq| sent.is_none_or(|sent| seq > sent))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::protocol::{Event, EventContent, EventId, NewEvent, Timestamp};

    fn connection() -> Connection {
        let outbox = Arc::new(Outbox::new(1_000_000));
        let id = ConnectionId { worker: 0, place: 0, generation: 0 };
        Connection::new(id, DialectKind::Native, outbox, None)
    }

    fn burst(seqs: &[Option<i64>]) -> Burst {
        let event = |seq: &Option<i64>| {
            let (id, now) = (EventId(Uuid::from_u128(7)), Timestamp(0));
            let content = Arc::new(EventContent::fix(NewEvent::new("added"), id, now));
            EventFrames::new(Event { content, seq: seq.map(Seq) })
        };
        let mut burst = Burst::new(event(&seqs[0]));
        seqs[1..].iter().for_each(|seq| burst.push(event(seq)));
        burst
    }

    fn sent(connection: &Connection) -> Vec<Option<i64>> {
        let frames = connection.outbox.take(usize::MAX, || false).concat();
        let seq = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        frame::parts(&frames).map(|(_, text)| seq(text)["seq"].as_i64()).collect()
    }

    #[test]
    fn an_event_that_was_read_in_the_log_is_not_sent_when_it_comes_whenever_that_is() {
        let connection = connection();
        connection.keep();
        for write in [Write::Now, Write::AtFlush] {
            connection.hand(&burst(&[Some(4), None]), write);
        }
        assert_eq!(sent(&connection), []);
        // 4, 5 and 6 were read, and 5 and 6 have not come yet.
        let released = connection.release(Some(Seq(6)));
        assert_eq!(released.iter().map(|kept| kept.event().seq).collect::<Vec<_>>(), [None, None]);
        connection.hand(&burst(&[Some(5)]), Write::Now);
        connection.hand(&burst(&[None]), Write::Now);
        connection.hand(&burst(&[Some(6), Some(7), None]), Write::AtFlush);
        connection.hand(&burst(&[Some(8), Some(9)]), Write::Now);
        assert_eq!(sent(&connection), [None, Some(7), None, Some(8), Some(9)]);
    }

    #[test]
    fn nothing_is_passed_over_where_nothing_was_read() {
        let connection = connection();
        connection.keep();
        connection.hand(&burst(&[Some(1), Some(2)]), Write::Now);
        assert_eq!(connection.release(None).len(), 2);
        connection.hand(&burst(&[Some(3)]), Write::Now);
        assert_eq!(sent(&connection), [Some(3)]);
    }
}
