//! What the table remembers, and what it forgets until it is needed again.

use std::time::Duration;

use super::world::{First, Mode, WAIT_MS, World, user};
use crate::delivery::messages::DropReason;
use crate::protocol::OfflinePolicy::{FullSync, Replay};
use crate::protocol::{EventId, NewEvent, Seq};
use uuid::Uuid;

const IDLE: Duration = Duration::from_secs(30);

impl World {
    fn evict(&mut self) {
        let now = self.moment().now;
        self.table.evict(IDLE, now);
    }
}

#[test]
fn a_user_nobody_needs_is_forgotten_and_read_again_when_needed() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.publish("alice");
    world.ack(tab, &[1]);
    world.cut(tab);
    world.evict();
    assert_eq!(world.table.users(), 1, "it was needed a moment ago");
    world.pass(30_000);
    world.evict();
    assert_eq!(world.table.users(), 0);
    assert_eq!(world.publish("alice"), 2);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", false, 1));
    assert_eq!(world.sent(tab), [(2, First)]);
}

#[test]
fn a_user_with_a_connection_or_an_unanswered_append_is_not_forgotten() {
    let mut world = World::new();
    world.plain("alice");
    world.list("bob");
    world.pass(30_000);
    world.mode = Mode::Held;
    let ticket = world.submit("bob", NewEvent::new("added"), |_| {});
    world.pass(60_000);
    world.evict();
    assert_eq!(world.table.users(), 2);
    world.release(Mode::AtOnce);
    assert!(world.published(ticket).is_ok());
    world.evict();
    assert_eq!(world.table.users(), 1, "bob is answered and can go");
}

#[test]
fn a_user_whose_floor_is_not_written_yet_is_not_forgotten() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.publish("alice");
    world.takes_floors = false;
    world.ack(tab, &[1]);
    world.cut(tab);
    world.pass(60_000);
    world.evict();
    assert_eq!(world.table.users(), 1);
    assert_eq!(world.table.take_floors(usize::MAX).len(), 1);
    world.evict();
    assert_eq!(world.table.users(), 0);
}

#[test]
fn acks_above_the_floor_are_remembered_unless_memory_is_short() {
    for (users_cached_max, is_kept) in [(100, true), (0, false)] {
        let mut world = World::with(|limits| limits.users_cached_max = users_cached_max);
        let tab = world.tab("alice", "tab", Replay);
        world.publish("alice");
        world.publish("alice");
        world.ack(tab, &[2]);
        world.cut(tab);
        world.pass(WAIT_MS);
        world.pass(60_000);
        world.evict();
        assert_eq!(world.table.users(), usize::from(is_kept));
        let tab = world.tab("alice", "tab", Replay);
        let expected: &[_] = if is_kept { &[(1, First)] } else { &[(1, First), (2, First)] };
        assert_eq!(world.sent(tab), expected);
    }
}

#[test]
fn users_over_the_bound_are_forgotten_before_their_time() {
    let mut world = World::with(|limits| limits.users_cached_max = 3);
    for n in 0..10 {
        world.list(&format!("user-{n}"));
    }
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.table.users(), 11);
    world.evict();
    assert_eq!(world.table.users(), 3);
    world.publish("alice");
    assert_eq!(world.sent(tab), [(1, First)], "who is connected stays");
}

#[test]
fn users_with_plain_connections_only_are_listed_for_broadcasts() {
    let mut world = World::new();
    world.plain("alice");
    world.tab("bob", "bobs", FullSync);
    world.list("carol");
    assert_eq!(world.table.live_users(), [user("alice")]);
}

#[test]
fn a_trace_tells_what_became_of_each_delivery() {
    let mut world = World::new();
    let acking = world.tab("alice", "acking", FullSync);
    let leaving = world.tab("alice", "leaving", FullSync);
    let id = EventId(Uuid::from_u128(7 << 64));
    world.publish_event("alice", NewEvent::new("added").id(id));
    world.pass(WAIT_MS);
    world.ack(acking, &[1]);
    world.cut(leaving);
    world.pass(WAIT_MS);
    let of = |name: &str| {
        let mut traces = world.table.traces().of(id).into_iter();
        traces.find(|trace| trace.session.as_ref().is_some_and(|s| s.as_str() == name)).unwrap()
    };
    assert_eq!((of("acking").sent_at.len(), of("acking").seq), (2, Some(Seq(1))));
    assert!(of("acking").acked_at.is_some() && of("acking").dropped.is_none());
    assert_eq!(of("leaving").acked_at, None);
    let dropped = of("leaving").dropped;
    assert!(matches!(dropped, Some((_, DropReason::ConnectionLost))), "{dropped:?}");
}

#[test]
fn what_happened_is_counted_once() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.plain("alice");
    world.publish("alice");
    world.pass(WAIT_MS);
    world.ack(tab, &[1]);
    let counts = world.table.take_counts();
    let seen = (counts.published, counts.delivered, counts.redelivered, counts.acked);
    assert_eq!(seen, (1, 2, 1, 1));
    assert_eq!(world.table.take_counts(), Default::default());
}
