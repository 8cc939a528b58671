//! Threads that read, so that a long read never delays a commit.
//!
//! Bounded: when too many reads wait, the next is refused at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::connection::{Opener, StoreConnection, StoreSetupError};
use super::messages::StoreError;
use crate::config::DatabaseConfig;

/// Reads that may wait.
const WAITING_MAX: usize = 16_384;

/// A read, told of the connection it may use or why there is none.
type Read = Box<dyn FnOnce(Result<&mut StoreConnection, StoreError>) + Send>;

/// The reading threads. When this is dropped they end, and reads that wait are refused.
pub(super) struct Readers {
    /// None once they end.
    queue: Option<SyncSender<Read>>,
    is_ending: Arc<AtomicBool>,
    /// Those whose end is waited for.
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts as many threads as there may be reading connections.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn start(
        opener: &Opener,
        database: &DatabaseConfig,
    ) -> Result<Self, StoreSetupError> {
        let threads = database.readers.max(1);
        let pool = r2d2::Pool::builder()
            .max_size(threads)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_millis(database.busy_timeout_ms))
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(opener.clone());
        let (queue, reads) = sync_channel(WAITING_MAX);
        let reads = Arc::new(Mutex::new(reads));
        let mut readers =
            Self { queue: Some(queue), is_ending: Arc::default(), threads: Vec::new() };
        for number in 0..threads {
            let (pool, reads) = (pool.clone(), Arc::clone(&reads));
            let is_ending = Arc::clone(&readers.is_ending);
            let thread = thread::Builder::new()
                .name(format!("reader-{number}"))
                .spawn(move || run(&pool, &reads, &is_ending))?;
            // A server may never answer; a file does.
            readers.threads.extend(opener.is_sqlite().then_some(thread));
        }
        Ok(readers)
    }

    /// Runs `read` on a reading thread. If too many wait, it is run here and now, told so.
    pub(super) fn read(
        &self,
        read: impl FnOnce(Result<&mut StoreConnection, StoreError>) + Send + 'static,
    ) {
        let Some(queue) = &self.queue else { return read(Err(StoreError::Closed)) };
        match queue.try_send(Box::new(read)) {
            Ok(()) => {}
            Err(TrySendError::Full(read)) => read(Err(StoreError::Overloaded)),
            Err(TrySendError::Disconnected(read)) => read(Err(StoreError::Closed)),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::warn!("a thread that reads from the database panicked");
            }
        }
    }
}

fn run(pool: &r2d2::Pool<Opener>, reads: &Mutex<Receiver<Read>>, is_ending: &AtomicBool) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        if is_ending.load(Ordering::Relaxed) {
            read(Err(StoreError::Closed));
            continue;
        }
        match pool.get() {
            Ok(mut connection) => read(Ok(&mut connection)),
            Err(error) => read(Err(StoreError::Database(error.to_string()))),
        }
    }
}
