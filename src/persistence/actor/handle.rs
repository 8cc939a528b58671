//! What is held of a running store, until it is stopped.

use actix::{Actor, Arbiter};
use tokio::sync::{oneshot, watch};

use crate::persistence::messages::{Flush, PersistencePort};
use crate::persistence::shelf::{self, Shelf};

/// The running store.
#[derive(Debug)]
pub struct PersistenceHandle {
    pub(super) port: PersistencePort,
    pub(super) arbiters: Vec<Arbiter>,
    pub(super) ended: Vec<watch::Receiver<()>>,
}

impl PersistenceHandle {
    /// What others may ask of it.
    pub fn port(&self) -> &PersistencePort {
        &self.port
    }

    /// Waits until everything asked so far is durable, then ends the writing thread: another hub may
    /// have the database.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.port.flush.send(Flush(reply)).await.is_ok() && done.await.is_err() {
            log::warn!("the store ended before everything was written");
        }
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        for ended in &self.ended {
            // Never anything but the end.
            let _ = ended.clone().changed().await;
        }
    }

    /// This one for what has no slot, and `stores` for the rest, each for the slots that `of_slots`
    /// says.
    #[must_use]
    pub fn and_for_slots(self, stores: Vec<Self>, of_slots: Box<[u8; 256]>) -> Self {
        let ports = stores.iter().map(|store| store.port.clone()).collect();
        let shelf = Shelf::new(&self.port, ports, of_slots);
        let arbiter = Arbiter::new();
        let addr = Shelf::start_in_arbiter(&arbiter.handle(), |_| shelf);
        let port = shelf::port(&addr, &self.port);
        let (mut arbiters, mut ended) = (self.arbiters, self.ended);
        arbiters.push(arbiter);
        for store in stores {
            arbiters.extend(store.arbiters);
            ended.extend(store.ended);
        }
        Self { port, arbiters, ended }
    }
}
