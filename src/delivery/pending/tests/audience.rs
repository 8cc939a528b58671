//! Events that are not for everyone: rooms, the connection that caused them, and accounts.

use super::world::{First, Redelivery, WAIT_MS, Wish, World};
use crate::delivery::messages::Attached;
use crate::protocol::OfflinePolicy::{FullSync, Replay};
use crate::protocol::{Audience, ConnectionId, NewEvent, NoteId, Seq};

fn of(account: &str) -> NewEvent {
    NewEvent { account: Some(account.to_owned()), ..NewEvent::new("added") }
}

/// A session whose token is for one account only.
fn limited(world: &mut World, account: &'static str) -> ConnectionId {
    let (session, policy) = (Some("tab"), Some(Replay));
    let wish = Wish { session, policy, account: Some(account), ..Wish::default() };
    let (connection, ticket) = world.ask("alice", wish);
    assert!(matches!(world.attached(ticket), Attached::Attached { .. }));
    connection
}

#[test]
fn a_room_concerns_plain_connections_and_sessions_are_owed_it_all_the_same() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let plain = world.plain("alice");
    let cause = world.plain("alice");
    let room = NoteId::new("note").unwrap();
    let audience = Audience { except: Some(cause), room: Some(room.clone()) };
    let ticket = world.submit("alice", NewEvent::new("note_sync"), |s| s.audience = audience);
    assert!(world.published(ticket).is_ok());
    assert_eq!(world.sent(tab), [(1, First)]);
    assert_eq!((world.sent(plain), world.sent(cause)), (vec![], vec![]));
    assert_eq!(world.in_rooms, [(plain, 1, room)]);
}

#[test]
fn the_connection_that_caused_an_event_does_not_get_it() {
    let mut world = World::new();
    let (plain, cause) = (world.plain("alice"), world.plain("alice"));
    for event in [NewEvent::new("typing").ephemeral(), NewEvent::new("added")] {
        let audience = Audience { except: Some(cause), room: None };
        let ticket = world.submit("alice", event, |asked| asked.audience = audience);
        assert!(world.published(ticket).is_ok());
    }
    assert_eq!(world.sent(plain), [(0, First), (1, First)]);
    assert_eq!(world.sent(cause), []);
}

#[test]
fn a_token_for_one_account_gets_nothing_of_another() {
    let mut world = World::new();
    let tab = limited(&mut world, "personal");
    let plain = world.plain_for("alice", Some("personal"));
    let other = world.tab("alice", "other", Replay);
    let receipt = world.publish_event("alice", of("business"));
    assert_eq!((receipt.live, receipt.offline), (1, 0));
    world.publish_event("alice", of("personal"));
    world.publish("alice");
    world.publish_event("alice", NewEvent { ephemeral: true, ..of("business") });
    assert_eq!(world.sent(tab), [(2, First), (3, First)]);
    assert_eq!(world.sent(plain), [(2, First), (3, First)]);
    assert_eq!(world.sent(other), [(1, First), (2, First), (3, First), (0, First)]);
    world.ack(tab, &[2, 3]);
    assert_eq!(world.status("alice", "tab").floor, Seq(3), "what is not for it holds nothing up");
}

#[test]
fn what_was_missed_is_sent_by_the_accounts_of_the_token_that_comes_back() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    for account in ["business", "personal", "business"] {
        world.publish_event("alice", of(account));
    }
    let tab = limited(&mut world, "business");
    assert_eq!(world.sent(tab), [(1, First), (3, First)]);
    world.pass(WAIT_MS);
    assert_eq!(world.sent(tab), [(1, Redelivery), (3, Redelivery)]);
    world.ack(tab, &[1, 3]);
    assert_eq!(world.status("alice", "tab").floor, Seq(3));
}

#[test]
fn a_token_for_accounts_it_was_not_for_is_told_of_what_was_passed_over() {
    let mut world = World::new();
    let tab = limited(&mut world, "personal");
    let asks_to_sync = |world: &World, tab| world.told(tab).1;
    world.publish_event("alice", of("business"));
    world.cut(tab);
    let tab = limited(&mut world, "personal");
    assert!(!asks_to_sync(&world, tab), "it is for what it was for");
    world.crash();
    let tab = limited(&mut world, "business");
    assert!(asks_to_sync(&world, tab), "event 1 was passed over");
    let tab = world.tab("alice", "tab", Replay);
    assert!(asks_to_sync(&world, tab), "it is for every account now");
    let tab = limited(&mut world, "personal");
    assert!(!asks_to_sync(&world, tab), "one account is fewer than all");
    let renewed = Wish { session: Some("tab"), ..Wish::default() };
    world.ask_again(tab, "alice", renewed);
    assert!(asks_to_sync(&world, tab), "renewed on the live connection");
}

#[test]
fn a_token_renewed_for_another_account_ends_what_was_in_flight_for_the_first() {
    let mut world = World::new();
    let tab = limited(&mut world, "personal");
    world.publish_event("alice", of("personal"));
    assert_eq!(world.sent(tab), [(1, First)]);
    let wish = Wish { session: Some("tab"), account: Some("business"), ..Wish::default() };
    world.ask_again(tab, "alice", wish);
    world.pass(WAIT_MS);
    assert_eq!(world.sent(tab), []);
    assert_eq!(world.status("alice", "tab").pending, 0);

    world.publish_event("alice", of("business"));
    let tab = limited(&mut world, "personal");
    assert_eq!(world.sent(tab), [], "what was in flight is not resumed for the other account");
    assert_eq!(world.status("alice", "tab").floor, Seq(2));
    assert_eq!(world.record("tab").unwrap().floor, Seq(2), "its floor is written");
}
