//! Where the delivery actors run: on threads of their own, or on those of the server's workers.
//!
//! On a worker's thread an event that comes and goes through that worker never changes threads
//! unless it is stored; but only the hub's own server is known to have as many workers as there
//! are actors.

use std::sync::{Mutex, PoisonError};

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Arbiter, Context};

use crate::config::DeliveryConfig;
use crate::delivery::actor::{self, ReliableDelivery};
use crate::delivery::messages::DeliveryPorts;

/// Messages an actor takes before it is started; then it has its own bound.
const WAITING_MAX: usize = 16;

/// What is held of the delivery actors.
pub(super) struct Seats {
    arbiters: Vec<Arbiter>,
    waiting: Mutex<Vec<Seat>>,
}

/// An actor that can be sent to and is not started yet.
struct Seat {
    actor: ReliableDelivery,
    mailbox: AddressReceiver<ReliableDelivery>,
}

impl Seats {
    /// Starts each actor on a thread of its own; or keeps it for a worker, where the server has those
    /// and the configuration asks for no threads.
    pub(super) fn place(
        actors: Vec<ReliableDelivery>,
        config: &DeliveryConfig,
        on_workers: bool,
    ) -> (DeliveryPorts, Self) {
        let mut ports = Vec::with_capacity(actors.len());
        let mut seats = Self { arbiters: Vec::new(), waiting: Mutex::default() };
        for actor in actors {
            let addr = if on_workers && config.threads == 0 {
                seats.keep(actor)
            } else {
                seats.start(actor)
            };
            ports.push(actor::port(&addr));
        }
        (DeliveryPorts::new(ports), seats)
    }

    fn start(&mut self, actor: ReliableDelivery) -> Addr<ReliableDelivery> {
        let arbiter = Arbiter::new();
        let addr = ReliableDelivery::start_in_arbiter(&arbiter.handle(), |_| actor);
        self.arbiters.push(arbiter);
        addr
    }

    fn keep(&mut self, actor: ReliableDelivery) -> Addr<ReliableDelivery> {
        let (sender, mailbox) = channel(WAITING_MAX);
        let waiting = self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Seat { actor, mailbox });
        Addr::new(sender)
    }

    /// Starts one that waits, if any does, on the thread this is called on.
    pub(super) fn take(&self) {
        let seat = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(Seat { actor, mailbox }) = seat {
            actix::spawn(Context::with_receiver(mailbox).into_future(actor));
        }
    }

    /// Ends the threads that are the actors' own; others end with their workers.
    pub(super) fn stop(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}
