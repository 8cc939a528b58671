//! Everybody is cut off, and comes back at the same moment; who keeps what was missed has one event
//! for each.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::spawn_local;

use super::{follow_all, open_all, who};
use crate::candidate::ALL;
use crate::candidate::Candidate::{
    self, JetStream, JetStreamSync, PlainStored, RawCoalescing, RawLong,
};
use crate::load::publisher::{Published, Publisher, Until};
use crate::load::subscriber::{Opening, Subscriber};
use crate::load::tally::{Tally, Times};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};

const COLUMNS: &[Column] = &[
    ("missed events each", 0),
    ("ms until half are back", 0),
    ("until all are", 0),
    ("CPU µs each", 0),
];

/// Until every server has noticed that its connections are gone.
const GONE: Duration = Duration::from_millis(500);

const BATCH: usize = 100;

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let title = format!("{} sessions come back at once", plan.reconnects);
    let mut table = Table::new(&title, COLUMNS);
    let mut candidates = ALL.to_vec();
    candidates.retain(|one| {
        !one.is_durable_only()
            && ![JetStream, JetStreamSync, PlainStored, RawCoalescing, RawLong].contains(one)
    });
    table.turns(plan.rounds, &candidates, |candidate| measure(candidate, plan)).await;
    table.print()
}

async fn measure(candidate: Candidate, plan: &'static Plan) -> Vec<f64> {
    let server = Rc::new(Server::start(candidate).await);
    let mut devices: Vec<_> =
        (0..plan.reconnects).map(|n| who(&server, &format!("user-{n}"), n)).collect();
    let mut subscribers = open_all(&server, &devices, Opening::New).await;
    let missed = u64::from(candidate.replays() || candidate == Candidate::SocketIoRecovery);
    let tally = Tally::new(Times::PassedOver);
    if missed > 0 {
        // One event for each first: recovery starts from the last event that was heard.
        let following = follow_all(subscribers, 1, &tally);
        publish_to_all(&server, plan).await;
        subscribers = Vec::new();
        for subscriber in following {
            subscribers.push(subscriber.await.unwrap().settle().await);
        }
    }
    for (who, subscriber) in devices.iter_mut().zip(&subscribers) {
        who.recovery = subscriber.recovery();
    }
    drop(subscribers);
    tokio::time::sleep(GONE).await;
    if missed > 0 {
        publish_to_all(&server, plan).await;
    }

    let (start, before) = (Instant::now(), server.cpu());
    let coming: Vec<_> = devices
        .into_iter()
        .map(|who| {
            let (server, tally) = (Rc::clone(&server), Rc::clone(&tally));
            spawn_local(async move {
                let subscriber = Subscriber::open(&server, &who, Opening::Again).await;
                (subscriber.follow(missed, tally).await, start.elapsed())
            })
        })
        .collect();
    let (mut back, mut times) = (Vec::new(), Vec::new());
    for one in coming {
        let (subscriber, took) = one.await.unwrap();
        back.push(subscriber);
        times.push(took.as_secs_f64() * 1e3);
    }
    let cpu = (server.cpu() - before).as_secs_f64() * 1e6 / plan.reconnects as f64;
    times.sort_by(f64::total_cmp);
    vec![missed as f64, times[times.len() / 2], times[times.len() - 1], cpu]
}

/// One event to each user.
async fn publish_to_all(server: &Server, plan: &Plan) {
    let mut publisher = Publisher::open(server, &[], Until::Sent).await;
    let users: Vec<_> = (0..plan.reconnects).collect();
    for users in users.chunks(BATCH) {
        let data = Tally::data(Duration::ZERO);
        let event = |n: &u64| Published { topic: format!("user-{n}"), data: data.clone() };
        publisher.publish(&users.iter().map(event).collect::<Vec<_>>()).await;
    }
}
