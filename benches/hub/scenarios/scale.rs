//! What a delivery costs the hub when there are more users, more sessions or a longer log, over three
//! decades: it must not grow with them.

use std::rc::Rc;
use std::time::Duration;

use super::unicast::random_users;
use super::{ENDLESS, follow_all, open_all, who};
use crate::candidate::Candidate::Reliable;
use crate::load::publisher::{Published, Publisher, Until};
use crate::load::shapes::at_rate;
use crate::load::subscriber::Opening;
use crate::load::tally::{Tally, Times};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};

const RATE: u64 = 500;
const BATCH: u64 = 500;

/// Users that get events while something else grows.
const LIVE: u64 = 100;

/// Sessions of each user that is away.
const DEVICES: u64 = 10;

const COLUMNS: &[Column] =
    &[("CPU µs per delivery", 1), ("p50 µs", 0), ("p99 µs", 0), ("MB resident", 0)];

/// What grows.
#[derive(Clone, Copy)]
enum Grown {
    Users,
    Sessions,
    Log,
}

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let title = format!("Cost against size: Staffetta, reliable, {RATE} events/s");
    let mut table = Table::new(&title, COLUMNS);
    for (grown, name, part) in [
        (Grown::Users, "users that are connected", 125),
        (Grown::Sessions, "sessions that are away", 10),
        (Grown::Log, "events in the log", 1),
    ] {
        for times in [1, 10, 100] {
            let size = (plan.scale * times / part).max(1);
            let name = format!("{size} {name}");
            table.turn(&name, &name, measure(grown, size, plan)).await;
        }
    }
    table.print()
}

async fn measure(grown: Grown, size: u64, plan: &'static Plan) -> Vec<f64> {
    let server = Rc::new(Server::start(Reliable).await);
    let users = if matches!(grown, Grown::Users) { size } else { LIVE };
    match grown {
        Grown::Users => {}
        Grown::Sessions => leave_sessions(&server, size).await,
        Grown::Log => lengthen_log(&server, size).await,
    }
    let devices: Vec<_> = (0..users).map(|n| who(&server, &format!("user-{n}"), n)).collect();
    let subscribers = open_all(&server, &devices, Opening::New).await;
    let tally = Tally::new(Times::Read);
    let _following = follow_all(subscribers, ENDLESS, &tally);
    let events = (plan.at_rate.as_secs_f64() * RATE as f64) as u64;
    let topics = random_users(events, users);
    at_rate(&server, &topics[..topics.len() / 10], RATE, events / 10, &tally).await;
    tally.forget_times();
    let before = server.cpu();
    at_rate(&server, &topics, RATE, events, &tally).await;
    let each = (server.cpu() - before).as_secs_f64() * 1e6 / events as f64;
    let resident = server.resident() as f64 / 1024.0 / 1024.0;
    vec![each, tally.percentile(50.0), tally.percentile(99.0), resident]
}

/// Sessions that were here once.
async fn leave_sessions(server: &Rc<Server>, count: u64) {
    let all: Vec<_> =
        (0..count).map(|n| who(server, &format!("away-{}", n / DEVICES), n)).collect();
    for some in all.chunks(1_000) {
        drop(open_all(server, some, Opening::New).await);
    }
}

async fn lengthen_log(server: &Server, count: u64) {
    let mut publisher = Publisher::open(server, &[], Until::Sent).await;
    let data = Tally::data(Duration::ZERO);
    for start in (0..count).step_by(BATCH as usize) {
        let event = |n| Published { topic: format!("log-{}", n % 500), data: data.clone() };
        let batch: Vec<_> = (start..(start + BATCH).min(count)).map(event).collect();
        publisher.publish(&batch).await;
    }
}
