//! Which slots a node should take and which it should let go.
//!
//! Pure: the caller brings one consistent reading of the rows, made by one clock. Every node
//! decides for itself; a slot that two want is had by one of them, by compare-and-set, and the
//! next reading puts the rest right.

use crate::protocol::{Epoch, NodeNumber, Slot};

/// A node as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Its number.
    pub number: NodeNumber,
    /// Whether its lease holds.
    pub is_live: bool,
    /// Whether it is going away.
    pub is_leaving: bool,
    /// Whether the bus reaches it.
    pub is_on_bus: bool,
}

/// A slot as its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// Which.
    pub slot: Slot,
    /// Whose it was last said to be; none when it was let go.
    pub owner: Option<NodeNumber>,
    /// How often it changed hands.
    pub epoch: Epoch,
}

/// Whether slots of nodes whose lease has run out may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// They may.
    Yes,
    /// Not yet: the database was just away, for the others too, and they may still be there.
    NotYet,
}

/// What a node should do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Take these, if they still are at these epochs.
    pub take: Vec<(Slot, Epoch)>,
    /// Let these go, so that others may take them.
    pub let_go: Vec<Slot>,
}

/// Says what `me` should do, so that the nodes that can serve have equally many slots, but for
/// one. A slot moves only from a node that has too many.
pub fn plan(me: NodeNumber, nodes: &[NodeState], slots: &[SlotState], take_over: TakeOver) -> Plan {
    let mut serving = serving(nodes);
    let owned = |node: NodeNumber| slots.iter().filter(move |slot| slot.owner == Some(node));
    if !serving.contains(&me) {
        // Whoever is going away lets go whether there is somebody else or not.
        let is_leaving = nodes.iter().any(|node| node.number == me && node.is_leaving);
        let lets_go = is_leaving || !serving.is_empty();
        let let_go = if lets_go { owned(me).map(|slot| slot.slot).collect() } else { Vec::new() };
        return Plan { take: Vec::new(), let_go };
    }
    let is_to_be_had = |slot: &&SlotState| match slot.owner {
        None => true,
        Some(owner) => {
            let is_live = nodes.iter().any(|node| node.number == owner && node.is_live);
            !is_live && take_over == TakeOver::Yes
        }
    };
    // Who has most keeps the odd ones, so that as few as can be move.
    serving.sort_by_key(|node| (std::cmp::Reverse(owned(*node).count()), *node));
    let (base, odd) = (slots.len() / serving.len(), slots.len() % serving.len());
    let mut before_me = 0;
    for (place, node) in serving.iter().enumerate() {
        let quota = base + usize::from(place < odd);
        let count = owned(*node).count();
        if *node != me {
            // What another node lacks is left to it.
            before_me += quota.saturating_sub(count);
            continue;
        }
        let surplus = count.saturating_sub(quota);
        let let_go = owned(me).rev().take(surplus).map(|slot| slot.slot).collect();
        let lacking = quota.saturating_sub(count);
        let free: Vec<_> = slots.iter().filter(is_to_be_had).collect();
        let skipped = before_me.min(free.len().saturating_sub(lacking));
        let take = free.into_iter().skip(skipped).take(lacking);
        return Plan { take: take.map(|slot| (slot.slot, slot.epoch)).collect(), let_go };
    }
    Plan::default()
}

/// The nodes that can serve: live, staying, and on the bus, unless nobody is on it.
fn serving(nodes: &[NodeState]) -> Vec<NodeNumber> {
    let staying = || nodes.iter().filter(|node| node.is_live && !node.is_leaving);
    let somebody_is_on_bus = staying().any(|node| node.is_on_bus);
    staying().filter(|node| node.is_on_bus || !somebody_is_on_bus).map(|node| node.number).collect()
}

#[cfg(test)]
mod tests;
