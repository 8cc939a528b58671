//! Runs what a host brings, bounded in time.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

/// Waits for work of the host, but not for ever; what panics has answered nothing.
pub(super) async fn bounded<T>(wait_max: Duration, work: impl Future<Output = T>) -> Option<T> {
    match tokio::time::timeout(wait_max, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(_)) => {
            log::error!("a Socket.IO handler panicked");
            None
        }
        Err(_) => {
            log::warn!("a Socket.IO handler took longer than {} ms", wait_max.as_millis());
            None
        }
    }
}
