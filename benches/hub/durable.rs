//! Durable acked deliveries: every event committed with FULL before its publisher is answered,
//! 500 users with two sessions each, everything acked; mosquitto under the same load, if it is
//! installed. And live traffic beside a million owed events.

use std::time::{Duration, Instant};

use staffetta::auth::Scope;

use crate::server::Server;
use crate::socket::{Http, Ws};
use crate::{limits, literal, mqtt};

pub(crate) const USERS: usize = 500;
pub(crate) const BATCH: usize = 500;
pub(crate) const PUBLISHERS: usize = 4;
pub(crate) const BATCHES: usize = 40;
const ROUNDS: usize = 3;

/// Longer than a round takes on any machine.
const SETTLED_IN: Duration = Duration::from_secs(60);

/// What a server did, and what it took.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// Deliveries per second.
    rate: f64,
    /// CPU time per delivery, in microseconds.
    cpu_us: f64,
}

impl Figure {
    pub(crate) fn new(deliveries: usize, took: Duration, cpu: Duration) -> Self {
        let deliveries = deliveries as f64;
        Self { rate: deliveries / took.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / deliveries }
    }
}

pub(crate) async fn run() {
    println!("durable acked deliveries/s, {USERS} users with 2 sessions, batches of {BATCH}");
    let has_peer = mqtt::is_installed();
    let (mut groups, mut singles, mut redeliveries) = (Vec::new(), Vec::new(), 0.0);
    let (mut literals, mut hubs, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        groups.push(limits::sqlite_groups(256));
        singles.push(limits::sqlite_groups(1));
        literals.push(literal::run().await);
        let (figure, again) = hub().await;
        hubs.push(figure);
        redeliveries += again;
        if has_peer {
            peers.push(mqtt::run().await);
        }
    }
    groups.sort_by(f64::total_cmp);
    singles.sort_by(f64::total_cmp);
    let (groups, single) = (groups[ROUNDS / 2], singles[ROUNDS / 2]);
    println!("  raw SQLite, groups of 256, FULL   {groups:9.0} events/s");
    println!("  raw SQLite, one at a time, FULL   {single:9.0} events/s");
    let literal = median(&mut literals);
    said("literal design", literal, &literals);
    let hub = median(&mut hubs);
    said("staffetta", hub, &hubs);
    println!(
        "  against the literal design        {:9.1} times (asked: at least 15)",
        hub.rate / literal.rate
    );
    println!("  events against raw SQLite         {:9.2}", hub.rate / 2.0 / groups);
    println!("  redeliveries                      {redeliveries:9.0}");
    if !has_peer {
        println!("  mosquitto is not installed: not compared with");
        return;
    }
    let peer = median(&mut peers);
    said("mosquitto, QoS 1, nothing stored", peer, &peers);
    println!(
        "  against mosquitto                 {:9.2} times (asked: at least 0.5), CPU each {:.2} times",
        hub.rate / peer.rate,
        hub.cpu_us / peer.cpu_us
    );
}

/// Sorts, and says the one in the middle.
fn median(figures: &mut [Figure]) -> Figure {
    figures.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    figures[figures.len() / 2]
}

fn said(name: &str, Figure { rate, cpu_us }: Figure, all: &[Figure]) {
    let all: Vec<_> = all.iter().map(|figure| figure.rate.round()).collect();
    println!("  {name:<33} {rate:9.0} /s   {cpu_us:.1} µs CPU each   {all:?}");
}

