//! One event to everybody who follows one topic: at a rate, and as fast as can be.

use std::rc::Rc;

use super::{ENDLESS, follow_all, open_all, who};
use crate::candidate::ALL;
use crate::candidate::Candidate::{self, JetStream, JetStreamSync};
use crate::load::shapes::{at_rate, flat_out};
use crate::load::subscriber::Opening;
use crate::load::tally::{Tally, Times};
use crate::plan::Plan;
use crate::server::{Server, load_cpu};
use crate::table::{Column, Table};

const COLUMNS: &[Column] = &[
    ("at the rate: CPU s per million", 2),
    ("p50 µs", 0),
    ("p99 µs", 0),
    ("full speed: deliveries/s", 0),
    ("CPU s per million", 2),
    ("load's core busy %", 0),
];

const TOPIC: &str = "alice";

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let (followers, rate) = (plan.followers, plan.fanout_rate);
    let title = format!("Fan-out to {followers}, {rate} events/s, then as fast as can be");
    let mut table = Table::new(&title, COLUMNS);
    let mut candidates = ALL.to_vec();
    candidates.retain(|one| !one.is_durable_only() && ![JetStream, JetStreamSync].contains(one));
    table.turns(plan.rounds, &candidates, |candidate| measure(candidate, plan)).await;
    let is_whole = table.print();
    let plain = Candidate::Plain.name();
    table.compare(plain, Candidate::Raw.name(), 0, "at most 1.1");
    table.compare(plain, Candidate::RawLong.name(), 0, "at most 1.1");
    table.compare(plain, Candidate::UWebSockets.name(), 3, "at least 1");
    is_whole
}

async fn measure(candidate: Candidate, plan: &'static Plan) -> Vec<f64> {
    let server = Rc::new(Server::start(candidate).await);
    let devices: Vec<_> = (0..plan.followers).map(|n| who(&server, TOPIC, n)).collect();
    let subscribers = open_all(&server, &devices, Opening::New).await;
    let tally = Tally::new(Times::Read);
    let following = follow_all(subscribers, ENDLESS, &tally);

    // The literal design does a handful of events a second.
    let rate = if candidate == Candidate::Literal { 2 } else { plan.fanout_rate };
    let events = (plan.at_rate.as_secs_f64() * rate as f64).max(1.0) as usize;
    let deliveries = events as u64 * plan.followers;
    let before = server.cpu();
    at_rate(&server, &vec![TOPIC.to_owned(); events], rate, deliveries, &tally).await;
    let each = (server.cpu() - before).as_secs_f64() * 1e6 / deliveries as f64;
    let (p50, p99) = (tally.percentile(50.0), tally.percentile(99.0));
    for task in following {
        task.abort();
    }
    // Sockudo loses events at full speed.
    if matches!(candidate, Candidate::Literal | Candidate::Sockudo) {
        return vec![each, p50, p99, f64::NAN, f64::NAN, f64::NAN];
    }
    let full = full_speed(candidate, plan).await;
    vec![each, p50, p99, full[0], full[1], full[2]]
}

/// Deliveries a second, CPU seconds per million of them, and how busy the load was: a load that is at
/// its end is what was measured.
async fn full_speed(candidate: Candidate, plan: &'static Plan) -> [f64; 3] {
    let server = Rc::new(Server::start(candidate).await);
    let devices: Vec<_> = (0..plan.followers).map(|n| who(&server, TOPIC, n)).collect();
    let subscribers = open_all(&server, &devices, Opening::New).await;
    let tally = Tally::new(Times::PassedOver);
    let _following = follow_all(subscribers, ENDLESS, &tally);
    let (start, before, load) = (tally.now(), server.cpu(), load_cpu());
    let deliveries = flat_out(&server, TOPIC, plan.followers, plan.flat_out, &tally).await as f64;
    let took = (tally.now() - start).as_secs_f64();
    let each = (server.cpu() - before).as_secs_f64() * 1e6 / deliveries;
    let busy = (load_cpu() - load).as_secs_f64() / took * 100.0;
    [deliveries / took, each, busy]
}
