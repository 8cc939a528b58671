//! A million events owed to sessions that are away: what live traffic notices of them, and how fast
//! they are caught up with.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;

use super::{ENDLESS, follow_all, open_all, who};
use crate::candidate::Candidate::{self, JetStream, Mosquitto, Reliable};
use crate::load::publisher::{Published, Publisher, Until};
use crate::load::shapes::at_rate;
use crate::load::subscriber::{Opening, Subscriber, Who};
use crate::load::tally::{Tally, Times};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};

const BATCH: u64 = 1_000;
const LIVE_RATE: u64 = 500;
const PUBLISHERS: u64 = 2;

/// As long as catching up is looked at.
const CATCH_UP: Duration = Duration::from_secs(15);

const COLUMNS: &[Column] = &[
    ("alone: p50 µs", 0),
    ("p99 µs", 0),
    ("beside it: p50 µs", 0),
    ("p99 µs", 0),
    ("p99 ratio", 2),
    ("idle CPU % before", 2),
    ("after", 2),
    ("events/s stored", 0),
    ("deliveries/s caught up", 0),
];

/// How many times as long as other traffic at a rate: a p99 of 2,000 events is 20 of them.
const TIMES: u64 = 4;

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let title = format!("{} events owed to {} sessions that are away", plan.owed, plan.users);
    let mut table = Table::new(&title, COLUMNS);
    let candidates = [Reliable, Mosquitto, JetStream];
    // A turn takes a minute: there is one.
    table.turns(1, &candidates, |candidate| measure(candidate, plan)).await;
    table.print()
}

async fn measure(candidate: Candidate, plan: &'static Plan) -> Vec<f64> {
    let server = Rc::new(Server::start(candidate).await);
    let live = Subscriber::open(&server, &who(&server, "live", 0), Opening::New).await;
    let tally = Tally::new(Times::Read);
    let _following = follow_all(vec![live], ENDLESS, &tally);
    let alone = traffic(&server, plan, &tally).await;
    let idle_before = idle_cpu(&server, plan).await;

    let away: Vec<_> = (0..plan.users).map(|n| who(&server, &format!("away-{n}"), n)).collect();
    drop(open_all(&server, &away, Opening::New).await);
    let start = tally.now();
    let publishing: Vec<_> =
        (0..PUBLISHERS).map(|_| spawn_local(owe(Rc::clone(&server), plan))).collect();
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let stored = plan.owed as f64 / (tally.now() - start).as_secs_f64();

    let beside = traffic(&server, plan, &tally).await;
    let idle_after = idle_cpu(&server, plan).await;
    let caught_up = catch_up(&server, &away, plan).await;
    vec![
        alone.0,
        alone.1,
        beside.0,
        beside.1,
        beside.1 / alone.1,
        idle_before,
        idle_after,
        stored,
        caught_up,
    ]
}

/// p50 and p99 of events to one live session.
async fn traffic(server: &Server, plan: &Plan, tally: &Rc<Tally>) -> (f64, f64) {
    let events = (plan.at_rate.as_secs_f64() * LIVE_RATE as f64) as u64 * TIMES;
    let topics = vec!["live".to_owned(); events as usize];
    // What the first ones warm up is not counted.
    at_rate(server, &topics[..topics.len() / 10], LIVE_RATE, events / 10, tally).await;
    tally.forget_times();
    at_rate(server, &topics, LIVE_RATE, events, tally).await;
    (tally.percentile(50.0), tally.percentile(99.0))
}

async fn idle_cpu(server: &Server, plan: &Plan) -> f64 {
    let before = server.cpu();
    tokio::time::sleep(plan.at_rate).await;
    (server.cpu() - before).as_secs_f64() / plan.at_rate.as_secs_f64() * 100.0
}

/// One publisher's part of what is owed.
async fn owe(server: Rc<Server>, plan: &'static Plan) {
    let mut publisher = Publisher::open(&server, &[], Until::Sent).await;
    let data = Tally::data(Duration::ZERO);
    let event = |n| Published { topic: format!("away-{}", n % plan.users), data: data.clone() };
    let batch: Vec<_> = (0..BATCH).map(event).collect();
    for _ in 0..plan.owed / BATCH / PUBLISHERS {
        publisher.publish(&batch).await;
    }
}

/// Deliveries a second when everybody is back at once, in the first [`CATCH_UP`] at most.
async fn catch_up(server: &Rc<Server>, away: &[Who], plan: &Plan) -> f64 {
    let tally = Tally::new(Times::PassedOver);
    let start = tally.now();
    let back = open_all(server, away, Opening::Again).await;
    let _following = follow_all(back, ENDLESS, &tally);
    // Whether it was all of them or time was up, the rate is that of what came.
    let _ = tokio::time::timeout(CATCH_UP, tally.reaches(plan.owed)).await;
    tally.seen() as f64 / (tally.now() - start).as_secs_f64()
}
