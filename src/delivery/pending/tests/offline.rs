//! What becomes of events while a session is away.

use super::world::{First, Mode, WAIT_MS, Wish, World, user};
use crate::protocol::OfflinePolicy::{FullSync, Replay};
use crate::protocol::{CloseCode, NewEvent, Seq};

#[test]
fn a_full_sync_session_that_was_away_is_marked_with_the_append_and_told_once() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.cut(tab);
    let receipt = world.publish_event("alice", NewEvent::new("added"));
    assert_eq!((receipt.live, receipt.offline), (0, 1));
    assert!(world.record("tab").unwrap().need_full_sync);
    world.publish("alice");
    assert_eq!(world.table.take_counts().full_syncs_offline, 1, "it is marked once");
    assert_eq!(world.status("alice", "tab").pending, 0);
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", true, 2));
    assert_eq!(world.sent(tab), []);
    world.cut(tab);
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", false, 2));
    assert!(!world.record("tab").unwrap().need_full_sync);
}

#[test]
fn whoever_comes_back_before_the_next_redelivery_gets_the_unacked_again() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    for _ in 0..3 {
        world.publish("alice");
    }
    world.ack(tab, &[2]);
    world.cut(tab);
    world.pass(WAIT_MS - 1);
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", false, 0));
    assert_eq!(world.sent(tab), [(1, First), (3, First)]);
    world.pass(WAIT_MS - 1);
    assert_eq!(world.sent(tab), [], "its ack wait begins anew");
}

#[test]
fn whoever_does_not_come_back_by_the_next_redelivery_must_do_a_full_sync() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    world.pass(1_000);
    world.cut(tab);
    world.pass(WAIT_MS - 1_000);
    assert!(world.record("tab").unwrap().need_full_sync);
    assert_eq!(world.table.take_counts().full_syncs_lost, 1);
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", true, 1));
    world.pass(10 * WAIT_MS);
    assert_eq!(world.sent(tab), []);
}

#[test]
fn whoever_leaves_with_nothing_unacked_misses_nothing() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.publish("alice");
    world.ack(tab, &[1]);
    world.cut(tab);
    world.pass(10 * WAIT_MS);
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", false, 1));
}

#[test]
fn a_replaying_session_gets_what_it_missed_in_order_and_then_what_is_new() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    for _ in 0..3 {
        world.publish("alice");
    }
    world.pass(10 * WAIT_MS);
    assert_eq!(world.status("alice", "tab").pending, 3);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", false, 0));
    assert_eq!(world.sent(tab), [(1, First), (2, First), (3, First)]);
    world.publish("alice");
    assert_eq!(world.sent(tab), [(4, First)]);
}

#[test]
fn a_replaying_session_gets_the_unacked_again_but_not_what_it_acked_out_of_order() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    for _ in 0..4 {
        world.publish("alice");
    }
    world.ack(tab, &[1, 3]);
    world.cut(tab);
    world.pass(2 * WAIT_MS);
    assert_eq!(world.status("alice", "tab").in_flight, 0, "its events cost no memory");
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", false, 1));
    assert_eq!(world.sent(tab), [(2, First), (4, First)]);
    world.ack(tab, &[2, 4]);
    assert_eq!(world.status("alice", "tab").floor, Seq(4));
}

#[test]
fn a_policy_asked_for_is_kept_until_another_is_asked_for() {
    let mut world = World::new();
    let (tab, _) = world.ask("alice", Wish { session: Some("tab"), ..Wish::default() });
    assert_eq!(world.record("tab").unwrap().policy, FullSync);
    world.cut(tab);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.record("tab").unwrap().policy, Replay);
    world.cut(tab);
    let (tab, _) = world.ask("alice", Wish { session: Some("tab"), ..Wish::default() });
    world.cut(tab);
    world.publish("alice");
    assert_eq!(world.status("alice", "tab").policy, Some(Replay));
    assert_eq!(world.status("alice", "tab").pending, 1);
}

#[test]
fn a_session_that_confirms_is_told_until_it_says_that_it_is_done() {
    let mut world = World::new();
    let wish = Wish {
        session: Some("tab"),
        policy: Some(FullSync),
        confirm_sync: true,
        ..Wish::default()
    };
    for _ in 0..2 {
        let (tab, _) = world.ask("alice", wish);
        assert_eq!(world.told(tab), ("tab", true, 0));
        world.cut(tab);
    }
    let (tab, _) = world.ask("alice", wish);
    world.publish("alice");
    assert_eq!(world.sent(tab), [(1, First)], "events go on meanwhile");
    world.ack(tab, &[1]);
    assert!(world.record("tab").unwrap().need_full_sync);
    world.sync_complete(tab);
    assert!(!world.record("tab").unwrap().need_full_sync);
    world.sync_complete(tab);
    world.cut(tab);
    let (tab, _) = world.ask("alice", wish);
    assert_eq!(world.told(tab), ("tab", false, 1));
}

