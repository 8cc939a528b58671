//! The byte-bounded queue of framed bytes before one socket, and the response body that drains
//! it.
//!
//! Lives on one worker thread. A reader that does not keep up costs its own connection, never
//! memory: when the bound is passed, what waits is dropped and only a close frame is left.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

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
}

/// The queue. Its maker pushes; its [`OutboxBody`] drains.
#[derive(Debug)]
pub struct Outbox {
    bytes_max: usize,
    queue: RefCell<Queue>,
}

impl Outbox {
    /// An empty outbox that holds at most `bytes_max` bytes, or one frame.
    pub fn new(bytes_max: usize) -> Self {
        let queue = Queue::default();
        Self { bytes_max, queue: RefCell::new(queue) }
    }

    /// Queues a frame.
    pub fn push(&self, frame: Bytes) -> Pushed {
        let mut queue = self.queue.borrow_mut();
        if queue.state != State::Open {
            return Pushed::Closed;
        }
        if queue.bytes > 0 && queue.bytes + frame.len() > self.bytes_max {
            queue.clear();
            return Pushed::Overflow;
        }
        queue.add(frame);
        queue.wake();
        Pushed::Queued
    }

    /// Queues a close frame, after which nothing is taken. Says whether it was the first.
    pub fn close(&self, frame: Bytes) -> bool {
        let mut queue = self.queue.borrow_mut();
        if queue.state != State::Open {
            return false;
        }
        queue.state = State::Closing;
        queue.add(frame);
        queue.wake();
        true
    }

    /// Ends the body once what is queued is drained.
    pub fn finish(&self) {
        let mut queue = self.queue.borrow_mut();
        queue.state = State::Finished;
        queue.wake();
    }

    /// Whether nothing waits for the reader.
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().bytes == 0
    }

    /// Whether a close frame was queued, or the body is ending.
    pub fn is_closing(&self) -> bool {
        self.queue.borrow().state != State::Open
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.queue.borrow().bytes
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = self.queue.borrow_mut();
        if let Some(frame) = queue.next() {
            return Poll::Ready(Some(frame));
        }
        if queue.state == State::Finished {
            return Poll::Ready(None);
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => queue.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Queue {
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
pub struct OutboxBody(pub Rc<Outbox>);

impl MessageBody for OutboxBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.0.poll_frame(cx).map(|frame| frame.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;

    use super::*;

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
