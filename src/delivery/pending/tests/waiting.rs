//! Publishers that wait until every live session acked, and requests that wait for their user.

use std::time::Duration;

use super::world::{First, Mode, REDELIVERIES_MAX, WAIT_MS, Wish, World, session};
use crate::delivery::messages::{Attached, PublishError, Revoked, WaitOutcome};
use crate::persistence::messages::Ticket;
use crate::protocol::NewEvent;
use crate::protocol::OfflinePolicy::{FullSync, Replay};

const PATIENCE: Duration = Duration::from_secs(60);

fn wait_acked(world: &mut World, patience: Duration) -> Ticket {
    world.submit("alice", NewEvent::new("added"), |asked| asked.wait_acked = Some(patience))
}

fn outcome(world: &mut World, ticket: Ticket) -> WaitOutcome {
    world.published(ticket).unwrap().acked.unwrap()
}

fn told(acked: &[&str], unacked: &[&str]) -> WaitOutcome {
    let named = |names: &[&str]| names.iter().map(|name| session(name)).collect();
    WaitOutcome { acked: named(acked), unacked: named(unacked) }
}

#[test]
fn the_answer_waits_until_every_live_session_acked() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    let phone = world.tab("alice", "phone", Replay);
    let away = world.tab("alice", "away", Replay);
    world.cut(away);
    world.plain("alice");
    let ticket = wait_acked(&mut world, PATIENCE);
    world.ack(phone, &[1]);
    assert!(world.is_open(ticket));
    world.ack(tab, &[1]);
    assert_eq!(outcome(&mut world, ticket), told(&["phone", "tab"], &[]));
}

#[test]
fn patience_ends_with_the_names_of_those_who_did_not_ack() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.tab("alice", "phone", FullSync);
    let ticket = wait_acked(&mut world, Duration::from_millis(500));
    world.ack(tab, &[1]);
    world.pass(499);
    assert!(world.is_open(ticket));
    world.pass(1);
    assert_eq!(outcome(&mut world, ticket), told(&["tab"], &["phone"]));
    world.pass(10 * WAIT_MS);
}

#[test]
fn nobody_waits_for_who_is_not_here_or_must_not_get_it() {
    let mut world = World::new();
    let ticket = wait_acked(&mut world, PATIENCE);
    assert_eq!(outcome(&mut world, ticket), told(&[], &[]));
    world.tab("alice", "cause", Replay);
    let event = NewEvent::new("added").exclude_session(session("cause"));
    let ticket = world.submit("alice", event, |asked| asked.wait_acked = Some(PATIENCE));
    assert_eq!(outcome(&mut world, ticket), told(&[], &[]));
}

#[test]
fn nobody_waits_for_a_session_that_left_was_revoked_or_was_given_up() {
    for end in ["left", "revoked", "given up"] {
        let mut world = World::new();
        let tab = world.tab("alice", "tab", FullSync);
        let ticket = wait_acked(&mut world, PATIENCE);
        match end {
            "left" => world.cut(tab),
            "revoked" => assert_eq!(world.revoke("alice", "tab"), Revoked::Forgotten),
            _ => (0..=REDELIVERIES_MAX).for_each(|_| world.pass(WAIT_MS)),
        }
        assert_eq!(outcome(&mut world, ticket), told(&[], &["tab"]), "{end}");
    }
}

#[test]
fn a_connection_that_takes_over_is_waited_for_in_place_of_the_first() {
    let mut world = World::new();
    world.tab("alice", "tab", FullSync);
    let ticket = wait_acked(&mut world, PATIENCE);
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.sent(tab), [(1, First)]);
    assert!(world.is_open(ticket));
    world.ack(tab, &[1]);
    assert_eq!(outcome(&mut world, ticket), told(&["tab"], &[]));
}

#[test]
fn what_comes_before_its_user_is_read_waits_and_is_done_in_order() {
    let mut world = World::new();
    world.mode = Mode::Held;
    let first = world.submit("alice", NewEvent::new("added"), |_| {});
    let (tab, attach) = world.ask("alice", Wish { session: Some("tab"), ..Wish::default() });
    let second = world.submit("alice", NewEvent::new("added"), |_| {});
    world.release(Mode::AtOnce);
    assert_eq!(world.published(first).unwrap().seq.unwrap().0, 1);
    assert_eq!(world.attached(attach), Attached::Attached { session: Some(session("tab")) });
    assert_eq!(world.published(second).unwrap().seq.unwrap().0, 2);
    let (_, need_full_sync, cursor) = world.told(tab);
    let got: Vec<_> = world.sent(tab).into_iter().map(|(seq, _)| seq).collect();
    assert!(need_full_sync);
    assert_eq!(got, (cursor + 1..=2).collect::<Vec<_>>(), "after {cursor}");
}

#[test]
fn while_the_store_is_away_everything_is_refused_and_tried_again_when_asked_again() {
    let mut world = World::new();
    world.mode = Mode::Away;
    let publish = world.submit("alice", NewEvent::new("added"), |_| {});
    assert_eq!(world.published(publish), Err(PublishError::Unavailable));
    let (_, attach) = world.ask("alice", Wish::default());
    assert_eq!(world.attached(attach), Attached::Unavailable);
    assert_eq!(world.list("alice"), None);
    assert_eq!(world.revoke("alice", "tab"), Revoked::Unavailable);
    assert_eq!(world.table.users(), 0, "nothing is remembered of it");
    world.mode = Mode::AtOnce;
    world.tab("alice", "tab", FullSync);
}

#[test]
fn a_name_that_cannot_be_taken_now_can_be_taken_later() {
    let mut world = World::new();
    world.list("alice");
    world.mode = Mode::Away;
    let (_, attach) = world.ask("alice", Wish { session: Some("tab"), ..Wish::default() });
    assert_eq!(world.attached(attach), Attached::Unavailable);
    assert_eq!(world.list("alice").unwrap(), []);
    world.mode = Mode::AtOnce;
    world.tab("alice", "tab", FullSync);
}

#[test]
fn too_many_requests_that_wait_for_their_user_are_refused() {
    let mut world = World::with(|limits| limits.waiting_max = 2);
    world.mode = Mode::Held;
    let (_, alice) = world.ask("alice", Wish::default());
    let (_, bob) = world.ask("bob", Wish::default());
    let refused = world.submit("carol", NewEvent::new("added"), |_| {});
    assert_eq!(world.published(refused), Err(PublishError::Unavailable));
    world.release(Mode::AtOnce);
    for ticket in [alice, bob] {
        assert!(matches!(world.attached(ticket), Attached::Attached { .. }));
    }
    assert_eq!(world.publish("carol"), 1, "who was read makes room");
}
