//! The sessions of this process by name: a poll finds its session from any worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::Handle;

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Directory([Mutex<HashMap<String, Arc<Handle>>>; SHARDS]);

impl Directory {
    /// Keeps a session under its name.
    pub(super) fn insert(&self, handle: Arc<Handle>) {
        self.shard(&handle.sid).insert(handle.sid.clone(), handle);
    }

    /// The session of this name.
    pub(super) fn get(&self, sid: &str) -> Option<Arc<Handle>> {
        self.shard(sid).get(sid).cloned()
    }

    /// Forgets a session.
    pub(super) fn remove(&self, sid: &str) {
        self.shard(sid).remove(sid);
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of SHARDS is below it")]
    fn shard(&self, sid: &str) -> MutexGuard<'_, HashMap<String, Arc<Handle>>> {
        // Names are random: any of their bytes is as good as a hash.
        let sum = sid.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        self.0[sum % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
