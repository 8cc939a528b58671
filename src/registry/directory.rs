//! The registries of this process, by worker, for whoever has something for a connection of any of
//! them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use actix::Recipient;

use super::messages::{AttachAgain, Order, Orders};

/// Every registry. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<HashMap<u32, Registry>>>);

#[derive(Clone, Debug)]
pub(super) struct Registry {
    pub(super) orders: Recipient<Orders>,
    pub(super) again: Recipient<AttachAgain>,
}

impl Directory {
    /// Takes note of a worker's registry.
    pub(super) fn add(&self, worker: u32, registry: Registry) {
        let mut registries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        registries.retain(|_, known| known.orders.connected());
        registries.insert(worker, registry);
    }

    /// Hands orders to one worker; says whether they were taken.
    pub fn order(&self, worker: u32, orders: Vec<Order>) -> bool {
        let registries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(registry) = registries.get(&worker) else { return true };
        registry.orders.try_send(Orders(orders)).is_ok()
    }

    /// Who attaches connections again, worker by worker.
    pub fn again(&self) -> Vec<Recipient<AttachAgain>> {
        let registries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        registries.values().map(|registry| registry.again.clone()).collect()
    }
}
