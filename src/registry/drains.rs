//! How all workers are told to send their connections away, and whether they were.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::oneshot;

use super::messages::Drain;

/// How much longer than the window a drain may take.
const BEYOND_WINDOW: Duration = Duration::from_millis(500);

/// Every worker's ear for a drain. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drains(Arc<Inner>);

#[derive(Default)]
struct Inner {
    has_begun: AtomicBool,
    workers: Mutex<Vec<Recipient<Drain>>>,
}

impl std::fmt::Debug for Drains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drains").finish_non_exhaustive()
    }
}

impl Drains {
    /// Takes note of one more worker, and forgets those that are gone.
    pub fn add(&self, worker: Recipient<Drain>) {
        let mut workers = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(Recipient::connected);
        workers.push(worker);
    }

    /// Whether connections are, or were, told to come back later.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Acquire)
    }

    /// Lets nobody in any more and tells every connection to come back, spread over `window`. Says
    /// how many there were, once they are told.
    pub async fn drain(&self, window: Duration) -> usize {
        self.0.has_begun.store(true, Ordering::Release);
        let workers = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut answers = Vec::with_capacity(workers.len());
        for worker in workers {
            let (reply, answer) = oneshot::channel();
            if worker.send(Drain { window, reply }).await.is_ok() {
                answers.push(answer);
            }
        }
        let mut told = 0;
        let deadline = tokio::time::Instant::now() + window + BEYOND_WINDOW;
        for answer in answers {
            if let Ok(Ok(count)) = tokio::time::timeout_at(deadline, answer).await {
                told += count;
            }
        }
        told
    }
}
