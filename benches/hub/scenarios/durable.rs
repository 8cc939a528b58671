//! Events that are acked by both sessions of their users: as many as can be, in batches that four
//! publishers wait for, and then at half of that rate; of the hub's, for those that do more.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;

use super::{ENDLESS, follow_all, open_all, who};
use crate::candidate::Candidate::{
    self, ActixStored, JetStream, JetStreamSync, Literal, Mosquitto, RawDurable, Reliable,
    SocketIo, Socketioxide,
};
use crate::lives::{computing, sqlite};
use crate::load::publisher::{Published, Publisher, Until};
use crate::load::shapes::arrived;
use crate::load::subscriber::{Opening, Subscriber};
use crate::load::tally::{Tally, Times, until};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};

const PUBLISHERS: u64 = 4;
const BATCH: u64 = 500;

/// Publishers at a rate. One that waits for an answer holds up what is due to it next, and a server that
/// is behind may take more at once.
const PUBLISHERS_AT_RATE: u64 = 16;

/// How often a batch is due at half of a rate.
const BEAT: Duration = Duration::from_millis(2);

/// A batch that the load itself has later than this counts as late: the machine had other things to do.
const LATE: Duration = Duration::from_millis(1);

/// The rows of the machine's own limits.
const COMPUTING: &str = "only computing, as long as the hub";
const COMPUTING_HALF: &str = "only computing, half of the core";

const COLUMNS: &[Column] = &[
    ("acked deliveries/s", 0),
    ("CPU s per million", 1),
    ("sent again", 0),
    ("at half a rate: events/s", 0),
    ("CPU s per million", 1),
    ("p50 µs", 0),
    ("p99 µs", 0),
    ("late by the load %", 1),
];

const CANDIDATES: [Candidate; 9] = [
    Reliable,
    RawDurable,
    ActixStored,
    Mosquitto,
    JetStream,
    JetStreamSync,
    Literal,
    SocketIo,
    Socketioxide,
];

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let title = format!(
        "Acked deliveries, {} users with 2 sessions, batches of {BATCH} (socket.io and socketioxide \
         store nothing)",
        plan.users
    );
    let mut table = Table::new(&title, COLUMNS);
    for group in [1, 256] {
        let name = format!("raw SQLite, groups of {group}: events/s");
        for _ in 0..plan.rounds {
            table.turn(&name, &name, groups(group, plan)).await;
        }
    }
    // The hub's in this round, which it has its turn in first.
    let hub = Rc::new(Cell::new(None));
    for round in 1..=plan.rounds {
        let label = format!("{round}/{}", plan.rounds);
        for candidate in CANDIDATES {
            table.turn_of(candidate, &label, measure(candidate, Rc::clone(&hub), plan)).await;
            if candidate == Reliable
                && let Some(hub) = hub.get()
            {
                // At its full rate it has the whole core: half of that is what half of the rate would
                // be, if a delivery cost no more then.
                for (name, each) in [(COMPUTING, hub.each), (COMPUTING_HALF, 1e6 / hub.rate)] {
                    table.turn(&format!("{label} {name}"), name, computing(hub, each, plan)).await;
                }
            }
        }
    }
    let is_whole = table.print();
    table.compare(Reliable.name(), Mosquitto.name(), 0, "at least 1");
    table.compare(Reliable.name(), COMPUTING, 6, "as near 1 as can be");
    table.compare(Reliable.name(), COMPUTING_HALF, 6, "as near 1 as can be");
    table.compare(Reliable.name(), RawDurable.name(), 6, "under 5,000 µs itself");
    table.compare(Reliable.name(), ActixStored.name(), 0, "as near 1 as can be");
    table.compare(Reliable.name(), ActixStored.name(), 4, "as near 1 as can be");
    table.compare(Reliable.name(), ActixStored.name(), 6, "as near 1 as can be");
    table.compare(Reliable.name(), JetStream.name(), 0, "at least 20");
    table.compare(Reliable.name(), Literal.name(), 0, "at least 15");
    is_whole
}

/// What the hub did in its turn.
#[derive(Clone, Copy)]
struct Hub {
    /// Deliveries a second at full speed.
    rate: f64,
    /// CPU of each at half of that, in microseconds.
    each: f64,
}

/// Only computing at half the hub's rate, when it is asked for something, so many microseconds for each
/// delivery.
async fn computing(Hub { rate, .. }: Hub, each: f64, plan: &'static Plan) -> Vec<f64> {
    let asked = rate / 4.0;
    let piece = Duration::from_secs_f64(each * 2.0 * per_beat(asked) as f64 / 1e6);
    let (p50, p99, late) = computing::at(piece, BEAT, plan.at_rate, LATE);
    vec![f64::NAN, f64::NAN, f64::NAN, asked, each, p50, p99, late]
}

async fn groups(group: i64, plan: &'static Plan) -> Vec<f64> {
    let data = Tally::data(Duration::ZERO);
    let rate = sqlite::groups(group, &data, plan.flat_out);
    let (mut asked, mut p50, mut p99) = (f64::NAN, f64::NAN, f64::NAN);
    if group > 1 {
        // About as many events a second as the hub is asked for at half its rate.
        asked = rate / 4.0;
        let each = (asked * BEAT.as_secs_f64()) as i64;
        (p50, p99) = sqlite::groups_at(each.max(1), BEAT, &data, plan.at_rate);
    }
    vec![rate, f64::NAN, f64::NAN, asked, f64::NAN, p50, p99, f64::NAN]
}

