//! Whose each slot is, as this node knows it: read without a lock on every hop.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::protocol::{Epoch, NodeNumber, Slot};

/// An owner takes these lower bits of a word; its epoch takes the rest.
const NUMBER_BITS: u32 = 20;

/// Whose the slots are. Only a higher epoch, or its own end, replaces an owner.
#[derive(Debug)]
pub struct View {
    here: NodeNumber,
    slots: [AtomicU64; 256],
    doubt: Notify,
}

/// What one slot's owner was before and is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub slot: Slot,
    /// Who had it.
    pub before: Option<NodeNumber>,
    /// Who has it.
    pub after: Option<NodeNumber>,
    /// How often it changed hands.
    pub epoch: Epoch,
}

impl View {
    /// Nobody owns anything, as far as `here` knows.
    pub fn new(here: NodeNumber) -> Self {
        Self { here, slots: std::array::from_fn(|_| AtomicU64::new(0)), doubt: Notify::new() }
    }

    /// This node.
    pub fn here(&self) -> NodeNumber {
        self.here
    }

    /// Whether a slot is this node's.
    pub fn is_here(&self, slot: Slot) -> bool {
        self.owner(slot).0 == Some(self.here)
    }

    /// Whose a slot is, and at which epoch; none while it changes hands.
    pub fn owner(&self, slot: Slot) -> (Option<NodeNumber>, Epoch) {
        unpack(self.word(slot).load(Ordering::Acquire))
    }

    /// The slots of `node`, each with its epoch.
    pub fn slots_of(&self, node: NodeNumber) -> Vec<(Slot, Epoch)> {
        (0..=255)
            .map(Slot)
            .filter_map(|slot| match self.owner(slot) {
                (Some(owner), epoch) if owner == node => Some((slot, epoch)),
                _ => None,
            })
            .collect()
    }

    /// Takes word of an owner; says what changed, if that was news.
    pub fn learn(&self, slot: Slot, owner: Option<NodeNumber>, epoch: Epoch) -> Option<Change> {
        let new = pack(owner, epoch);
        let is_news = |word: u64| {
            let (known, since) = unpack(word);
            // An epoch that ends without a successor is news too; one that is over does not come
            // back.
            epoch > since || (epoch == since && owner.is_none() && known.is_some())
        };
        let learned = self
            .word(slot)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| is_news(word).then_some(new));
        let (before, _) = unpack(learned.ok()?);
        Some(Change { slot, before, after: owner, epoch })
    }

    /// Says that something contradicts this view: it is to be looked at anew.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Waits until somebody doubts.
    pub async fn doubted(&self) {
        self.doubt.notified().await;
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many as a slot has values")]
    fn word(&self, slot: Slot) -> &AtomicU64 {
        &self.slots[usize::from(slot.0)]
    }
}

fn pack(owner: Option<NodeNumber>, Epoch(epoch): Epoch) -> u64 {
    let number = owner.map_or(0, |owner| u64::from(owner.0));
    (epoch.max(0).unsigned_abs() << NUMBER_BITS) | number
}

fn unpack(word: u64) -> (Option<NodeNumber>, Epoch) {
    let number = (word & ((1 << NUMBER_BITS) - 1)) as u32;
    ((number != 0).then_some(NodeNumber(number)), Epoch((word >> NUMBER_BITS) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_higher_epoch_or_its_own_end_replaces_an_owner() {
        let (a, b, slot) = (NodeNumber(1), NodeNumber(NodeNumber::MAX), Slot(7));
        let view = View::new(a);
        assert_eq!(view.owner(slot), (None, Epoch(0)));
        assert!(view.learn(slot, Some(a), Epoch(3)).is_some());
        assert!(view.is_here(slot));
        assert_eq!(view.learn(slot, Some(b), Epoch(3)), None, "the same epoch has one owner");
        assert_eq!(view.learn(slot, Some(b), Epoch(2)), None, "old word");
        let change = view.learn(slot, Some(b), Epoch(4)).unwrap();
        assert_eq!((change.before, change.after), (Some(a), Some(b)));
        assert!(view.learn(slot, None, Epoch(4)).is_some());
        assert_eq!(view.learn(slot, Some(b), Epoch(4)), None, "an epoch that ended stays so");
        assert_eq!(view.owner(slot), (None, Epoch(4)));
        assert!(view.learn(slot, Some(a), Epoch(1 << 42)).is_some());
        assert_eq!(view.slots_of(a), [(slot, Epoch(1 << 42))]);
    }
}
