//! The heartbeat of one session, as its handle and its client know it.
//!
//! It goes on while the session's task is busy with what its client said: an answer that waits
//! behind that is not held against the client.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::beats::{Beat, Beats};
use super::handle::Handle;
use crate::clock;

/// The heartbeat. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pulse(Rc<Inner>);

struct Inner {
    beats: Cell<Beats>,
    handle: Arc<Handle>,
}

impl Pulse {
    pub(super) fn new(beats: Beats, handle: Arc<Handle>) -> Self {
        Self(Rc::new(Inner { beats: Cell::new(beats), handle }))
    }

    /// When to look again.
    pub(super) fn due_at(&self) -> Instant {
        self.0.beats.get().due_at()
    }

    /// Takes note of a pong.
    pub(super) fn pong(&self) {
        self.change(|beats| beats.pong(clock::now()));
    }

    /// Sends a ping when it is due, and ends the session when it is dead.
    pub(super) fn look(&self) {
        match self.change(|beats| beats.beat(clock::now())) {
            Beat::Wait => {}
            Beat::Ping => self.0.handle.say("2"),
            Beat::Dead => {
                let connection = self.0.handle.connection;
                log::debug!(connection_id:% = connection; "dead: a ping went unanswered");
                self.0.handle.end(None);
            }
        }
    }

    /// Does `work`, while which pings are sent, and nobody dies.
    pub(super) async fn keep_up<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut is_long = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    if is_long {
                        // Its answer comes right after.
                        self.change(|beats| beats.excuse(clock::now()));
                    }
                    return done;
                }
                () = tokio::time::sleep_until(self.due_at().into()) => {}
            }
            is_long = true;
            match self.change(|beats| beats.beat(clock::now())) {
                Beat::Wait => {}
                Beat::Ping => self.0.handle.say("2"),
                Beat::Dead => self.change(|beats| beats.excuse(clock::now())),
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Beats) -> T) -> T {
        let mut beats = self.0.beats.get();
        let changed = change(&mut beats);
        self.0.beats.set(beats);
        self.0.handle.set_dies_at(beats.dies_at());
        changed
    }
}
