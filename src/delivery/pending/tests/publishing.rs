//! What a publisher is told and when, and who gets an event at once.

use super::world::{First, Mode, WAIT_MS, World, session};
use crate::delivery::messages::{PublishError, Receipt};
use crate::persistence::messages::{AppendOutcome, DuplicateKey, StoreError};
use crate::protocol::OfflinePolicy::{FullSync, Replay};
use crate::protocol::{EventId, NewEvent, Seq};
use uuid::Uuid;

fn added() -> NewEvent {
    NewEvent::new("added")
}

#[test]
fn nobody_hears_of_an_event_before_it_is_durable() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let plain = world.plain("alice");
    world.mode = Mode::Held;
    let ticket = world.submit("alice", added(), |_| {});
    assert!(world.is_open(ticket));
    assert_eq!((world.sent(tab), world.sent(plain)), (vec![], vec![]));
    world.release(Mode::AtOnce);
    let receipt = world.published(ticket).unwrap();
    assert_eq!((receipt.seq, receipt.live, receipt.offline), (Some(Seq(1)), 2, 0));
    assert_eq!((world.sent(tab), world.sent(plain)), (vec![(1, First)], vec![(1, First)]));
}

#[test]
fn an_event_that_was_not_stored_is_refused_and_sent_to_nobody() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.mode = Mode::Away;
    let ticket = world.submit("alice", added(), |_| {});
    assert_eq!(world.published(ticket), Err(PublishError::Unavailable));
    world.mode = Mode::Held;
    let ticket = world.submit("alice", added(), |_| {});
    world.table.appended(ticket, Err(StoreError::Overloaded), world.moment());
    world.settle();
    assert_eq!(world.published(ticket), Err(PublishError::Overloaded));
    let late = Ok(AppendOutcome::Stored(Seq(1)));
    world.table.appended(ticket, late, world.moment());
    world.settle();
    assert_eq!(world.sent(tab), [], "a second answer to one append counts for nothing");
    world.pass(10 * WAIT_MS);
    assert_eq!((world.sent(tab), world.closed(tab)), (vec![], None));
}

#[test]
fn the_same_event_again_gets_the_first_answer_and_is_sent_to_nobody() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let id = EventId(Uuid::from_u128(7 << 64));
    let publish = |world: &mut World, body: &str| {
        let duplicate = DuplicateKey::EventId { fingerprint: body.to_owned() };
        let ticket = world.submit("alice", added().id(id), |asked| asked.duplicate = duplicate);
        world.published(ticket)
    };
    let first = publish(&mut world, "body").unwrap();
    assert!(!first.duplicate);
    world.plain("alice");
    let again = publish(&mut world, "body").unwrap();
    assert!(again.duplicate);
    assert_eq!((again.event_id, again.seq, again.live), (first.event_id, first.seq, first.live));
    assert_eq!(publish(&mut world, "another body"), Err(PublishError::Conflict));
    assert_eq!(world.sent(tab), [(1, First)]);
    assert_eq!(world.table.take_counts().published, 1);
}

#[test]
fn an_ephemeral_event_is_for_who_is_here_now_and_never_owed() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    let cause = world.tab("alice", "cause", Replay);
    let plain = world.plain("alice");
    let away = world.tab("bob", "away", FullSync);
    world.cut(away);
    let event = NewEvent::new("typing").ephemeral().exclude_session(session("cause"));
    let receipt = world.publish_event("alice", event);
    assert_eq!((receipt.seq, receipt.live, receipt.offline), (None, 2, 0));
    assert_eq!((world.sent(tab), world.sent(plain)), (vec![(0, First)], vec![(0, First)]));
    assert_eq!(world.sent(cause), []);
    assert_eq!(world.status("alice", "tab").pending, 0);
    let receipt = world.publish_event("bob", NewEvent::new("typing").ephemeral());
    assert_eq!((receipt.live, receipt.offline), (0, 1));
    assert!(!world.record("away").unwrap().need_full_sync);
    world.pass(10 * WAIT_MS);
    assert_eq!((world.sent(tab), world.sent(plain)), (vec![], vec![]));
}

#[test]
fn an_ephemeral_event_needs_no_store_once_its_user_is_in_memory() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.mode = Mode::Away;
    world.publish_event("alice", NewEvent::new("typing").ephemeral());
    assert_eq!(world.sent(tab), [(0, First)]);
}

#[test]
fn events_of_one_user_reach_nobody_else() {
    let mut world = World::new();
    let alice = world.tab("alice", "alices", FullSync);
    let bob = world.tab("bob", "bobs", FullSync);
    let plain = world.plain("bob");
    world.publish("alice");
    assert_eq!(world.publish("bob"), 1, "each user's log begins at 1");
    assert_eq!(world.sent(alice), [(1, First)]);
    assert_eq!((world.sent(bob), world.sent(plain)), (vec![(1, First)], vec![(1, First)]));
}

/// Stores an event without the table knowing; says how to publish it again.
fn stored_in_silence(world: &mut World) -> impl Fn(&mut World) -> Receipt + use<> {
    let publish = |world: &mut World| {
        let duplicate = DuplicateKey::EventId { fingerprint: "body".to_owned() };
        let id = EventId(Uuid::from_u128(7 << 64));
        let ticket = world.submit("alice", added().id(id), |asked| asked.duplicate = duplicate);
        world.published(ticket)
    };
    world.mode = Mode::Silent;
    assert_eq!(publish(world), Err(PublishError::Unavailable));
    world.mode = Mode::AtOnce;
    move |world| publish(world).unwrap()
}

#[test]
fn an_event_whose_commit_went_unheard_is_sent_when_it_is_published_again() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let again = stored_in_silence(&mut world);
    let receipt = again(&mut world);
    assert!(receipt.duplicate);
    assert_eq!(world.sent(tab), [(1, First)]);
    world.ack(tab, &[1]);
    assert_eq!(world.status("alice", "tab").pending, 0);
}

#[test]
fn an_event_whose_commit_went_unheard_holds_up_nobody() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let plain = world.plain("alice");
    let _ = stored_in_silence(&mut world);
    assert_eq!(world.publish("alice"), 2);
    assert_eq!(world.sent(tab), [(1, First), (2, First)]);
    assert_eq!(world.sent(plain), [(2, First)]);
    world.ack(tab, &[1, 2]);
    assert_eq!(world.status("alice", "tab").pending, 0);
}

#[test]
fn a_session_away_is_marked_for_an_event_whose_commit_went_unheard() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let again = stored_in_silence(&mut world);
    world.cut(tab);
    again(&mut world);
    world.pass(2 * WAIT_MS);
    let back = world.tab("alice", "tab", FullSync);
    assert!(world.told(back).1, "it was away when the event was accepted");
}
