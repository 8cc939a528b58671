//! Acks of one worker, passed on together: one message per delivery actor and turn of the event
//! loop, however many clients acked.
//!
//! Bounded: when a delivery actor does not keep up, the oldest acks are dropped. Their events
//! are sent again, and acked again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::SendError;

use crate::delivery::messages::{AckEntry, Acks, DeliveryPort, DeliveryPorts};
use crate::protocol::UserId;

/// Acks kept per delivery actor.
const KEPT_MAX: usize = 65_536;

/// Acks of one turn that the next finds room for.
const ROOM_KEPT: usize = 256;

/// The pause before a full mailbox is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// The acks that wait to be passed on.
#[derive(Clone, Debug)]
pub(super) struct AckBatches(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    deliveries: DeliveryPorts,
    batches: RefCell<Vec<Vec<AckEntry>>>,
    is_scheduled: Cell<bool>,
}

impl AckBatches {
    pub(super) fn new(deliveries: DeliveryPorts) -> Self {
        let batches = vec![Vec::new(); deliveries.groups()];
        Self(Rc::new(Inner {
            deliveries,
            batches: RefCell::new(batches),
            is_scheduled: Cell::new(false),
        }))
    }

    /// Keeps an ack until this turn of the event loop is over.
    pub(super) fn push(&self, entry: AckEntry) {
        let group = self.0.deliveries.group_of(&entry.user);
        if let Some(batch) = self.0.batches.borrow_mut().get_mut(group) {
            batch.push(entry);
        }
        if !self.0.is_scheduled.replace(true) {
            let batches = self.clone();
            actix::spawn(async move {
                // Everything that is ready now is polled before this goes on.
                tokio::task::yield_now().await;
                while !batches.flush() {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                batches.0.is_scheduled.set(false);
            });
        }
    }

    /// Passes on at once what is kept for the delivery actor of `user`; says whether it went.
    pub(super) fn pass_on(&self, user: &UserId) -> bool {
        let group = self.0.deliveries.group_of(user);
        let mut batches = self.0.batches.borrow_mut();
        let port = self.0.deliveries.all().get(group);
        batches.get_mut(group).zip(port).is_none_or(|(batch, port)| send(batch, port))
    }

    /// Passes on what is kept; says whether all of it went.
    fn flush(&self) -> bool {
        let mut batches = self.0.batches.borrow_mut();
        let pairs = batches.iter_mut().zip(self.0.deliveries.all());
        pairs.fold(true, |all, (batch, port)| send(batch, port) && all)
    }
}

/// Empties a batch; says whether its actor took it.
fn send(batch: &mut Vec<AckEntry>, port: &DeliveryPort) -> bool {
    if batch.is_empty() {
        return true;
    }
    let empty = Vec::with_capacity(batch.len().min(ROOM_KEPT));
    match port.acks.try_send(Acks(std::mem::replace(batch, empty))) {
        Ok(()) | Err(SendError::Closed(_)) => true,
        Err(SendError::Full(Acks(mut kept))) => {
            if kept.len() > KEPT_MAX {
                let surplus = kept.len() - KEPT_MAX;
                kept.drain(..surplus);
                log::warn!("{surplus} acks dropped: their events will be sent again");
            }
            *batch = kept;
            false
        }
    }
}
