//! Which slots a ReliableDelivery serves: all of them, unless there are other nodes.

use std::sync::Arc;

use actix::{AsyncContext, Handler, WrapFuture};

use super::{ReliableDelivery, moment};
use crate::cluster::View;
use crate::delivery::messages::{PublishError, SlotOrder, Submission};
use crate::delivery::output::Answer;
use crate::delivery::pending::Moment;
use crate::persistence::messages::{Flush, StoreError, Ticket};
use crate::protocol::{Epoch, NodeNumber, Slot, UserId};

/// Publishes that wait for slots to be opened, at most; beyond, they are refused.
const HELD_MAX: usize = 16_384;

/// What this actor may do with one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Elsewhere,
    Opening(Epoch),
    Open(Epoch),
    Leaving(Epoch),
}

/// The slots; none where there is one node.
#[derive(Debug, Default)]
pub(super) struct Slots(Option<Box<Cluster>>);

#[derive(Debug)]
struct Cluster {
    view: Arc<View>,
    stages: [Stage; 256],
    held: Vec<(Ticket, Submission)>,
}

/// What becomes of a request about one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is obeyed.
    Now,
    /// It waits.
    Later,
    /// It is for another node.
    Elsewhere,
}

impl Slots {
    /// The slots of one node of several: none yet.
    pub(super) fn of_cluster(view: Arc<View>) -> Self {
        let stages = [Stage::Elsewhere; 256];
        Self(Some(Box::new(Cluster { view, stages, held: Vec::new() })))
    }

    /// This node.
    pub(super) fn here(&self) -> NodeNumber {
        self.0.as_ref().map_or(NodeNumber(0), |cluster| cluster.view.here())
    }

    /// What becomes of something that needs the user's home.
    pub(super) fn admit(&self, user: &UserId) -> Admission {
        match self.stage(user) {
            None | Some(Stage::Open(_)) => Admission::Now,
            Some(Stage::Opening(_)) => Admission::Later,
            Some(Stage::Elsewhere | Stage::Leaving(_)) => Admission::Elsewhere,
        }
    }

    /// At which epoch of its slot something about `user` is decided.
    pub(super) fn epoch_of(&self, user: &UserId) -> Epoch {
        match self.stage(user) {
            None | Some(Stage::Elsewhere) => Epoch(0),
            Some(Stage::Opening(epoch) | Stage::Open(epoch) | Stage::Leaving(epoch)) => epoch,
        }
    }

    /// Keeps a publish until its slot is opened; gives it back when too many wait.
    pub(super) fn hold(&mut self, ticket: Ticket, submission: Submission) -> Option<Ticket> {
        match &mut self.0 {
            Some(cluster) if cluster.held.len() < HELD_MAX => {
                cluster.held.push((ticket, submission));
                None
            }
            Some(_) | None => Some(ticket),
        }
    }

    /// Takes note of what the store says of a write.
    pub(super) fn heard<T>(&self, result: &Result<T, StoreError>) {
        if let (Some(cluster), Err(StoreError::Moved)) = (&self.0, result) {
            cluster.view.doubt();
        }
    }

    fn stage(&self, user: &UserId) -> Option<Stage> {
        let cluster = self.0.as_ref()?;
        cluster.stages.get(usize::from(user.slot().0)).copied()
    }

    fn set(&mut self, slot: Slot, stage: impl FnOnce(Stage) -> Stage) {
        let stages = self.0.as_mut().map(|cluster| &mut cluster.stages);
        if let Some(known) = stages.and_then(|stages| stages.get_mut(usize::from(slot.0))) {
            *known = stage(*known);
        }
    }

    /// What waited and need not any more.
    fn release(&mut self) -> Vec<(Ticket, Submission)> {
        let Some(cluster) = &mut self.0 else { return Vec::new() };
        let stages = &cluster.stages;
        let waits = |user: &UserId| {
            matches!(stages.get(usize::from(user.slot().0)), Some(Stage::Opening(_)))
        };
        cluster.held.extract_if(.., |(_, submission)| !waits(&submission.user)).collect()
    }
}

impl ReliableDelivery {
    /// As one node of several: it serves what it is told to.
    #[must_use]
    pub fn in_cluster(mut self, view: Arc<View>) -> Self {
        self.slots = Slots::of_cluster(view);
        self
    }

    /// Publishes, keeps for later, or refuses.
    pub(super) fn take_submission(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        moment: Moment,
    ) {
        match self.slots.admit(&submission.user) {
            Admission::Now => self.table.publish(ticket, submission, moment),
            Admission::Later => {
                if let Some(ticket) = self.slots.hold(ticket, submission) {
                    self.refuse_publish(ticket, PublishError::Overloaded);
                }
            }
            Admission::Elsewhere => self.refuse_publish(ticket, PublishError::Moved),
        }
    }

    fn refuse_publish(&mut self, ticket: Ticket, error: PublishError) {
        self.replies.answer(ticket, Answer::Published(Err(error)));
    }

    fn let_in(&mut self) {
        let moment = moment();
        for (ticket, submission) in self.slots.release() {
            self.take_submission(ticket, submission, moment);
        }
        self.perform();
    }

    fn drop_slots(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.slots.set(*slot, |_| Stage::Elsewhere);
        }
        let is_gone = |user: &UserId| slots.contains(&user.slot());
        self.table.forget_users(is_gone);
        self.unsaved.retain(|_, (user, ..)| !is_gone(user));
        self.floors.retain(|floor| !is_gone(&floor.user));
        self.let_in();
    }
}

impl Handler<SlotOrder> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, order: SlotOrder, ctx: &mut Self::Context) {
        match order {
            SlotOrder::Take(slots) => {
                for (slot, epoch) in slots {
                    self.slots.set(slot, |_| Stage::Opening(epoch));
                }
            }
            SlotOrder::Open(slots) => {
                for slot in slots {
                    self.slots.set(slot, |stage| match stage {
                        Stage::Opening(epoch) => Stage::Open(epoch),
                        Stage::Elsewhere | Stage::Open(_) | Stage::Leaving(_) => stage,
                    });
                }
                self.let_in();
            }
            SlotOrder::Leave { slots, reply } => {
                for slot in slots {
                    self.slots.set(slot, |stage| match stage {
                        Stage::Opening(epoch) | Stage::Open(epoch) => Stage::Leaving(epoch),
                        Stage::Elsewhere | Stage::Leaving(_) => stage,
                    });
                }
                self.let_in();
                self.write_floors(usize::MAX);
                let flush = self.persistence.flush.send(Flush(reply));
                ctx.spawn(
                    async move {
                        if flush.await.is_err() {
                            log::warn!("slots are left without a last write: the store is closed");
                        }
                    }
                    .into_actor(self),
                );
            }
            SlotOrder::Drop(slots) => self.drop_slots(&slots),
            SlotOrder::NodeGone(node) => {
                self.table.node_gone(node, moment());
                self.perform();
            }
        }
    }
}
