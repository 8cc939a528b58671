//! How much is in flight at once, and how the rest comes out of the log.

use serde_json::json;

use super::world::{First, Mode, WAIT_MS, WINDOW, World};
use crate::protocol::OfflinePolicy::Replay;
use crate::protocol::{NewEvent, Seq};

#[test]
fn a_full_window_lets_the_rest_wait_and_opens_again_when_half_is_acked() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    for _ in 0..9 {
        world.publish("alice");
    }
    assert_eq!(world.sent(tab), [(1, First), (2, First), (3, First), (4, First)]);
    world.ack(tab, &[1]);
    assert_eq!(world.sent(tab), [], "one place is not worth reading the log for");
    world.ack(tab, &[2]);
    assert_eq!(world.sent(tab), [(5, First), (6, First)]);
    world.ack(tab, &[3, 4, 5, 6]);
    assert_eq!(world.sent(tab), [(7, First), (8, First), (9, First)]);
    assert_eq!(world.status("alice", "tab").pending, 3);
}

#[test]
fn no_more_than_the_window_is_ever_in_flight_and_everything_comes_in_order() {
    let mut world = World::with(|limits| limits.owed_max = 1_000);
    let tab = world.tab("alice", "tab", Replay);
    let (mut got, mut unacked) = (Vec::new(), Vec::new());
    for round in 0..60 {
        if round < 40 {
            world.publish("alice");
            world.publish("alice");
        }
        for (seq, kind) in world.sent(tab) {
            assert_eq!(kind, First);
            got.push(seq);
            unacked.push(seq);
        }
        let status = world.status("alice", "tab");
        assert!(status.in_flight <= WINDOW, "{status:?}");
        assert_eq!(status.in_flight, unacked.len());
        // The newest first: the worst order for a floor.
        let acked = unacked.split_off(unacked.len() - unacked.len().min(round % 3 + 1));
        world.ack(tab, &acked);
    }
    assert_eq!(got, (1..=80).collect::<Vec<_>>());
    assert_eq!(world.status("alice", "tab").floor, Seq(80));
}

#[test]
fn bytes_close_the_window_too_but_one_event_always_may() {
    let mut world = World::with(|limits| limits.window.bytes_max = 1_000);
    let tab = world.tab("alice", "tab", Replay);
    let large = || NewEvent::new("large").data(&json!("x".repeat(5_000))).unwrap();
    world.publish_event("alice", large());
    world.publish_event("alice", large());
    world.publish("alice");
    assert_eq!(world.sent(tab), [(1, First)]);
    world.ack(tab, &[1]);
    assert_eq!(world.sent(tab), [(2, First)]);
    world.ack(tab, &[2]);
    assert_eq!(world.sent(tab), [(3, First)]);
}

#[test]
fn a_log_that_cannot_be_read_is_read_again_after_an_ack_wait() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    world.publish("alice");
    world.mode = Mode::Away;
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.sent(tab), []);
    world.pass(WAIT_MS);
    assert_eq!((world.sent(tab), world.closed(tab)), (vec![], None));
    world.mode = Mode::AtOnce;
    world.pass(WAIT_MS - 1);
    assert_eq!(world.sent(tab), []);
    world.pass(1);
    assert_eq!(world.sent(tab), [(1, First)]);
}

#[test]
fn what_was_read_for_a_connection_that_is_gone_is_not_sent_to_the_next() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    world.publish("alice");
    world.mode = Mode::Held;
    let first = world.tab("alice", "tab", Replay);
    let second = world.tab("alice", "tab", Replay);
    world.release(Mode::AtOnce);
    assert_eq!((world.sent(first), world.sent(second)), (vec![], vec![(1, First)]));
}

#[test]
fn an_event_published_during_a_read_is_sent_once_and_in_its_place() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    world.publish("alice");
    world.mode = Mode::Held;
    let tab = world.tab("alice", "tab", Replay);
    let ticket = world.submit("alice", NewEvent::new("added"), |_| {});
    assert!(world.is_open(ticket));
    // The read was asked for first, and does not see the event.
    world.release(Mode::AtOnce);
    assert!(world.published(ticket).is_ok());
    assert_eq!(world.sent(tab), [(1, First), (2, First)]);
}
