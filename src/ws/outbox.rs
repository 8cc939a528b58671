//! The byte-bounded queue of framed bytes before one socket, and the response body that drains
//! it.
//!
//! A reader that does not keep up costs its own connection, never memory: when the bound is
//! passed, what waits is dropped and only a close frame is left. Filled on one worker thread; a
//! Socket.IO session may be drained on another.
//!
//! A reader that does keep up is written to at once, past the body: that costs one system call
//! and no turn of the connection's task. The first write that does not go through as a whole ends
//! that for good, and the body drains what is left.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use actix_web::body::{BodySize, MessageBody};
use bytes::{Buf, Bytes};

use crate::registry::SocketHandle;

/// What may have gone through the body before the socket is written to directly, in bytes: less
/// than the smallest buffer a socket has.
const GIVEN_MAX: usize = 2_048;

/// Frames written with one system call.
const SLICES_MAX: usize = 16;

/// What became of a frame that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is queued.
    Queued,
    /// The bound is passed: it is not queued, nor is what waited before it.
    Overflow,
    /// The connection is ending; the frame is dropped.
    Closed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// A close frame is queued; nothing may follow it.
    Closing,
    /// The body ends once the queue is empty.
    Finished,
}

#[derive(Debug, Default)]
struct Queue {
    /// The next frame. Mostly there is no other: what waits behind it is kept elsewhere.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    bytes: usize,
    state: State,
    waker: Option<Waker>,
    /// The socket itself, while nothing can be on its way to it through the body.
    direct: Option<Arc<SocketHandle>>,
    /// Bytes that went through the body.
    given: usize,
}

/// The queue. Its maker pushes; its [`OutboxBody`] drains.
#[derive(Debug)]
pub struct Outbox {
    bytes_max: usize,
    queue: Mutex<Queue>,
}

impl Outbox {
    /// An empty outbox that holds at most `bytes_max` bytes, or one piece: a frame, or several
    /// frames of together 16 KiB at most.
    pub fn new(bytes_max: usize) -> Self {
        let queue = Queue::default();
        Self { bytes_max, queue: Mutex::new(queue) }
    }

    /// Queues a frame, or writes it at once.
    pub fn push(&self, frame: Bytes) -> Pushed {
        self.push_shared(&frame)
    }

    /// As [`Outbox::push`], for a frame that many get: not even counted again if it goes through
    /// at once.
    pub fn push_shared(&self, frame: &Bytes) -> Pushed {
        let mut queue = self.queue();
        if let (State::Open, 0, Some(socket)) = (queue.state, queue.bytes, &queue.direct) {
            let written = socket.write(&[IoSlice::new(frame)]).unwrap_or(0);
            if written < frame.len() {
                queue.direct = None;
                queue.add(frame.slice(written..));
                queue.wake();
            }
            return Pushed::Queued;
        }
        drop(queue);
        let pushed = self.hold(frame.clone());
        self.flush();
        pushed
    }

    /// Queues a frame until the next [`Outbox::flush`], so that several are written as one.
    pub fn hold(&self, frame: Bytes) -> Pushed {
        let mut queue = self.queue();
        if queue.state != State::Open {
            return Pushed::Closed;
        }
        let is_over = |queue: &Queue| queue.bytes > 0 && queue.bytes + frame.len() > self.bytes_max;
        if is_over(&queue) {
            queue.write();
        }
        if is_over(&queue) {
            queue.clear();
            return Pushed::Overflow;
        }
        queue.add(frame);
        Pushed::Queued
    }

    /// Writes what is held, or sees to it that the body drains it.
    pub fn flush(&self) {
        let mut queue = self.queue();
        queue.write();
        if queue.bytes > 0 || queue.state == State::Finished {
            queue.wake();
        }
    }

    /// Writes to `socket` from now on, if nothing can be on its way to it through the body. The
    /// peer has answered, so the head of the response is out; and what little went through the
    /// body before fits into any socket's buffer, so that none of it is left behind. Never to one
    /// that carries TLS.
    pub fn go_direct(&self, socket: &Arc<SocketHandle>) {
        if !socket.is_plain() {
            return;
        }
        let mut queue = self.queue();
        if queue.bytes == 0 && queue.given <= GIVEN_MAX && queue.state == State::Open {
            queue.direct = Some(Arc::clone(socket));
        }
    }