/// How many batches of each publisher take a few seconds.
fn batches(candidate: Candidate, plan: &Plan) -> u64 {
    let part = match candidate {
        JetStream | Literal => 10,
        JetStreamSync => 40,
        _ => 1,
    };
    (plan.batches / part).max(1)
}

async fn measure(
    candidate: Candidate,
    hub: Rc<Cell<Option<Hub>>>,
    plan: &'static Plan,
) -> Vec<f64> {
    if candidate == Reliable {
        // Should its turn fail, the others have their own.
        hub.set(None);
    }
    let server = Rc::new(Server::start(candidate).await);
    let devices: Vec<_> =
        (0..plan.users * 2).map(|n| who(&server, &format!("user-{}", n / 2), n)).collect();
    let subscribers = open_all(&server, &devices, Opening::New).await;
    let batches = batches(candidate, plan);
    let per_device = PUBLISHERS * batches * BATCH / plan.users;
    let deliveries = (per_device * plan.users * 2) as f64;

    let tally = Tally::new(Times::PassedOver);
    let mut publishers = Vec::new();
    for _ in 0..PUBLISHERS {
        publishers.push(Publisher::open(&server, &[], Until::Acked).await);
    }
    let (start, before) = (tally.now(), server.cpu());
    let following = follow_all(subscribers, per_device, &tally);
    let publishing: Vec<_> = publishers
        .into_iter()
        .map(|publisher| spawn_local(publish(publisher, batches, plan.users, Rc::clone(&tally))))
        .collect();
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let mut subscribers = Vec::new();
    for subscriber in following {
        subscribers.push(subscriber.await.unwrap());
    }
    let settling: Vec<_> = subscribers.into_iter().map(|one| spawn_local(one.settle())).collect();
    let mut subscribers = Vec::new();
    for subscriber in settling {
        subscribers.push(subscriber.await.unwrap());
    }
    let rate = deliveries / (tally.now() - start).as_secs_f64();
    let each = (server.cpu() - before).as_secs_f64() * 1e6 / deliveries;
    let mut figures = vec![rate, each, tally.again() as f64];
    figures.extend(match candidate {
        RawDurable | ActixStored | Reliable | Mosquitto | JetStream => {
            let asked = hub.get().map_or(rate, |hub| rate.min(hub.rate)) / 4.0;
            let figures = at(asked, &server, subscribers, plan).await;
            if candidate == Reliable {
                hub.set(Some(Hub { rate, each: figures[1] }));
            }
            figures
        }
        _ => [f64::NAN; 5],
    });
    figures
}

async fn publish(mut publisher: Publisher, batches: u64, users: u64, tally: Rc<Tally>) {
    for _ in 0..batches {
        publisher.publish(&batch(0, BATCH, users, tally.now())).await;
    }
}

/// Events to one user after the other, from the `from`th on.
fn batch(from: u64, count: u64, users: u64, due: Duration) -> Vec<Published> {
    let data = Tally::data(due);
    let event = |n| Published { topic: format!("user-{}", n % users), data: data.clone() };
    (from..from + count).map(event).collect()
}

/// How many events a batch has at so many a second.
fn per_beat(events_per_second: f64) -> u64 {
    ((events_per_second * BEAT.as_secs_f64()) as u64).max(1)
}

/// What was asked for; the server's CPU per delivery; p50 and p99 of the time from when an event is due
/// until a session acks it; how many percent of the batches the load itself had late.
async fn at(
    events_per_second: f64,
    server: &Server,
    subscribers: Vec<Subscriber>,
    plan: &Plan,
) -> [f64; 5] {
    let tally = Tally::new(Times::Read);
    let _following = follow_all(subscribers, ENDLESS, &tally);
    let mut ways = Vec::new();
    for _ in 0..PUBLISHERS_AT_RATE {
        let mut publisher = Publisher::open(server, &[], Until::Sent).await;
        let (sender, mut orders) = unbounded_channel::<Vec<Published>>();
        spawn_local(async move {
            while let Some(events) = orders.recv().await {
                publisher.publish(&events).await;
            }
        });
        ways.push(sender);
    }
    let count = per_beat(events_per_second);
    let beats = plan.at_rate.as_millis() as u64 / BEAT.as_millis() as u64;
    let (start, before, mut late) = (tally.now(), server.cpu(), 0);
    for beat in 0..beats {
        let due = start + BEAT * beat as u32;
        until(tally.at(due)).await;
        late += u64::from(tally.now() - due > LATE);
        let events = batch(beat * count, count, plan.users, due);
        ways[(beat % PUBLISHERS_AT_RATE) as usize].send(events).unwrap();
    }
    arrived(&tally, beats * count * 2).await;
    let each = (server.cpu() - before).as_secs_f64() * 1e6 / (beats * count * 2) as f64;
    let late = late as f64 * 100.0 / beats as f64;
    [events_per_second, each, tally.percentile(50.0), tally.percentile(99.0), late]
}