#[test]
fn a_session_that_left_before_it_confirmed_is_owed_nothing_but_the_sync() {
    let mut world = World::new();
    let wish = Wish {
        session: Some("tab"),
        policy: Some(FullSync),
        confirm_sync: true,
        ..Wish::default()
    };
    let (tab, _) = world.ask("alice", wish);
    world.publish("alice");
    world.cut(tab);
    world.pass(2 * WAIT_MS);
    assert_eq!(world.table.take_counts().full_syncs_lost, 0, "it was told already");
    let (tab, _) = world.ask("alice", wish);
    assert_eq!(world.told(tab), ("tab", true, 1));
    assert_eq!(world.sent(tab), []);
}

#[test]
fn a_session_that_is_owed_too_much_must_do_a_full_sync() {
    let mut world = World::with(|limits| limits.owed_max = 5);
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    for _ in 0..5 {
        world.publish("alice");
    }
    assert_eq!(world.status("alice", "tab").pending, 5);
    world.publish("alice");
    assert_eq!(world.status("alice", "tab").pending, 0);
    assert!(world.record("tab").unwrap().need_full_sync);
    assert_eq!(world.table.take_counts().full_syncs_owed, 1);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", true, 6));
    assert_eq!(world.sent(tab), []);
}

#[test]
fn a_live_session_that_is_owed_too_much_is_closed_so_that_it_comes_back_and_is_told() {
    let mut world = World::with(|limits| limits.owed_max = 5);
    let tab = world.tab("alice", "tab", Replay);
    for _ in 0..6 {
        world.publish("alice");
    }
    assert_eq!(world.sent(tab).len(), 4, "its window was full");
    assert_eq!(world.closed(tab), Some(CloseCode::TooSlow));
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", true, 6));
    assert_eq!(world.sent(tab), []);
}

#[test]
fn whoever_comes_back_while_it_is_being_marked_gets_the_event_instead() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    world.cut(tab);
    world.mode = Mode::Held;
    let ticket = world.submit("alice", NewEvent::new("added"), |_| {});
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", false, 0));
    world.release(Mode::AtOnce);
    assert!(world.published(ticket).is_ok());
    assert_eq!(world.sent(tab), [(1, First)]);
    assert!(!world.record("tab").unwrap().need_full_sync, "the mark is taken back");
}

#[test]
fn what_was_pruned_before_it_was_acked_can_only_be_had_by_a_full_sync() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    for _ in 0..3 {
        world.publish("alice");
    }
    world.store.prune(&user("alice"), 2);
    world.table.pruned(&user("alice"), Seq(2));
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", true, 3));
    assert_eq!(world.sent(tab), []);
}

#[test]
fn a_log_pruned_under_a_replay_ends_the_connection_and_the_next_is_told() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.cut(tab);
    for _ in 0..3 {
        world.publish("alice");
    }
    // The table is told of the pruning only after it read the log.
    world.store.prune(&user("alice"), 2);
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", false, 0));
    assert_eq!(world.sent(tab), []);
    assert_eq!(world.closed(tab), Some(CloseCode::TooSlow));
    let tab = world.tab("alice", "tab", Replay);
    assert_eq!(world.told(tab), ("tab", true, 3));
}

#[test]
fn after_a_restart_the_unacked_are_sent_again_and_the_acked_not() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", FullSync);
    for _ in 0..3 {
        world.publish("alice");
    }
    world.ack(tab, &[1]);
    world.crash();
    let tab = world.tab("alice", "tab", FullSync);
    assert_eq!(world.told(tab), ("tab", false, 1));
    assert_eq!(world.sent(tab), [(2, First), (3, First)]);
}

#[test]
fn whoever_does_not_come_back_after_a_restart_must_do_a_full_sync() {
    let mut world = World::new();
    world.tab("alice", "tab", FullSync);
    world.publish("alice");
    world.crash();
    world.list("alice");
    world.pass(WAIT_MS - 1);
    assert!(!world.record("tab").unwrap().need_full_sync);
    world.pass(1);
    assert!(world.record("tab").unwrap().need_full_sync);
}

#[test]
fn what_expired_while_the_connection_was_gone_is_not_sent_again() {
    let mut world = World::new();
    let tab = world.tab("alice", "tab", Replay);
    world.publish_event("alice", NewEvent::new("typing").ttl_ms(WAIT_MS / 3));
    world.publish("alice");
    assert_eq!(world.sent(tab), [(1, First), (2, First)]);
    world.cut(tab);
    world.pass(WAIT_MS / 2);
    let back = world.tab("alice", "tab", Replay);
    assert_eq!(world.sent(back), [(2, First)]);
    world.ack(back, &[2]);
    assert_eq!(world.status("alice", "tab").pending, 0);
}