    /// Queues a close frame, after which nothing is taken. Says whether it was the first.
    pub fn close(&self, frame: Bytes) -> bool {
        let mut queue = self.queue();
        if queue.state != State::Open {
            return false;
        }
        queue.state = State::Closing;
        queue.add(frame);
        queue.write();
        queue.wake();
        true
    }

    /// Ends the body once what is queued is drained.
    pub fn finish(&self) {
        let mut queue = self.queue();
        queue.state = State::Finished;
        queue.wake();
    }

    /// Whether nothing waits for the reader.
    pub fn is_empty(&self) -> bool {
        self.queue().bytes == 0
    }

    /// Whether a close frame was queued, or the body is ending.
    pub fn is_closing(&self) -> bool {
        self.queue().state != State::Open
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.queue().bytes
    }

    /// How many bytes it holds at most.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Takes frames of at most `bytes_max` bytes, or one; none once they are the body's.
    /// `is_bodys` is asked under the lock and must not use the outbox.
    pub fn take(&self, bytes_max: usize, is_bodys: impl Fn() -> bool) -> Vec<Bytes> {
        let mut queue = self.queue();
        let mut taken = Vec::new();
        let mut bytes = 0;
        if is_bodys() {
            return taken;
        }
        while let Some(frame) = &queue.first {
            bytes += frame.len();
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.extend(queue.next());
        }
        taken
    }

