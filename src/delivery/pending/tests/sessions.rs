//! Connections come, take one another's place, and go; sessions are named, listed and revoked.

use super::world::{First, Mode, Wish, World, session, user};
use crate::delivery::messages::{Attached, Revoked};
use crate::protocol::CloseCode;
use crate::protocol::OfflinePolicy::{FullSync, Replay};

fn named(name: &'static str) -> Wish {
    Wish { session: Some(name), ..Wish::default() }
}

#[test]
fn a_session_made_by_the_hub_has_nothing_yet_and_starts_at_the_end_of_the_log() {
    let mut world = World::new();
    world.publish("alice");
    let (connection, ticket) = world.ask("alice", Wish::default());
    assert!(matches!(world.attached(ticket), Attached::Attached { session: Some(_) }));
    let (name, need_full_sync, cursor) = world.told(connection);
    assert!(name.starts_with("fresh-"), "{name}");
    assert_eq!((need_full_sync, cursor), (true, 1));
    assert_eq!(world.sent(connection), [], "the full sync covers what came before");
    assert_eq!(world.publish("alice"), 2);
    assert_eq!(world.sent(connection), [(2, First)]);
}

#[test]
fn an_unknown_name_is_taken_and_known_the_next_time() {
    let mut world = World::new();
    let first = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(first), ("tab", true, 0));
    world.cut(first);
    let again = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(again), ("tab", false, 0));
}

#[test]
fn another_users_name_is_not_revealed_and_not_touched() {
    let mut world = World::new();
    let alice = world.tab("alice", "tab", FullSync);
    let (mallory, ticket) = world.ask("mallory", named("tab"));
    assert!(matches!(world.attached(ticket), Attached::Attached { session: Some(_) }));
    let (name, need_full_sync, _) = world.told(mallory);
    assert!(name.starts_with("fresh-") && need_full_sync, "{name}");
    assert_eq!(world.closed(alice), None);
    assert_eq!(world.revoke("mallory", "tab"), Revoked::Unknown);
    world.publish("alice");
    assert_eq!(world.sent(alice), [(1, First)]);
    assert_eq!(world.sent(mallory), []);
}

#[test]
fn two_connections_that_take_one_unknown_name_at_once_are_one_session() {
    let mut world = World::new();
    world.list("alice");
    world.mode = Mode::Held;
    let (first, first_ticket) = world.ask("alice", named("tab"));
    let (second, second_ticket) = world.ask("alice", named("tab"));
    assert!(world.is_open(first_ticket) && world.is_open(second_ticket));
    world.release(Mode::AtOnce);
    let expected = Attached::Attached { session: Some(session("tab")) };
    assert_eq!(world.attached(first_ticket), expected);
    assert_eq!(world.attached(second_ticket), expected);
    assert_eq!(world.closed(first), Some(CloseCode::Replaced));
    assert_eq!(world.told(second), ("tab", false, 0));
    assert_eq!(world.list("alice").unwrap().len(), 1);
}

#[test]
fn a_newer_connection_takes_over_and_the_older_ones_words_count_no_more() {
    let mut world = World::new();
    let old = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    assert_eq!(world.sent(old), [(1, First)]);
    let new = world.tab("alice", "tab", FullSync);
    assert_eq!(world.closed(old), Some(CloseCode::Replaced));
    assert_eq!(world.sent(new), [(1, First)], "what is unacked goes to the new connection");
    world.ack(old, &[1]);
    assert_eq!(world.status("alice", "tab").in_flight, 1);
    world.cut(old);
    world.publish("alice");
    assert_eq!((world.sent(old), world.sent(new)), (vec![], vec![(2, First)]));
    world.ack(new, &[1, 2]);
    assert_eq!(world.status("alice", "tab").pending, 0);
}

#[test]
fn a_repeated_auth_is_answered_and_sends_nothing_again() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    world.sent(tab);
    let ticket = world.ask_again(tab, "alice", named("tab"));
    assert_eq!(world.attached(ticket), Attached::Attached { session: Some(session("tab")) });
    assert_eq!(world.told(tab), ("tab", false, 0));
    assert_eq!((world.sent(tab), world.closed(tab)), (vec![], None));
    let ticket = world.ask_again(tab, "alice", Wish::default());
    let same = Attached::Attached { session: Some(session("tab")) };
    assert_eq!(world.attached(ticket), same, "who names none keeps the one it has");
}

#[test]
fn a_connection_that_turns_to_another_session_leaves_the_first_behind() {
    let mut world = World::new();
    let connection = world.tab("alice", "first", Replay);
    let ticket = world.ask_again(connection, "alice", named("second"));
    assert_eq!(world.attached(ticket), Attached::Attached { session: Some(session("second")) });
    assert_eq!(world.status("alice", "first").connection, None);
    world.publish("alice");
    assert_eq!(world.sent(connection), [(1, First)], "once, for the second session");
    world.ack(connection, &[1]);
    assert_eq!(world.status("alice", "first").pending, 1);
    assert_eq!(world.status("alice", "second").pending, 0);
}

