//! The one clock of the hub; only actors and edges read it.
//!
//! Decisions take `now` as an argument, so tests and the simulation choose the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::Timestamp;

/// The monotonic time. Follows tokio's paused clock in tests.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock, in Unix milliseconds, as it goes on the wire and into the log.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