    /// Waits until there is something to take, or the queue has ended, or is the body's: who waits
    /// then would be woken in its place. `is_bodys` is asked as by [`Outbox::take`].
    pub async fn filled(&self, is_bodys: impl Fn() -> bool) {
        poll_fn(|cx| {
            let mut queue = self.queue();
            if queue.first.is_some() || queue.state == State::Finished || is_bodys() {
                return Poll::Ready(());
            }
            queue.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// The next frame for the body; none once the queue has ended.
    pub fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = self.queue();
        if let Some(frame) = queue.next() {
            queue.given = queue.given.saturating_add(frame.len());
            return Poll::Ready(Some(frame));
        }
        if queue.state == State::Finished {
            return Poll::Ready(None);
        }
        queue.wait(cx);
        Poll::Pending
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    fn add(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.more.push_back(frame);
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        let frame = self.first.take()?;
        self.bytes -= frame.len();
        self.first = self.more.pop_front();
        if self.first.is_none() && self.more.capacity() > 0 {
            self.more = VecDeque::new();
        }
        Some(frame)
    }

    /// Writes as much as the socket takes. What is left is the body's, and so is everything after.
    fn write(&mut self) {
        while let (Some(socket), true) = (&self.direct, self.bytes > 0) {
            let mut slices = [IoSlice::new(b""); SLICES_MAX];
            let mut asked = 0;
            for (slice, frame) in slices.iter_mut().zip(self.first.iter().chain(&self.more)) {
                *slice = IoSlice::new(frame);
                asked += frame.len();
            }
            let count = (1 + self.more.len()).min(SLICES_MAX);
            let written = socket.write(slices.get(..count).unwrap_or_default()).unwrap_or(0);
            self.advance(written);
            if written < asked {
                self.direct = None;
            }
        }
    }

    /// Drops this many bytes from the front.
    fn advance(&mut self, mut bytes: usize) {
        while let Some(first) = &mut self.first
            && bytes > 0
        {
            if bytes < first.len() {
                first.advance(bytes);
                self.bytes -= bytes;
                return;
            }
            bytes -= first.len();
            self.next();
        }
    }

    fn clear(&mut self) {
        (self.first, self.more, self.bytes) = (None, VecDeque::new(), 0);
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// The response body of an upgraded connection.
#[derive(Debug)]
pub struct OutboxBody {
    /// What it drains.
    pub outbox: Arc<Outbox>,
    /// The socket, if there is a second handle of it: closed at once when the body ends.
    pub socket: Option<Arc<SocketHandle>>,
}

impl MessageBody for OutboxBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let frame = ready!(self.outbox.poll_frame(cx));
        if let (None, Some(socket)) = (&frame, &self.socket) {
            socket.stop_reading();
        }
        Poll::Ready(frame.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::task::noop_waker;

    use super::*;
    use crate::registry::Wire;

    fn next(outbox: &Outbox) -> Poll<Option<Bytes>> {
        let waker = noop_waker();
        outbox.poll_frame(&mut Context::from_waker(&waker))
    }

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    #[test]
    fn frames_come_out_in_order() {
        let outbox = Outbox::new(10);
        outbox.push(Bytes::from_static(b"a"));
        outbox.push(Bytes::from_static(b"b"));
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"a"))));
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"b"))));
        assert_eq!(next(&outbox), Poll::Pending);
        assert!(outbox.is_empty());
    }

    /// Both ends of a connection; ours does not block.
    fn pair(wire: Wire) -> (Arc<SocketHandle>, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Arc::new(SocketHandle::new(ours, wire)), peer)
    }

    #[test]
    fn a_reader_that_keeps_up_is_written_to_past_the_body() {
        let (socket, mut peer) = pair(Wire::Plain);
        let outbox = Outbox::new(100);
        outbox.push(Bytes::from_static(b"1"));
        outbox.go_direct(&socket);
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"1"))), "not gone yet");
        outbox.go_direct(&socket);
        outbox.push(Bytes::from_static(b"2"));
        outbox.hold(Bytes::from_static(b"3"));
        outbox.hold(Bytes::from_static(b"4"));
        assert_eq!(outbox.bytes(), 2);
        outbox.flush();
        outbox.close(Bytes::from_static(b"5"));
        assert_eq!((next(&outbox), outbox.is_empty()), (Poll::Pending, true));
        let mut read = [0; 4];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"2345");
    }

    #[test]
    fn a_socket_that_carries_tls_is_never_written_to_past_the_body() {
        let (socket, mut peer) = pair(Wire::Tls);
        let outbox = Outbox::new(100);
        outbox.go_direct(&socket);
        outbox.push(Bytes::from_static(b"1"));
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"1"))));
        outbox.close(Bytes::from_static(b"2"));
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"2"))));
        drop(socket);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "nothing was written");
    }

    #[test]
    fn what_a_full_socket_does_not_take_is_left_to_the_body_in_order() {
        let (socket, mut peer) = pair(Wire::Plain);
        let outbox = Outbox::new(usize::MAX);
        outbox.go_direct(&socket);
        let mut sent = Vec::new();
        for n in 0..40_000_u32 {
            let frame = Bytes::from(format!("{n:-<1024};"));
            sent.extend_from_slice(&frame);
            if n % 3 == 0 {
                outbox.push(frame)
            } else {
                outbox.hold(frame)
            };
        }
        outbox.flush();
        let mut rest = Vec::new();
        while let Poll::Ready(Some(frame)) = next(&outbox) {
            rest.extend_from_slice(&frame);
        }
        assert!(!rest.is_empty() && rest.len() < sent.len());
        let mut got = vec![0; sent.len() - rest.len()];
        peer.read_exact(&mut got).unwrap();
        got.extend_from_slice(&rest);
        assert!(got == sent, "something is lost or out of order");
        drop(socket);
        outbox.push(Bytes::from_static(b"later"));
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"later"))));
    }

    #[test]
    fn a_queue_that_is_the_bodys_is_neither_taken_from_nor_waited_for() {
        let outbox = Outbox::new(10);
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let poll = |cx: &mut Context<'_>, is_bodys: bool| {
            Box::pin(outbox.filled(|| is_bodys)).as_mut().poll(cx).is_ready()
        };
        assert!(!poll(&mut cx, false), "there is nothing");
        assert!(poll(&mut cx, true));
        outbox.push(Bytes::from_static(b"a"));
        assert!(poll(&mut cx, false));
        assert!(outbox.take(10, || true).is_empty());
        assert_eq!(outbox.take(10, || false).len(), 1);
    }

    #[test]
    fn one_frame_is_always_taken() {
        let outbox = Outbox::new(10);
        assert_eq!(outbox.push(frame(100)), Pushed::Queued);
        assert_eq!(outbox.push(frame(1)), Pushed::Overflow);
    }

    #[test]
    fn after_an_overflow_only_the_close_frame_is_left() {
        let outbox = Outbox::new(10);
        outbox.push(frame(6));
        assert_eq!(outbox.push(frame(6)), Pushed::Overflow);
        assert!(outbox.close(Bytes::from_static(b"bye")));
        assert!(!outbox.close(Bytes::from_static(b"bye")), "a connection is closed once");
        assert_eq!(outbox.push(frame(1)), Pushed::Closed);
        assert_eq!(next(&outbox), Poll::Ready(Some(Bytes::from_static(b"bye"))));
        assert_eq!(next(&outbox), Poll::Pending);
        outbox.finish();
        assert_eq!(next(&outbox), Poll::Ready(None));
    }
}