#[test]
fn one_connection_too_many_is_refused_but_taking_over_is_not_one_more() {
    let mut world = World::with(|limits| limits.connections_max = 2);
    let tab = world.tab("alice", "tab", FullSync);
    let plain = world.plain("alice");
    let (_, ticket) = world.ask("alice", named("third"));
    assert_eq!(world.attached(ticket), Attached::TooManyConnections);
    world.plain("bob");
    world.tab("alice", "tab", FullSync);
    assert_eq!(world.closed(tab), Some(CloseCode::Replaced));
    world.cut(plain);
    world.tab("alice", "third", FullSync);
}

#[test]
fn one_session_too_many_takes_the_place_of_the_one_longest_away() {
    let mut world = World::with(|limits| limits.sessions_max = 2);
    for name in ["first", "second"] {
        let connection = world.tab("alice", name, FullSync);
        world.cut(connection);
        world.pass(1_000);
    }
    let third = world.tab("alice", "third", FullSync);
    assert!(world.record("first").is_none() && world.record("second").is_some());
    world.cut(third);
    let back = world.tab("alice", "first", FullSync);
    assert!(world.told(back).1, "who was forgotten has nothing");
    assert_eq!(world.record("second"), None);
    assert_eq!(world.list("alice").unwrap().len(), 2);
}

#[test]
fn a_revoked_session_is_closed_and_forgotten_and_others_are_not() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    let phone = world.tab("alice", "phone", Replay);
    world.publish("alice");
    assert_eq!(world.revoke("alice", "tab"), Revoked::Forgotten);
    assert_eq!((world.closed(tab), world.closed(phone)), (Some(CloseCode::Revoked), None));
    assert_eq!(world.record("tab"), None);
    assert_eq!(world.revoke("alice", "tab"), Revoked::Unknown);
    world.ack(tab, &[1]);
    world.cut(tab);
    world.publish("alice");
    assert_eq!(world.sent(tab), [(1, First)]);
    assert_eq!(world.sent(phone), [(1, First), (2, First)]);
    let back = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(back), ("tab", true, 2));
}

#[test]
fn a_session_is_revoked_also_when_its_user_is_not_in_memory() {
    let mut world = World::new();
    world.tab("alice", "tab", Replay);
    world.crash();
    assert_eq!(world.revoke("alice", "tab"), Revoked::Forgotten);
    assert_eq!(world.record("tab"), None);
}

#[test]
fn an_administrator_sees_what_each_session_is_owed_and_plain_connections_last() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    let away = world.tab("alice", "away", Replay);
    world.plain("alice");
    world.cut(away);
    for _ in 0..3 {
        world.publish("alice");
    }
    world.ack(tab, &[1]);
    let seen: Vec<_> = world
        .list("alice")
        .unwrap()
        .into_iter()
        .map(|s| (s.session, s.connection.is_some(), s.floor.0, s.pending, s.in_flight))
        .collect();
    let (tab, away) = (Some(session("tab")), Some(session("away")));
    assert_eq!(seen[2], (None, true, 0, 0, 0));
    assert!(seen[..2].contains(&(tab, true, 1, 2, 2)), "{seen:?}");
    assert!(seen[..2].contains(&(away, false, 0, 3, 0)), "{seen:?}");
}

#[test]
fn acks_and_detaches_of_a_connection_nobody_knows_change_nothing() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    world.table.detach(&user("bob"), tab, world.moment());
    world.table.detach(&user("nobody"), tab, world.moment());
    world.settle();
    assert!(world.status("alice", "tab").connection.is_some());
    let gone = world.tab("alice", "gone", FullSync);
    world.cut(gone);
    world.cut(gone);
    world.sync_complete(gone);
    assert_eq!(world.status("alice", "gone").connection, None);
}

#[test]
fn a_repeated_auth_may_ask_for_another_policy() {
    let mut world = World::new();
    let (connection, ticket) = world.ask("alice", named("tab"));
    world.attached(ticket);
    let wish = Wish { policy: Some(Replay), ..named("tab") };
    let ticket = world.ask_again(connection, "alice", wish);
    assert_eq!(world.attached(ticket), Attached::Attached { session: Some(session("tab")) });
    assert_eq!(world.record("tab").unwrap().policy, Replay, "a crash does not forget it");
    world.cut(connection);
    world.publish("alice");
    let back = world.ask("alice", named("tab")).0;
    assert_eq!(world.told(back), ("tab", false, 0));
    assert_eq!(world.sent(back), [(1, First)]);
}

#[test]
fn connections_that_ask_for_new_names_at_once_are_not_more_than_may_be() {
    let mut world = World::new();
    world.publish("alice");
    world.mode = Mode::Held;
    let asked = ["a", "b", "c", "d"].map(|name| (name, world.ask("alice", named(name))));
    world.release(Mode::AtOnce);
    let refused: Vec<_> = asked
        .into_iter()
        .filter(|(_, (_, ticket))| world.attached(*ticket) == Attached::TooManyConnections)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(refused, ["d"], "three are allowed");
    assert_eq!(world.list("alice").unwrap().len(), 3);
    assert!(world.record("d").is_none(), "nothing is left of it");
}
