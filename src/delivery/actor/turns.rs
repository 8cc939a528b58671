//! Sees to it that whatever else runs on this thread has its turn.
//!
//! actix works a mailbox off until it is empty. Where other threads fill it as fast as it empties,
//! the connections of this thread's worker would be neither read nor written.

use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::ReliableDelivery;
use crate::clock;
use crate::delivery::pending::PARTS;

/// Events, acks and requests that are dealt with at a stretch: a millisecond or two.
const STRETCH: usize = 1_024;

/// What was dealt with since others had their turn, and when it was last looked at the clock.
#[derive(Debug)]
pub(super) struct Turns {
    items: usize,
    beaten_at: Instant,
    written_at: Instant,
}

impl Default for Turns {
    fn default() -> Self {
        let now = clock::now();
        Self { items: 0, beaten_at: now, written_at: now }
    }
}

impl ReliableDelivery {
    /// Takes note of what was dealt with; lets others go first after much. While that goes on, actix
    /// does not come to the intervals of this actor: what is due is done here.
    pub(super) fn worked(&mut self, items: usize, ctx: &mut Context<Self>) {
        self.turns.items += items;
        if self.turns.items < STRETCH {
            return;
        }
        self.turns.items = 0;
        let others = tokio::task::yield_now().into_actor(self);
        ctx.wait(others.map(|(), actor, _| {
            let now = clock::now();
            if now >= actor.turns.beaten_at + actor.tick {
                actor.beat();
            }
            if now >= actor.turns.written_at + actor.floor_part() {
                actor.write_part();
            }
        }));
    }

    /// Looks for what is overdue.
    pub(super) fn beat(&mut self) {
        self.turns.beaten_at = clock::now();
        self.table.tick(super::moment());
        self.perform();
        self.metrics.count_deliveries(&self.table.take_counts());
    }

    /// How long after one part of the floors the next is written.
    pub(super) fn floor_part(&self) -> Duration {
        (self.floor_flush / PARTS).max(Duration::from_millis(1))
    }

    /// Writes a part of the floors; an interval that is late is not made up for.
    pub(super) fn write_part(&mut self) {
        let now = clock::now();
        if now < self.turns.written_at + self.floor_part() / 2 {
            return;
        }
        self.turns.written_at = now;
        let max = self.floor_rounds.next_part(self.table.changed_floors());
        self.write_floors(max);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;

    use actix::{Actor, Addr};
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::{Config, DatabaseConfig};
    use crate::delivery::messages::{AckEntry, Acks, DeliveryPorts, LiveUsers};
    use crate::delivery::notices::Notices;
    use crate::delivery::{Publisher, Wait};
    use crate::metrics::Metrics;
    use crate::persistence::{Persistence, PersistenceHandle};
    use crate::protocol::{Ack, ConnectionId, NewEvent, Seq, UserId};

    fn start(folder: &tempfile::TempDir) -> (PersistenceHandle, Metrics, Addr<ReliableDelivery>) {
        let url = format!("sqlite://{}", folder.path().join("hub.db").display());
        let database = DatabaseConfig { url, ..DatabaseConfig::default() };
        let config = Config { database, ..Config::default() };
        let metrics = Metrics::new();
        let store =
            Persistence::start(&config.database, &config.retention, 1, None, metrics.clone())
                .unwrap();
        let notices = Notices::nobody(metrics.clone());
        let port = store.port().clone();
        let actor = ReliableDelivery::new(0, &config, port, metrics.clone(), notices);
        (store, metrics, actor.start())
    }

    /// Waits until its mailbox is as large as it will be.
    async fn begun(addr: &Addr<ReliableDelivery>) {
        let (reply, begun) = oneshot::channel();
        addr.send(LiveUsers(reply)).await.unwrap();
        begun.await.unwrap();
    }

    fn ack() -> AckEntry {
        let user = UserId::new("bob").unwrap();
        let connection = ConnectionId { worker: 0, place: 0, generation: 0 };
        AckEntry { user, connection, ack: Ack::UpTo(Seq(1)) }
    }

    #[actix::test]
    async fn a_full_mailbox_leaves_others_their_turn() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _, addr) = start(&folder);
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        actix::spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        begun(&addr).await;
        for _ in 0..100 {
            addr.try_send(Acks(vec![ack(); STRETCH])).unwrap();
        }
        let (reply, done) = oneshot::channel();
        addr.try_send(LiveUsers(reply)).unwrap();
        let before = turns.get();
        done.await.unwrap();
        assert!(turns.get() - before >= 50, "others had {} turns", turns.get() - before);
        store.stop().await;
    }

    /// Says more at every turn than is dealt with in one.
    fn flood(addr: &Addr<ReliableDelivery>) -> tokio::task::JoinHandle<()> {
        let addr = addr.clone();
        actix::spawn(async move {
            let mut turn = 0;
            loop {
                // Some must be left for those of the store; a full mailbox is never empty either.
                let _ = addr.try_send(Acks(vec![ack(); STRETCH]));
                if turn % 8 == 0 {
                    let _ = addr.try_send(Acks(vec![ack(); STRETCH]));
                }
                turn += 1_u32;
                tokio::task::yield_now().await;
            }
        })
    }

    #[actix::test]
    async fn a_mailbox_that_is_never_empty_does_not_stop_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let (store, metrics, addr) = start(&folder);
        let event = NewEvent::new("added").ephemeral();
        let publisher = Publisher::new(
            DeliveryPorts::new(vec![super::super::port(&addr)]),
            store.port().clone(),
            Arc::default(),
        );
        begun(&addr).await;
        let flooding = flood(&addr);
        publisher.publish(UserId::new("alice").unwrap(), event, Wait::Durable).await.unwrap();
        let deadline = clock::now() + Duration::from_secs(30);
        // Counts are told with each beat.
        while !metrics.text().contains("staffetta_events_published_total 1") {
            assert!(clock::now() < deadline, "it never beat");
            tokio::task::yield_now().await;
        }
        flooding.abort();
        store.stop().await;
    }
}
