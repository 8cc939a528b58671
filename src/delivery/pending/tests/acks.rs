//! What an ack settles, and what it does not.

use uuid::Uuid;

use super::world::{First, World};
use crate::protocol::OfflinePolicy::{FullSync, Replay};
use crate::protocol::{Ack, ConnectionId, EventId, Seq};

/// A session with three events in flight.
fn three() -> (World, ConnectionId) {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    for seq in 1..=3 {
        assert_eq!(world.publish("alice"), seq);
    }
    assert_eq!(world.sent(tab), [(1, First), (2, First), (3, First)]);
    (world, tab)
}

#[test]
fn the_floor_follows_the_oldest_unacked_event() {
    let (mut world, tab) = three();
    for (acked, floor) in [(2, 0), (1, 2), (3, 3)] {
        world.ack(tab, &[acked]);
        assert_eq!(world.status("alice", "tab").floor, Seq(floor), "after {acked}");
        assert_eq!(world.record("tab").unwrap().floor, Seq(floor), "as written after {acked}");
    }
}

#[test]
fn several_events_are_acked_at_once_by_their_names() {
    let (mut world, tab) = three();
    world.ack(tab, &[1, 3]);
    let status = world.status("alice", "tab");
    assert_eq!((status.floor, status.in_flight), (Seq(1), 1));
    assert_eq!(world.table.take_counts().acked, 2);
}

#[test]
fn everything_up_to_a_place_is_acked_and_nothing_beyond_the_end_of_the_log() {
    let (mut world, tab) = three();
    world.ack_as(tab, Ack::UpTo(Seq(2)));
    assert_eq!(world.status("alice", "tab").floor, Seq(2));
    world.ack_as(tab, Ack::UpTo(Seq(1_000_000)));
    assert_eq!(world.status("alice", "tab").floor, Seq(3));
    assert_eq!(world.publish("alice"), 4);
    assert_eq!(world.sent(tab), [(4, First)], "what comes later is owed all the same");
}

#[test]
fn late_repeated_and_unknown_acks_change_nothing() {
    let (mut world, tab) = three();
    world.ack(tab, &[1]);
    let written = world.store.floors.len();
    world.table.take_counts();
    let unknown = EventId(Uuid::from_u128(u128::MAX));
    world.ack(tab, &[1]);
    world.ack_as(tab, Ack::Events(vec![unknown]));
    world.ack_as(tab, Ack::Events(Vec::new()));
    world.ack_as(tab, Ack::UpTo(Seq(1)));
    world.ack_as(tab, Ack::UpTo(Seq(-5)));
    assert_eq!(world.store.floors.len(), written, "no floor is written");
    assert_eq!(world.table.take_counts().acked, 0);
    assert_eq!(world.status("alice", "tab").in_flight, 2);
}

#[test]
fn an_ack_settles_only_its_own_session() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let phone = world.tab("alice", "phone", FullSync);
    let plain = world.plain("alice");
    let bob = world.tab("bob", "bobs", FullSync);
    world.publish("alice");
    world.publish("bob");
    world.ack(tab, &[1]);
    world.ack(plain, &[1]);
    world.ack(bob, &[1]);
    let in_flight = |world: &mut World, name| world.status("alice", name).in_flight;
    assert_eq!((in_flight(&mut world, "tab"), in_flight(&mut world, "phone")), (0, 1));
    world.ack(phone, &[1]);
    assert_eq!(in_flight(&mut world, "phone"), 0);
}

#[test]
fn a_floor_is_written_once_for_many_acks() {
    let (mut world, tab) = three();
    world.takes_floors = false;
    for seq in 1..=3 {
        world.ack(tab, &[seq]);
    }
    let floors = world.table.take_floors(usize::MAX);
    assert_eq!(floors.len(), 1);
    assert_eq!((floors[0].floor, floors[0].acked_at), (Seq(3), world.moment().wall));
    assert_eq!(world.table.take_floors(usize::MAX), []);
}

#[test]
fn floors_are_taken_a_few_at_a_time_and_in_the_order_they_changed() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let phone = world.tab("alice", "phone", FullSync);
    for seq in 1..=3 {
        assert_eq!(world.publish("alice"), seq);
    }
    world.takes_floors = false;
    world.ack(tab, &[1]);
    world.ack(phone, &[1]);
    world.ack(tab, &[2]);
    assert_eq!(world.table.changed_floors(), 2);
    let first = world.table.take_floors(1);
    let next = world.table.take_floors(5);
    assert_eq!((first.len(), first[0].floor), (1, Seq(2)));
    assert_eq!((next.len(), next[0].floor), (1, Seq(1)));
    // One that was taken and changes again waits again.
    world.ack(tab, &[3]);
    assert_eq!(world.table.take_floors(5)[0].floor, Seq(3));
}

#[test]
fn acking_up_to_the_end_settles_also_what_still_waits_in_the_log() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    for _ in 0..10 {
        world.publish("alice");
    }
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.sent(tab).len(), 4);
    world.ack_as(tab, Ack::UpTo(Seq(9)));
    assert_eq!(world.sent(tab), [(10, First)]);
    assert_eq!(world.status("alice", "tab").pending, 1);
}