/// The hub under this load, and how often it sent something again.
async fn hub() -> (Figure, f64) {
    let server = Server::hub(&["limits.frames_per_minute_max=10000000"]).await;
    let mut devices = Vec::new();
    for user in 0..USERS {
        let token = server.token(&format!("user-{user}"), &[]);
        for device in 0..2 {
            let session = format!("session-{user}-{device}");
            devices.push(Ws::attach(server.port, &token, Some(&session)).await);
        }
    }
    let per_device = PUBLISHERS * BATCHES * BATCH / USERS;
    let (start, before) = (Instant::now(), server.cpu());
    let acking: Vec<_> =
        devices.into_iter().map(|device| tokio::spawn(device.ack_all(per_device))).collect();
    let mut publishing = Vec::new();
    for _ in 0..PUBLISHERS {
        let token = server.token("app", &[Scope::Publish]);
        publishing.push(tokio::spawn(publish(server.port, token)));
    }
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let mut devices = Vec::new();
    for device in acking {
        devices.push(device.await.unwrap());
    }
    // Until every ack is settled, not only sent; the acks of a device that left count no more.
    let deliveries = per_device * USERS * 2;
    while server.metric("staffetta_acks_total").await < deliveries as f64 {
        assert!(start.elapsed() < SETTLED_IN, "acks are lost");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let figure = Figure::new(deliveries, start.elapsed(), server.cpu() - before);
    (figure, server.metric("staffetta_redeliveries_total").await)
}

async fn publish(port: u16, token: String) {
    let mut http = Http::connect(port).await;
    let events: Vec<_> = (0..BATCH)
        .map(|n| {
            let user = n % USERS;
            format!(r#"{{"user":"user-{user}","type":"added","data":{{"id":"photo-{n}"}}}}"#)
        })
        .collect();
    let body = format!("[{}]", events.join(","));
    for _ in 0..BATCHES {
        let (status, text) = http.call("POST", "/api/v1/events", &token, &body).await;
        assert_eq!(status, 200, "{text}");
        assert!(!text.contains("\"detail\""), "{text}");
    }
}

/// A million owed events of offline sessions must not slow anybody else down.
pub(crate) async fn backlog() {
    println!("a million events owed to offline sessions, beside live traffic");
    let server = Server::hub(&["limits.frames_per_minute_max=10000000"]).await;
    let empty = live(&server).await;
    let idle_before = idle_cpu(&server).await;
    for user in 0..USERS {
        let token = server.token(&format!("away-{user}"), &[]);
        drop(Ws::attach(server.port, &token, Some(&format!("away-{user}"))).await);
    }
    let token = server.token("app", &[Scope::Publish]);
    let mut http = Http::connect(server.port).await;
    let events: Vec<_> = (0..1_000)
        .map(|n| format!(r#"{{"user":"away-{}","type":"added","data":{{"n":{n}}}}}"#, n % USERS))
        .collect();
    let body = format!("[{}]", events.join(","));
    for _ in 0..1_000 {
        let (status, text) = http.call("POST", "/api/v1/events", &token, &body).await;
        assert_eq!(status, 200, "{text}");
    }
    let full = live(&server).await;
    let idle_after = idle_cpu(&server).await;
    println!("  p50, p99 of publish to ack, empty    {:7.0} {:7.0} µs", empty.0, empty.1);
    println!("  the same beside the backlog          {:7.0} {:7.0} µs", full.0, full.1);
    println!(
        "  p99 ratio                            {:7.2}         (asked: at most 1.1)",
        full.1 / empty.1
    );
    println!(
        "  idle CPU before and after            {idle_before:7.2} {idle_after:7.2} %  (asked: less than 1 more)"
    );
}

/// p50 and p99 of publishing with `wait=acked` to a live session, in microseconds.
async fn live(server: &Server) -> (f64, f64) {
    let device = Ws::attach(server.port, &server.token("live", &[]), Some("live")).await;
    let count = 2_000;
    let acking = tokio::spawn(device.ack_all(count));
    let token = server.token("app", &[Scope::Publish]);
    let mut http = Http::connect(server.port).await;
    let path = "/api/v1/users/live/events?wait=acked";
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let (status, text) = http.call("POST", path, &token, r#"{"type":"added"}"#).await;
        assert_eq!(status, 201, "{text}");
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    acking.await.unwrap();
    took.sort_by(f64::total_cmp);
    (took[count / 2], took[count * 99 / 100])
}

async fn idle_cpu(server: &Server) -> f64 {
    let before = server.cpu();
    tokio::time::sleep(Duration::from_secs(5)).await;
    (server.cpu() - before).as_secs_f64() / 5.0 * 100.0
}
