//! Threads that read, so that a long read never delays a commit.
//!
//! Bounded: when too many reads wait, the next is refused at once.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::connection::{Opener, StoreConnection, StoreSetupError};
use super::messages::StoreError;

/// Reads that may wait.
const WAITING_MAX: usize = 16_384;

/// A read, told of the connection it may use or why there is none.
type Read = Box<dyn FnOnce(Result<&mut StoreConnection, StoreError>) + Send>;

/// The reading threads. They end when this is dropped.
pub(super) struct Readers {
    queue: SyncSender<Read>,
}

impl Readers {
    /// Starts as many threads as the pool has connections.
    pub(super) fn start(pool: r2d2::Pool<Opener>, threads: u32) -> Result<Self, StoreSetupError> {
        let (queue, reads) = sync_channel(WAITING_MAX);
        let reads = Arc::new(Mutex::new(reads));
        for number in 0..threads.max(1) {
            let (pool, reads) = (pool.clone(), Arc::clone(&reads));
            std::thread::Builder::new()
                .name(format!("reader-{number}"))
                .spawn(move || run(&pool, &reads))?;
        }
        Ok(Self { queue })
    }

    /// Runs `read` on a reading thread. If too many wait, it is run here and now, told so.
    pub(super) fn read(
        &self,
        read: impl FnOnce(Result<&mut StoreConnection, StoreError>) + Send + 'static,
    ) {
        match self.queue.try_send(Box::new(read)) {
            Ok(()) => {}
            Err(TrySendError::Full(read)) => read(Err(StoreError::Overloaded)),
            Err(TrySendError::Disconnected(read)) => read(Err(StoreError::Closed)),
        }
    }
}

fn run(pool: &r2d2::Pool<Opener>, reads: &Mutex<Receiver<Read>>) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        match pool.get() {
            Ok(mut connection) => read(Ok(&mut connection)),
            Err(error) => read(Err(StoreError::Database(error.to_string()))),
        }
    }
}
