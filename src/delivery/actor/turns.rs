//! Sees to it that whatever else runs on this thread has its turn.
//!
//! actix works a mailbox off until it is empty. Where other threads fill it as fast as it empties,
//! the connections of this thread's worker would be neither read nor written.

use actix::{AsyncContext, Context, WrapFuture};

use super::ReliableDelivery;

/// Events and acks that are dealt with at a stretch: a millisecond or two.
const STRETCH: usize = 1_024;

impl ReliableDelivery {
    /// Takes note of so many events or acks that were dealt with; lets others go first after many.
    pub(super) fn worked(&mut self, items: usize, ctx: &mut Context<Self>) {
        self.stretch += items;
        if self.stretch >= STRETCH {
            self.stretch = 0;
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use actix::Actor;
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::{Config, DatabaseConfig};
    use crate::delivery::messages::{AckEntry, Acks, LiveUsers};
    use crate::delivery::notices::Notices;
    use crate::metrics::Metrics;
    use crate::persistence::Persistence;
    use crate::protocol::{Ack, ConnectionId, Seq, UserId};

    #[actix::test]
    async fn a_full_mailbox_leaves_others_their_turn() {
        let config = Config {
            database: DatabaseConfig {
                url: "sqlite://:memory:".to_owned(),
                ..DatabaseConfig::default()
            },
            ..Config::default()
        };
        let metrics = Metrics::new();
        let store =
            Persistence::start(&config.database, &config.retention, 1, None, metrics.clone())
                .unwrap();
        let notices = Notices::nobody(metrics.clone());
        let actor = ReliableDelivery::new(0, &config, store.port().clone(), metrics, notices);
        let addr = actor.start();
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        actix::spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        let entry = AckEntry {
            user: UserId::new("alice").unwrap(),
            connection: ConnectionId { worker: 0, place: 0, generation: 0 },
            ack: Ack::UpTo(Seq(1)),
        };
        for _ in 0..100 {
            addr.do_send(Acks(vec![entry.clone(); STRETCH]));
        }
        let (reply, done) = oneshot::channel();
        addr.do_send(LiveUsers(reply));
        let before = turns.get();
        done.await.unwrap();
        assert!(turns.get() - before >= 100, "others had {} turns", turns.get() - before);
        store.stop().await;
    }
}
