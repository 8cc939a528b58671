//! What is sent again, when, and when that ends.

use super::world::{First, REDELIVERIES_MAX, Redelivery, WAIT_MS, World, session};
use crate::delivery::messages::DropReason;
use crate::protocol::OfflinePolicy::{FullSync, Replay};
use crate::protocol::{CloseCode, EventId, NewEvent, Seq};
use uuid::Uuid;

#[test]
fn an_unacked_event_is_sent_again_once_per_ack_wait() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    assert_eq!(world.sent(tab), [(1, First)]);
    for _ in 0..REDELIVERIES_MAX {
        world.pass(WAIT_MS - 1);
        assert_eq!(world.sent(tab), []);
        world.pass(1);
        assert_eq!(world.sent(tab), [(1, Redelivery)]);
    }
}

#[test]
fn only_what_is_overdue_is_sent_again_in_order() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    world.publish("alice");
    world.pass(1_000);
    world.publish("alice");
    world.sent(tab);
    world.pass(WAIT_MS - 1_000);
    assert_eq!(world.sent(tab), [(1, Redelivery), (2, Redelivery)]);
    world.ack(tab, &[2]);
    world.pass(1_000);
    assert_eq!(world.sent(tab), [(3, Redelivery)]);
    world.pass(WAIT_MS - 1_000);
    assert_eq!(world.sent(tab), [(1, Redelivery)], "what was acked is not sent again");
}

#[test]
fn a_silent_session_does_not_disturb_the_others() {
    let mut world = World::new();
    let silent = world.tab("alice", "silent", FullSync);
    let lively = world.tab("alice", "lively", FullSync);
    let plain = world.plain("alice");
    world.publish("alice");
    world.ack(lively, &[1]);
    world.pass(WAIT_MS);
    assert_eq!(world.sent(silent), [(1, First), (1, Redelivery)]);
    assert_eq!(world.sent(lively), [(1, First)]);
    assert_eq!(world.sent(plain), [(1, First)], "a plain connection gets it at most once");
}

#[test]
fn a_session_that_never_acks_is_given_up_and_starts_anew_with_a_full_sync() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.publish("alice");
    for _ in 0..REDELIVERIES_MAX {
        world.pass(WAIT_MS);
    }
    assert_eq!(world.closed(tab), None);
    world.pass(WAIT_MS);
    assert_eq!(world.closed(tab), Some(CloseCode::GaveUp));
    assert_eq!(world.record("tab"), None);
    assert_eq!(world.table.take_counts().gave_up, 1);
    assert_eq!(world.list("alice").unwrap(), []);
    world.pass(10 * WAIT_MS);
    assert_eq!(world.sent(tab).len() as u32, 1 + REDELIVERIES_MAX);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", true, 1));
    assert_eq!(world.sent(tab), []);
}

#[test]
fn an_event_that_expired_is_not_sent_again_and_is_owed_no_more() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    let id = EventId(Uuid::from_u128(7 << 64));
    world.publish_event("alice", NewEvent::new("typing").id(id).ttl_ms(WAIT_MS));
    world.publish("alice");
    world.sent(tab);
    world.pass(WAIT_MS);
    assert_eq!(world.sent(tab), [(2, Redelivery)]);
    assert_eq!(world.status("alice", "tab").floor, Seq(1));
    assert_eq!(world.record("tab").unwrap().floor, Seq(1));
    let dropped = world.table.traces().of(id)[0].dropped;
    assert!(matches!(dropped, Some((_, DropReason::Expired))), "{dropped:?}");
}

#[test]
fn an_event_that_expired_while_its_session_was_away_is_passed_over() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    world.publish_event("alice", NewEvent::new("typing").ttl_ms(1_000));
    world.publish("alice");
    world.publish_event("alice", NewEvent::new("typing").ttl_ms(1_000));
    world.pass(1_000);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.sent(tab), [(2, First)]);
    world.ack(tab, &[2]);
    assert_eq!(world.status("alice", "tab").floor, Seq(3));
}

#[test]
fn the_session_that_caused_an_event_does_not_get_it_live_or_later() {
    let mut world = World::new();
    let cause = world.tab("alice", "cause", Replay);
    let other = world.tab("alice", "other", Replay);
    let excluding = || NewEvent::new("added").exclude_session(session("cause"));
    let receipt = world.publish_event("alice", excluding());
    assert_eq!((receipt.live, receipt.offline), (1, 0));
    assert_eq!((world.sent(cause), world.sent(other)), (vec![], vec![(1, First)]));
    assert_eq!(world.status("alice", "cause").floor, Seq(1));
    world.cut(cause);
    world.publish_event("alice", excluding());
    world.publish("alice");
    let cause = world.tab("alice", "cause", Replay);
    assert_eq!(world.sent(cause), [(3, First)]);
    world.pass(WAIT_MS);
    assert_eq!(world.sent(cause), [(3, Redelivery)]);
}

#[test]
fn an_excluded_session_that_is_away_needs_no_full_sync() {
    let mut world = World::new();
    let cause = world.tab("alice", "cause", FullSync);
    world.cut(cause);
    world.publish_event("alice", NewEvent::new("added").exclude_session(session("cause")));
    world.pass(10 * WAIT_MS);
    let cause = world.tab("alice", "cause", FullSync);
    assert_eq!(world.told(cause), ("cause", false, 1));
    assert_eq!(world.sent(cause), []);
}
