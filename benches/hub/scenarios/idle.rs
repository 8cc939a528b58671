//! Connections that do nothing: what each keeps in memory, and what it takes to let it in.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{open_all, who};
use crate::candidate::ALL;
use crate::candidate::Candidate::{
    self, JetStream, JetStreamSync, PlainStored, RawCoalescing, RawLong,
};
use crate::load::subscriber::{Opening, Subscriber};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};
use crate::tokens::Signature;

const COLUMNS: &[Column] = &[
    ("KB resident each", 2),
    ("connects/s, HS256", 0),
    ("CPU µs each", 0),
    ("connects/s, RS256", 0),
    ("CPU µs each", 0),
];

/// Until what a server still does after the last connection is done.
const CALM: Duration = Duration::from_millis(500);

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let title = format!("{} idle connections, each of a user of its own", plan.idle);
    let mut table = Table::new(&title, COLUMNS);
    table.turns(plan.rounds, &candidates(), |candidate| measure(candidate, plan)).await;
    let is_whole = table.print();
    for column in [2, 4] {
        let plain = Candidate::Plain.name();
        table.compare(plain, Candidate::Raw.name(), column, "at most 1.3");
        table.compare(plain, Candidate::Actix.name(), column, "at most 1.3");
    }
    is_whole
}

/// As many as one process may have open, once.
pub(crate) async fn most(plan: &'static Plan) -> bool {
    let title = format!("{} idle connections, once; half as many for the hub", plan.idle_most);
    let mut table = Table::new(&title, &COLUMNS[..3]);
    let open = |candidate: Candidate| async move {
        // The hub has two descriptors for each connection.
        let each = if candidate.is_ours() { 2 } else { 1 };
        open(candidate, plan.idle_most / each, Signature::Hs256).await
    };
    table.turns(1, &candidates(), open).await;
    table.print()
}

fn candidates() -> Vec<Candidate> {
    let mut candidates = ALL.to_vec();
    candidates.retain(|one| {
        !one.is_durable_only()
            && ![PlainStored, RawCoalescing, RawLong, JetStream, JetStreamSync].contains(one)
    });
    candidates
}

async fn measure(candidate: Candidate, plan: &'static Plan) -> Vec<f64> {
    let mut figures = open(candidate, plan.idle, Signature::Hs256).await;
    if candidate.checks_tokens() {
        figures.extend(&open(candidate, plan.connects_rs256, Signature::Rs256).await[1..]);
    } else {
        figures.extend([f64::NAN; 2]);
    }
    figures
}

/// KB resident of each, connects a second, and CPU of each in microseconds.
async fn open(candidate: Candidate, count: u64, signature: Signature) -> Vec<f64> {
    let server = Rc::new(Server::start_with(candidate, signature).await);
    let devices: Vec<_> = (0..count).map(|n| who(&server, &format!("user-{n}"), n)).collect();
    let warm = Subscriber::open(&server, &who(&server, "warm", 0), Opening::New).await;
    tokio::time::sleep(CALM).await;
    let (resident, cpu, start) = (server.resident(), server.cpu(), Instant::now());
    let opened = open_all(&server, &devices, Opening::New).await;
    let took = start.elapsed().as_secs_f64();
    tokio::time::sleep(CALM).await;
    let count = count as f64;
    let each = (server.resident() as f64 - resident as f64) / count / 1024.0;
    let cpu = (server.cpu() - cpu).as_secs_f64() * 1e6 / count;
    drop((warm, opened));
    // Those that let anybody in did not check anything.
    vec![each, count / took, cpu]
}
