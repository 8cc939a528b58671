//! What administrators ask of the table.

use super::world::{World, session, user};
use crate::delivery::messages::{DropReason, FullSyncOrder};
use crate::delivery::output::Answer;
use crate::protocol::CloseCode;
use crate::protocol::OfflinePolicy::{FullSync, Replay};

#[test]
fn an_ordered_full_sync_drops_what_is_owed_and_is_told_at_the_next_connection() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.sync_complete(tab);
    let id = world.publish_event("alice", crate::protocol::NewEvent::new("added")).event_id;
    assert_eq!(world.order_full_sync("alice", "tab"), FullSyncOrder::Taken);
    assert_eq!(world.closed(tab), Some(CloseCode::GoingAway));
    assert!(world.record("tab").unwrap().need_full_sync, "it is durable");
    let dropped = world.table.traces().of(id)[0].dropped;
    assert!(matches!(dropped, Some((_, DropReason::FullSyncOrdered))), "{dropped:?}");
    let again = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(again), ("tab", true, 1));
    assert_eq!(world.sent(again), []);
    assert_eq!(world.order_full_sync("alice", "other"), FullSyncOrder::Unknown);
    assert_eq!(world.order_full_sync("bob", "tab"), FullSyncOrder::Unknown);
}

#[test]
fn a_session_that_is_away_is_ordered_a_full_sync_too() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.cut(tab);
    assert_eq!(world.order_full_sync("alice", "tab"), FullSyncOrder::Taken);
    let again = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(again), ("tab", true, 0));
}

#[test]
fn how_connections_ended_is_remembered_even_of_sessions_that_are_gone() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.cut(tab);
    world.tab("alice", "tab", FullSync);
    world.tab("alice", "tab", FullSync);
    world.revoke("alice", "tab");
    let closes = world.table.closes(&user("alice"));
    let codes: Vec<_> = closes.iter().map(|close| close.code).collect();
    assert_eq!(codes, [Some(CloseCode::Revoked), Some(CloseCode::Replaced), None]);
    assert!(closes.iter().all(|close| close.session == Some(session("tab"))));
    assert_eq!(world.table.closes(&user("bob")), []);
}

#[test]
fn a_census_counts_who_is_here_and_what_is_owed() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    let phone = world.tab("alice", "phone", Replay);
    world.cut(phone);
    world.publish("alice");
    world.publish("alice");
    world.ack(tab, &[1]);
    let census = world.table.census();
    assert_eq!((census.users, census.sessions_live, census.sessions_away), (1, 1, 1));
    assert_eq!((census.in_flight, census.owed), (1, 3));
    let counts = world.table.take_counts();
    assert!(counts.acked_within.quantile(0.5).is_some());
}

impl World {
    fn order_full_sync(&mut self, owner: &str, name: &str) -> FullSyncOrder {
        let ticket = self.table.ticket();
        self.table.order_full_sync(ticket, &user(owner), session(name), self.moment());
        self.settle();
        match self.answers.remove(&ticket) {
            Some(Answer::FullSync(order)) => order,
            other => panic!("not ordered: {other:?}"),
        }
    }
}
