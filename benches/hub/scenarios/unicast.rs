//! Events to random users with two sessions each, at a rate.

use std::rc::Rc;

use super::{ENDLESS, follow_all, open_all, who};
use crate::candidate::ALL;
use crate::candidate::Candidate::{self, JetStreamSync, Literal, RawLong, SocketIoRecovery};
use crate::load::shapes::at_rate;
use crate::load::subscriber::Opening;
use crate::load::tally::{Tally, Times};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};

const COLUMNS: &[Column] =
    &[("p50 µs", 0), ("p99 µs", 0), ("p99.9 µs", 0), ("CPU s per million deliveries", 1)];

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let (rate, users) = (plan.unicast_rate, plan.users);
    let title = format!("Unicast to {users} users with 2 sessions, {rate} events/s");
    let mut table = Table::new(&title, COLUMNS);
    let mut candidates = ALL.to_vec();
    candidates.retain(|one| {
        !one.is_durable_only() && ![JetStreamSync, Literal, RawLong, SocketIoRecovery].contains(one)
    });
    table.turns(plan.rounds, &candidates, |candidate| measure(candidate, plan)).await;
    let is_whole = table.print();
    table.compare(Candidate::Plain.name(), Candidate::Raw.name(), 0, "at most 1.3");
    is_whole
}

async fn measure(candidate: Candidate, plan: &'static Plan) -> Vec<f64> {
    let server = Rc::new(Server::start(candidate).await);
    let devices: Vec<_> =
        (0..plan.users * 2).map(|n| who(&server, &format!("user-{}", n / 2), n)).collect();
    let subscribers = open_all(&server, &devices, Opening::New).await;
    let tally = Tally::new(Times::Read);
    let _following = follow_all(subscribers, ENDLESS, &tally);
    let events = (plan.at_rate.as_secs_f64() * plan.unicast_rate as f64) as u64;
    let topics = random_users(events, plan.users);
    let before = server.cpu();
    at_rate(&server, &topics, plan.unicast_rate, events * 2, &tally).await;
    let each = (server.cpu() - before).as_secs_f64() * 1e6 / (events * 2) as f64;
    vec![tally.percentile(50.0), tally.percentile(99.0), tally.percentile(99.9), each]
}

/// As many users, drawn by a generator that draws the same for every candidate.
pub(crate) fn random_users(count: u64, users: u64) -> Vec<String> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|_| format!("user-{}", draw() % users)).collect()
}
