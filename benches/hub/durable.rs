//! Durable acked deliveries: every event committed with FULL before its publisher is answered,
//! 500 users with two sessions each, everything acked. And the same beside a million owed events.

use std::time::{Duration, Instant};

use staffetta::auth::Scope;

use crate::limits;
use crate::server::Server;
use crate::socket::{Http, Ws};

const USERS: usize = 500;
const BATCH: usize = 500;
const PUBLISHERS: usize = 4;
const BATCHES: usize = 40;

pub(crate) async fn run() {
    println!("durable acked deliveries/s, {USERS} users with 2 sessions, batches of {BATCH}");
    let groups = limits::sqlite_groups(256);
    let literal = limits::literal_design();
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
    for device in acking {
        device.await.unwrap();
    }
    let deliveries = (per_device * USERS * 2) as f64;
    let (took, cpu) = (start.elapsed().as_secs_f64(), (server.cpu() - before).as_secs_f64());
    let rate = deliveries / took;
    println!("  raw SQLite, groups of 256, FULL   {groups:9.0} events/s");
    println!("  literal design, no sockets        {literal:9.0} /s");
    println!(
        "  staffetta                         {rate:9.0} /s   {:.1} µs CPU each",
        cpu * 1e6 / deliveries
    );
    println!(
        "  against the literal design        {:9.1} times (asked: at least 15)",
        rate / literal
    );
    println!("  events against raw SQLite         {:9.2}", rate / 2.0 / groups);
    println!(
        "  redeliveries                      {:9.0}",
        server.metric("staffetta_redeliveries_total").await
    );
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
