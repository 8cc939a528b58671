//! What docs/cluster.md promises of each failure, one at a time: who goes on, who is refused how
//! fast, and that it recovers by itself.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::node::Answer;
use crate::tab::Tab;
use crate::world::{LEASE, NODES, World, eventually, run, run_calmly};

fn event() -> Value {
    json!({"type": "added", "event_id": uuid::Uuid::now_v7()})
}

/// Longer than taking over the slots of a node that is away takes: a lease, the time in which a
/// bus that hangs is noticed, and some for a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// Longer than a publish takes while all that it needs is there.
const SOON: Duration = Duration::from_secs(5);

fn is_taken(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 201)
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 503 && answer.retry_after.is_some()
}

impl World {
    /// Publishes by a node until it is taken; says the receipt.
    async fn publish_in_time(&self, node: usize, user: &str, wait_max: Duration) -> Value {
        let (event, deadline) = (event(), Instant::now() + wait_max);
        loop {
            let answer = self.publish(node, user, &event).await;
            if is_taken(&answer) {
                return answer.body;
            }
            assert!(is_refused(&answer) || answer.status == 0, "{answer:?}");
            assert!(Instant::now() < deadline, "not taken in time: {answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes by a node that is to refuse it, at last fast; says what it answered then.
    async fn is_refused_fast(&self, node: usize, user: &str) {
        eventually("publishes are refused fast", || async {
            let answer = self.publish(node, user, &event()).await;
            assert!(is_refused(&answer), "{answer:?}");
            answer.took < Duration::from_secs(1)
        })
        .await;
    }
}

#[test]
fn without_nats_who_is_at_home_goes_on_and_others_are_refused_at_once() {
    run_calmly(|world| async move {
        let mut users = Vec::new();
        let mut tabs = Vec::new();
        for node in 0..NODES {
            let user = world.user_at(node).await;
            tabs.push(Tab::open(&world, node, &user).await);
            users.push(user);
        }
        let mut far = Tab::open(&world, 0, &users[1]).await;
        world.nats.lock().await.stop();
        for node in 0..NODES {
            world.is_refused_fast(node, &users[(node + 1) % NODES]).await;
            for _ in 0..3 {
                let receipt = world.publish_in_time(node, &users[node], SOON).await;
                assert_eq!(tabs[node].next_new_event().await["event_id"], receipt["event_id"]);
            }
        }
        world.nats.lock().await.restart().await;
        let receipt = world.publish_in_time(2, &users[1], TAKEN_OVER).await;
        // What was published at home meanwhile comes too, in order, on the same connection.
        assert_eq!(receipt["seq"], 4);
        for seq in 1..=4 {
            assert_eq!(far.next_new_event().await["seq"], seq);
        }
        world.settle().await;
        world.check().await;
    });
}

#[test]
fn without_postgres_publishes_are_refused_and_what_is_in_memory_is_delivered() {
    run(|world| async move {
        let user = world.user_at(1).await;
        // The device on b's neighbour, so that acks and redeliveries go over NATS.
        let mut tab = Tab::open(&world, 0, &user).await;
        tab.acks = false;
        let receipt = world.publish_in_time(2, &user, SOON).await;
        assert_eq!(tab.next_event().await["event_id"], receipt["event_id"]);
        world.postgres.lock().await.stop_at_once();
        for node in 0..NODES {
            world.is_refused_fast(node, &user).await;
        }
        // Redelivered for longer than a lease, on the same connection.
        let until = Instant::now() + LEASE * 2;
        while Instant::now() < until {
            assert_eq!(tab.next_event().await["event_id"], receipt["event_id"]);
        }
        tab.acks = true;
        tab.next_event().await;
        world.postgres.lock().await.start_again().await;
        let receipt = world.publish_in_time(2, &user, TAKEN_OVER).await;
        assert_eq!(receipt["seq"], 2);
        while tab.next_event().await["event_id"] != receipt["event_id"] {}
        world.settle().await;
        world.check().await;
    });
}

#[test]
fn a_node_that_wakes_after_its_lease_writes_nothing() {
    run(|world| async move {
        let (user, other) = world.two_users_at(2).await;
        let mut tab = Tab::open(&world, 0, &user).await;
        for user in [&user, &other] {
            world.publish_in_time(2, user, SOON).await;
        }
        assert_eq!(tab.next_event().await["seq"], 1);
        world.nodes[2].process.lock().await.signal(Signal::STOP);
        let woken = async {
            sleep(LEASE * 2).await;
            let receipt = world.publish_in_time(0, &user, TAKEN_OVER).await;
            assert_eq!(receipt["seq"], 2, "the log goes on where it was");
            let nats = &world.nodes[2].to_nats;
            // Nobody tells it that it lost its slots before it tries to write.
            nats.hang();
            world.nodes[2].process.lock().await.signal(Signal::CONT);
            sleep(Duration::from_millis(500)).await;
            nats.pass();
        };
        let (of_user, of_other) = (event(), event());
        let (of_user, of_other, ()) = tokio::join!(
            world.publish(2, &user, &of_user),
            world.publish(2, &other, &of_other),
            woken
        );
        // Taken by the new home, or by nobody.
        let is_there = is_taken(&of_user) && of_user.body["seq"].as_i64() > Some(2);
        assert!(is_there || is_refused(&of_user), "{of_user:?}");
        assert!(is_taken(&of_other) || is_refused(&of_other), "{of_other:?}");
        let last = world.publish_in_time(2, &user, TAKEN_OVER).await["seq"].as_i64();
        while tab.next_event().await["seq"].as_i64() != last {}
        world.settle().await;
        world.check().await;
    });
}

#[test]
fn a_write_that_comes_after_its_slot_moved_is_refused() {
    run(|world| async move {
        let (user, other) = world.two_users_at(2).await;
        for user in [&user, &other] {
            world.publish_in_time(2, user, SOON).await;
        }
        // What c sends to Postgres waits on the way, and goes on when the slot is another's.
        world.nodes[2].to_postgres.hang();
        let late = event();
        let moved = async {
            let receipt = world.publish_in_time(0, &user, TAKEN_OVER).await;
            assert_eq!(receipt["seq"], 2);
            world.nodes[2].to_postgres.pass();
        };
        // Nothing of the other's log is in the way: only the fence is.
        let (answer, ()) = tokio::join!(world.publish(2, &other, &late), moved);
        assert!(is_taken(&answer) || is_refused(&answer), "{answer:?}");
        world.settle().await;
        world.check().await;
    });
}

#[test]
fn what_a_former_home_said_late_is_not_shown_after_what_the_new_one_said() {
    run(|world| async move {
        let user = world.user_at(2).await;
        let mut plain = Tab::open_plain(&world, 0, &user).await;
        let mut reliable = Tab::open(&world, 0, &user).await;
        world.publish_in_time(2, &user, SOON).await;
        assert_eq!(plain.next_place().await, 1);
        // Stored at home, and told to a bus that keeps it.
        world.nodes[2].to_nats.hang();
        for _ in 0..5 {
            world.publish_in_time(2, &user, SOON).await;
        }
        let receipt = world.publish_in_time(1, &user, TAKEN_OVER).await;
        assert_eq!(receipt["seq"], 7);
        assert_eq!(plain.next_place().await, 7);
        world.nodes[2].to_nats.pass();
        // It hears from c again before c can be asked.
        let receipt = world.publish_in_time(2, &user, TAKEN_OVER).await;
        assert_eq!((&receipt["seq"], plain.next_place().await), (&json!(8), 8));
        for seq in 1..=8 {
            assert_eq!(reliable.next_new_event().await["seq"], seq);
        }
        world.settle().await;
        world.check().await;
    });
}

#[test]
fn a_broadcast_of_a_node_that_ended_without_slots_reaches_everybody() {
    run(|world| async move {
        let (user, here) = (world.user_at(2).await, world.user_at(0).await);
        let mut tabs = Vec::new();
        for user in [&user, &here] {
            tabs.push(Tab::open(&world, 0, user).await);
        }
        world.nodes[2].to_nats.refuse();
        // Then c has no slots, and reaches nobody.
        world.publish_in_time(1, &user, TAKEN_OVER).await;
        assert_eq!(tabs[0].next_new_event().await["seq"], 1);
        let broadcast = event();
        eventually("the broadcast is taken", || async {
            let path = "/api/v1/broadcast";
            let answer = world.call(2, "POST", path, broadcast.to_string()).await;
            assert!(answer.status == 202 || is_refused(&answer), "{answer:?}");
            answer.status == 202
        })
        .await;
        let mut ended = world.nodes[2].process.lock().await;
        ended.kill();
        for tab in &mut tabs {
            assert_eq!(tab.next_new_event().await["event_id"], broadcast["event_id"]);
        }
        world.nodes[2].to_nats.pass();
        ended.start_again().await;
        drop(ended);
        world.settle().await;
        world.check().await;
    });
}

/// Cuts node c off from an engine until the others have its slots; its users go on meanwhile.
async fn is_taken_over(world: World, cut: impl Fn(&World), mend: impl Fn(&World)) {
    let user = world.user_at(2).await;
    let mut tab = Tab::open(&world, 0, &user).await;
    world.publish_in_time(2, &user, SOON).await;
    assert_eq!(tab.next_event().await["seq"], 1);
    cut(&world);
    let receipt = world.publish_in_time(1, &user, TAKEN_OVER).await;
    assert_eq!(receipt["seq"], 2);
    assert_eq!(tab.next_new_event().await["event_id"], receipt["event_id"]);
    eventually("a node that serves nobody is not ready", || async {
        world.get(2, "/readyz").await.status == 503
    })
    .await;
    mend(&world);
    let receipt = world.publish_in_time(2, &user, TAKEN_OVER).await;
    assert_eq!(tab.next_new_event().await["event_id"], receipt["event_id"]);
    world.settle().await;
    world.check().await;
}

#[test]
fn the_slots_of_a_node_without_nats_are_taken_over() {
    run(|world| {
        let node = |world: &World| world.nodes[2].to_nats.refuse();
        is_taken_over(world, node, |world| world.nodes[2].to_nats.pass())
    });
}

#[test]
fn the_slots_of_a_node_whose_nats_hangs_are_taken_over() {
    run(|world| {
        let node = |world: &World| world.nodes[2].to_nats.hang();
        is_taken_over(world, node, |world| world.nodes[2].to_nats.pass())
    });
}

#[test]
fn the_slots_of_a_node_without_postgres_are_taken_over() {
    run(|world| {
        let node = |world: &World| world.nodes[2].to_postgres.refuse();
        is_taken_over(world, node, |world| world.nodes[2].to_postgres.pass())
    });
}

#[test]
fn the_slots_of_a_node_whose_postgres_hangs_are_taken_over() {
    run(|world| {
        let node = |world: &World| world.nodes[2].to_postgres.hang();
        is_taken_over(world, node, |world| world.nodes[2].to_postgres.pass())
    });
}
