//! What nodes do with the rows, alone and together.

use proptest::prelude::*;

use super::*;

fn node(number: u32) -> NodeState {
    NodeState { number: NodeNumber(number), is_live: true, is_leaving: false, is_on_bus: true }
}

fn rows() -> Vec<SlotState> {
    (0..=255).map(|slot| SlotState { slot: Slot(slot), owner: None, epoch: Epoch(0) }).collect()
}

/// What the database does: compare and set.
fn carry_out(me: NodeNumber, plan: &Plan, slots: &mut [SlotState]) {
    for (slot, epoch) in &plan.take {
        let row = &mut slots[usize::from(slot.0)];
        assert_eq!(row.epoch, *epoch);
        assert_ne!(row.owner, Some(me), "a slot is taken once");
        (row.owner, row.epoch) = (Some(me), Epoch(epoch.0 + 1));
    }
    for slot in &plan.let_go {
        let row = &mut slots[usize::from(slot.0)];
        assert_eq!(row.owner, Some(me));
        row.owner = None;
    }
}

fn settle(nodes: &[NodeState], slots: &mut [SlotState]) -> usize {
    for round in 0..10 {
        let mut moves = 0;
        for node in nodes.iter().filter(|node| node.is_live) {
            let plan = plan(node.number, nodes, slots, TakeOver::Yes);
            moves += plan.take.len() + plan.let_go.len();
            carry_out(node.number, &plan, slots);
        }
        if moves == 0 {
            return round;
        }
    }
    panic!("the slots go round and round");
}

fn count(slots: &[SlotState], number: u32) -> usize {
    slots.iter().filter(|slot| slot.owner == Some(NodeNumber(number))).count()
}

#[test]
fn the_first_node_takes_everything_and_shares_it_with_the_next() {
    let mut slots = rows();
    settle(&[node(1)], &mut slots);
    assert_eq!(count(&slots, 1), 256);
    settle(&[node(1), node(2), node(3)], &mut slots);
    assert_eq!([1, 2, 3].map(|number| count(&slots, number)), [86, 85, 85]);
    let moved = slots.iter().filter(|slot| slot.epoch > Epoch(1)).count();
    assert_eq!(moved, 170, "only what was too much moved");
}

#[test]
fn a_dead_nodes_slots_are_taken_once_that_may_be_said() {
    let mut slots = rows();
    let mut nodes = [node(1), node(2)];
    settle(&nodes, &mut slots);
    nodes[1].is_live = false;
    assert_eq!(plan(NodeNumber(1), &nodes, &slots, TakeOver::NotYet), Plan::default());
    settle(&nodes, &mut slots);
    assert_eq!(count(&slots, 1), 256);
}

#[test]
fn a_node_that_leaves_lets_go_of_everything_even_when_it_is_the_last() {
    let mut slots = rows();
    let mut nodes = [node(1)];
    settle(&nodes, &mut slots);
    nodes[0].is_leaving = true;
    settle(&nodes, &mut slots);
    assert_eq!(count(&slots, 1), 0);
}

#[test]
fn a_node_off_the_bus_serves_only_while_nobody_is_on_it() {
    let mut slots = rows();
    let mut nodes = [node(1), node(2)];
    nodes[0].is_on_bus = false;
    settle(&nodes, &mut slots);
    assert_eq!(count(&slots, 2), 256, "only the second can be reached");
    nodes[1].is_on_bus = false;
    settle(&nodes, &mut slots);
    assert_eq!(count(&slots, 1), 128);
}

proptest! {
    #[test]
    fn nodes_that_come_and_go_end_with_equal_shares(
        lives in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..9),
        others in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..9),
    ) {
        let mut slots = rows();
        for lives in [lives, others] {
            let nodes: Vec<_> = lives
                .into_iter()
                .enumerate()
                .map(|(place, (is_live, is_leaving, is_on_bus))| NodeState {
                    number: NodeNumber(place as u32 + 1), is_live, is_leaving, is_on_bus,
                })
                .collect();
            settle(&nodes, &mut slots);
            let serving = serving(&nodes);
            let counts: Vec<_> = serving.iter().map(|node| count(&slots, node.0)).collect();
            if let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) {
                prop_assert!(most - least <= 1, "{counts:?}");
                prop_assert_eq!(counts.iter().sum::<usize>(), 256);
            }
        }
    }
}
