//! What has arrived, and how long it took since it was due to be sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;

/// Bytes of an event's data.
pub(crate) const BYTES: usize = 200;

/// What the time in an event begins with; nothing else in a frame holds it.
const MARK: u8 = b'@';
const DIGITS: usize = 12;

/// Nothing is waited for longer.
const MOST_MICROS: u64 = 600_000_000;

/// Whether the times in events are read: that costs the load something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Read,
    PassedOver,
}

pub(crate) struct Tally {
    start: Instant,
    seen: Cell<u64>,
    again: Cell<u64>,
    awaited: Cell<u64>,
    reached: Notify,
    times: Times,
    /// Microseconds.
    latencies: RefCell<Histogram<u64>>,
}

impl Tally {
    pub(crate) fn new(times: Times) -> Rc<Self> {
        Rc::new(Self {
            start: Instant::now(),
            seen: Cell::new(0),
            again: Cell::new(0),
            awaited: Cell::new(u64::MAX),
            reached: Notify::new(),
            times,
            latencies: RefCell::new(Histogram::new_with_max(MOST_MICROS, 3).unwrap()),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The moment that is `due` after the start.
    pub(crate) fn at(&self, due: Duration) -> Instant {
        self.start + due
    }

    /// The data of an event that is due at `due`. A latency counts from there, not from when the
    /// load came to send it: a server that holds the load up gains nothing by it.
    pub(crate) fn data(due: Duration) -> String {
        let micros = due.as_micros();
        let filling = BYTES - DIGITS - r#"{"t":"@","x":""}"#.len();
        format!(r#"{{"t":"@{micros:0DIGITS$}","x":"{}"}}"#, "x".repeat(filling))
    }

    /// Counts an event.
    pub(crate) fn count(&self, event: &[u8]) {
        let seen = self.seen.get() + 1;
        self.seen.set(seen);
        if self.times == Times::Read
            && let Some(at) = event.iter().position(|&byte| byte == MARK)
            && let Some(digits) = event.get(at + 1..at + 1 + DIGITS)
        {
            let due = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            let took = (self.now().as_micros() as u64).saturating_sub(due);
            self.latencies.borrow_mut().saturating_record(took);
        }
        if seen >= self.awaited.get() {
            self.awaited.set(u64::MAX);
            self.reached.notify_waiters();
        }
    }

    /// Counts an event that was sent again.
    pub(crate) fn count_again(&self) {
        self.again.set(self.again.get() + 1);
    }

    pub(crate) fn again(&self) -> u64 {
        self.again.get()
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.get()
    }

    /// Waits until so many have arrived.
    pub(crate) async fn reaches(&self, count: u64) {
        while self.seen.get() < count {
            self.awaited.set(self.awaited.get().min(count));
            self.reached.notified().await;
        }
    }

    /// So many percent took at most this many microseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latencies.borrow().value_at_percentile(percent) as f64
    }

    /// Forgets how long things took so far.
    pub(crate) fn forget_times(&self) {
        self.latencies.borrow_mut().reset();
    }
}

/// Waits until a moment, to the microsecond: a timer of tokio's is late by up to a millisecond.
pub(crate) async fn until(due: Instant) {
    let early = due.checked_sub(Duration::from_millis(2)).unwrap_or(due);
    tokio::time::sleep_until(early.into()).await;
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}
