//! Keeps this node's lease, takes the slots that are due to it, and lets go of those that are not.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::envelope::Message;
use super::node::Node;
use super::ownership::{Plan, SlotState, TakeOver, plan};
use crate::clock;
use crate::persistence::messages::StoreError;
use crate::persistence::{Beat, Reading, SlotStore};
use crate::protocol::Slot;

/// The least time between two looks at the rows.
const LOOK_GAP: Duration = Duration::from_millis(30);

/// The pause before a database that does not answer is asked again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How long a lease lasts and how often it is renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) lease: Duration,
    pub(super) renew: Duration,
}

/// The slots of one database.
pub(super) struct Keeper {
    node: Node,
    rhythm: Rhythm,
    /// Which of the node's leases it keeps.
    place: usize,
    /// None only while it is in use, on a thread that may block.
    store: Option<SlotStore>,
    /// Since when the database has answered in time, without a break.
    steady_since: Option<Instant>,
    beaten_at: Option<Instant>,
}

/// Asks a keeper to let everything go; answered when it has.
pub(super) type Leave = oneshot::Sender<()>;

impl Keeper {
    pub(super) fn new(node: Node, place: usize, store: SlotStore, rhythm: Rhythm) -> Self {
        Self { node, rhythm, place, store: Some(store), steady_since: None, beaten_at: None }
    }

    /// Runs until there is nobody left to ask it to leave.
    pub(super) async fn run(mut self, mut leaves: mpsc::Receiver<Leave>) {
        let mut leaving: Vec<Leave> = Vec::new();
        loop {
            let pause = match self.look().await {
                Ok(pause) => {
                    for leave in leaving.drain(..) {
                        // Whoever asked may have stopped waiting.
                        let _ = leave.send(());
                    }
                    pause
                }
                Err(error) => {
                    log::warn!("the lease is not renewed: {error}");
                    self.steady_since = None;
                    TRY_AGAIN
                }
            };
            tokio::time::sleep(LOOK_GAP).await;
            let node = self.node.clone();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = node.view().doubted() => {}
                leave = leaves.recv() => match leave {
                    Some(leave) => leaving.push(leave),
                    None => return,
                },
            }
        }
    }

    /// Renews the lease and does what is due; says when to look again.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        let here = self.node.here();
        let beat = Beat {
            number: here,
            name: self.node.name().to_owned(),
            lease_ms: self.rhythm.lease.as_millis() as u64,
            is_leaving: self.node.is_leaving(),
            is_on_bus: self.node.link().is_up(),
        };
        let asked = clock::now();
        let Reading { nodes, slots, first_end_ms } =
            self.blocking(move |store| store.beat(&beat)).await?;
        self.node.leases().renewed(self.place, asked, self.rhythm.lease);
        let take_over = self.take_over(clock::now());
        self.learn(&slots).await;
        let Plan { take, let_go } = plan(here, &nodes, &slots, take_over);
        if !let_go.is_empty() {
            self.let_go(let_go).await?;
        }
        if !take.is_empty() {
            let taken = self.blocking(move |store| store.take(here, &take)).await?;
            let was_somebodys =
                |slot: &Slot| slots.iter().any(|row| row.slot == *slot && row.owner.is_some());
            let count = taken.iter().filter(|(slot, _)| was_somebodys(slot)).count();
            self.node.link().metrics().counters().takeovers.inc_by(count as u64);
            self.node.take(taken).await;
        }
        let first_end = first_end_ms.map(Duration::from_millis);
        let soon = first_end.map_or(self.rhythm.renew, |end| end + LOOK_GAP);
        Ok(self.rhythm.renew.min(soon))
    }

    /// Whether a lease that has run out means that its node is gone: not right after the database
    /// was away, for then every lease has run out.
    fn take_over(&mut self, now: Instant) -> TakeOver {
        let is_late = |beaten_at: Instant| now > beaten_at + self.rhythm.lease;
        if self.beaten_at.is_none_or(is_late) {
            self.steady_since = None;
        }
        self.beaten_at = Some(now);
        let since = *self.steady_since.get_or_insert(now);
        if now >= since + self.rhythm.renew { TakeOver::Yes } else { TakeOver::NotYet }
    }

    /// Takes the rows for true.
    async fn learn(&mut self, slots: &[SlotState]) {
        let here = self.node.here();
        let mut changes = Vec::new();
        let mut unknown = Vec::new();
        for row in slots {
            let is_mine = row.owner == Some(here);
            if is_mine && self.node.view().owner(row.slot) != (row.owner, row.epoch) {
                // Its taking was not answered.
                unknown.push((row.slot, row.epoch));
                continue;
            }
            changes.extend(self.node.view().learn(row.slot, row.owner, row.epoch));
        }
        self.node.learned(changes).await;
        self.node.take(unknown).await;
    }

    async fn let_go(&mut self, slots: Vec<Slot>) -> Result<(), StoreError> {
        let here = self.node.here();
        self.node.leave(&slots).await;
        let gone = slots.clone();
        self.blocking(move |store| store.let_go(here, &gone)).await?;
        self.node.link().metrics().counters().handovers.inc_by(slots.len() as u64);
        let view = self.node.view();
        let end = |slot: Slot| view.learn(slot, None, view.owner(slot).1);
        let changes = slots.into_iter().filter_map(end).collect();
        self.node.learned(changes).await;
        self.node.say_hello();
        self.node.link().announce(&Message::Doubt);
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut SlotStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(mut store) = self.store.take() else { return Err(StoreError::Closed) };
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut store);
            (store, done)
        });
        let (store, done) = done.await.map_err(|_| StoreError::Closed)?;
        self.store = Some(store);
        done
    }
}
