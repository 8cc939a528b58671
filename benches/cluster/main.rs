//! Three nodes with one Postgres and one NATS, beside one node with that Postgres: what the hop costs
//! in time, and what it costs in CPU. `benches/run.sh cluster`.
//!
//! Left out where there is no `nats-server`, or no Postgres (STAFFETTA_TEST_POSTGRES). The nodes run on
//! core 0, the load on core 1. Machines are noisy: read the ratios.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on says so, and measures with the clock"
)]

mod server;
mod socket;

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use staffetta::auth::Scope;

use crate::server::Server;
use crate::socket::{Http, Ws};

const USERS: usize = 240;
const BATCH: usize = 240;
const BATCHES: usize = 60;
const ROUNDS: usize = 3;

/// Events per second while the time is taken, for how long, and which of them count.
const RATE: usize = 1_000;
const TIMED: usize = 6 * RATE;
const TIMED_USERS: usize = 60;
const WARM: usize = RATE;
const PUBLISHERS: usize = 16;

/// Longer than anything takes on any machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where a user's events are published and where the user is connected, as seen from the home.
#[derive(Clone, Copy)]
struct Places {
    published: usize,
    connected: usize,
}

const AT_HOME: Places = Places { published: 0, connected: 0 };
const NEXT_DOOR: Places = Places { published: 0, connected: 1 };
const NOWHERE_AT_HOME: Places = Places { published: 1, connected: 2 };

fn main() {
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-cp", "1", &pid]).output();
    if !pinned.is_ok_and(|output| output.status.success()) {
        println!("(not pinned: taskset does not work here)");
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
}

async fn run() {
    let Ok(admin) = std::env::var("STAFFETTA_TEST_POSTGRES") else {
        println!(
            "cluster: left out, STAFFETTA_TEST_POSTGRES is not set (tests/postgres.sh sets it)"
        );
        return;
    };
    if !Server::has_nats() {
        println!("cluster: left out, nats-server is not installed");
        return;
    }
    println!("three nodes beside one, each with one worker, one Postgres for all of them");
    let one = Nodes::start(&admin, 1).await;
    let three = Nodes::start(&admin, 3).await;
    time(&one, &three).await;
    cost(&one, &three).await;
}

async fn time(one: &Nodes, three: &Nodes) {
    println!("  from publishing to the frame, {RATE} events/s");
    let alone = timed(one, AT_HOME).await;
    said("one node", alone, None);
    for (name, places) in [
        ("three, all at home", AT_HOME),
        ("three, connected to another node", NEXT_DOOR),
        ("three, published on a third too", NOWHERE_AT_HOME),
    ] {
        said(name, timed(three, places).await, Some(alone));
    }
}

fn said(name: &str, (p50, p99): (f64, f64), alone: Option<(f64, f64)>) {
    let more = alone.map_or(String::new(), |alone| {
        format!("p50 {:+6.0} µs (asked: below 1000)", p50 - alone.0)
    });
    println!("    {name:<33} p50 {p50:6.0} µs, p99 {p99:6.0} µs  {more}");
}

async fn cost(one: &Nodes, three: &Nodes) {
    println!("  durable acked events per CPU second of the nodes, {USERS} users");
    let (mut alone, mut home, mut away) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(per_cpu_second(one, AT_HOME).await);
        home.push(per_cpu_second(three, AT_HOME).await);
        away.push(per_cpu_second(three, NOWHERE_AT_HOME).await);
    }
    let alone = median(&mut alone);
    println!("    one node                          {alone:9.0}");
    for (name, mut rates, asked) in
        [("three, all at home", home, 0.9), ("three, nothing at home", away, 0.6)]
    {
        let (rate, all) = (median(&mut rates), rates);
        let ratio = rate / alone;
        let all: Vec<_> = all.iter().map(|rate| rate.round()).collect();
        println!("    {name:<33} {rate:9.0}   {ratio:.2} times (asked: {asked})   {all:?}");
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// One node, or several, with a database of their own.
struct Nodes {
    nodes: Vec<Server>,
    /// By the place of their home.
    users: Vec<Vec<String>>,
    _nats: Option<Server>,
    _database: Database,
}

struct Database {
    admin: String,
    name: String,
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = PgConnection::establish(&self.admin).map(|mut c| c.batch_execute(&drop));
        if !matches!(dropped, Ok(Ok(()))) {
            println!("  (the database {} stays)", self.name);
        }
    }
}

impl Nodes {
    async fn start(admin: &str, count: usize) -> Self {
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::establish(admin).unwrap();
        connection.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let url = format!("database.url={}/{name}", admin.rsplit_once('/').unwrap().0);
        let database = Database { admin: admin.to_owned(), name };
        let mut settings = vec![
            url,
            "limits.frames_per_minute_max=10000000".to_owned(),
            "limits.connections_per_address_max=100000".to_owned(),
        ];
        let nats = if count > 1 { Some(Server::nats().await) } else { None };
        if let Some(nats) = &nats {
            let bus = format!("cluster.nats_url=nats://127.0.0.1:{}", nats.port);
            settings.extend(["cluster.mode=nats".to_owned(), bus]);
        }
        let mut nodes: Vec<Server> = Vec::new();
        for _ in 0..count {
            let mut settings = settings.clone();
            if let Some(first) = nodes.first() {
                settings.push(format!("auth.secret_file={}", first.secret_file().display()));
            }
            let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
            nodes.push(Server::hub(&settings).await);
        }
        let mut started =
            Self { nodes, users: vec![Vec::new(); count], _nats: nats, _database: database };
        started.settle().await;
        started
    }

    /// Waits until the slots are shared out, and finds users for each node.
    async fn settle(&mut self) {
        let start = Instant::now();
        let share = USERS / self.nodes.len();
        loop {
            assert!(start.elapsed() < DEADLINE, "the slots are not shared out");
            self.users.iter_mut().for_each(Vec::clear);
            for number in 0..USERS * 4 {
                let user = format!("user-{number}");
                if let Some(home) = self.home(&user).await
                    && self.users[home].len() < share
                {
                    self.users[home].push(user);
                }
            }
            if self.users.iter().all(|users| users.len() == share) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn home(&self, user: &str) -> Option<usize> {
        let path = format!("/api/v1/route?user={user}");
        for (place, node) in self.nodes.iter().enumerate() {
            let mut http = Http::connect(node.port).await;
            let (_, text) =
                http.call("GET", &path, &self.token("app", &[Scope::Publish]), "").await;
            if text.contains("\"here\":true") {
                return Some(place);
            }
        }
        None
    }

    fn token(&self, user: &str, scopes: &[Scope]) -> String {
        self.nodes[0].token(user, scopes)
    }

    fn port(&self, place: usize) -> u16 {
        self.nodes[place % self.nodes.len()].port
    }

    fn cpu(&self) -> Duration {
        self.nodes.iter().map(Server::cpu).sum()
    }

    /// A device of each of these users, who are at home there.
    async fn devices(&self, home: usize, users: &[String], places: Places) -> Vec<Ws> {
        let mut devices = Vec::new();
        for user in users {
            let token = self.token(user, &[]);
            let port = self.port(home + places.connected);
            devices.push(Ws::attach(port, &token, &format!("{user}-tab")).await);
        }
        devices
    }
}

/// p50 and p99 from publishing to the frame, in microseconds, for users of one home: as many
/// transactions as with one node.
async fn timed(nodes: &Nodes, places: Places) -> (f64, f64) {
    let took = Arc::new(Mutex::new(vec![(None, None); TIMED]));
    let users = &nodes.users[0][..TIMED_USERS];
    let mut reading = Vec::new();
    for device in nodes.devices(0, users, places).await {
        let count = TIMED / TIMED_USERS;
        reading.push(tokio::spawn(note_arrivals(device, count, Arc::clone(&took))));
    }
    let (start, users, port) =
        (Instant::now(), Arc::new(users.to_vec()), nodes.port(places.published));
    let token = nodes.token("app", &[Scope::Publish]);
    let mut publishing = Vec::new();
    for first in 0..PUBLISHERS {
        let (users, token, took) = (Arc::clone(&users), token.clone(), Arc::clone(&took));
        publishing.push(tokio::spawn(publish_in_time(first, port, users, token, start, took)));
    }
    for task in publishing.into_iter().chain(reading) {
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }
    let took = took.lock().unwrap();
    let mut took: Vec<f64> = took[WARM..]
        .iter()
        .filter_map(|&(sent, heard): &(Option<Instant>, Option<Instant>)| Some(heard? - sent?))
        .map(|took| took.as_secs_f64() * 1e6)
        .collect();
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// When each event was sent and heard, by its number.
type Times = Arc<Mutex<Vec<(Option<Instant>, Option<Instant>)>>>;

async fn note_arrivals(mut device: Ws, count: usize, took: Times) {
    for _ in 0..count {
        let event = device.next().await;
        let heard = Instant::now();
        let text = std::str::from_utf8(&event).unwrap();
        let at = text.find("\"n\":").unwrap() + 4;
        let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
        took.lock().unwrap()[digits.parse::<usize>().unwrap()].1.get_or_insert(heard);
        device.ack(text).await;
    }
}

/// Publishes every sixteenth event when it is due.
async fn publish_in_time(
    first: usize,
    port: u16,
    users: Arc<Vec<String>>,
    token: String,
    start: Instant,
    took: Times,
) {
    let mut http = Http::connect(port).await;
    for number in (first..TIMED).step_by(PUBLISHERS) {
        let user = &users[number % users.len()];
        let due = start + Duration::from_secs(number as u64) / RATE as u32;
        tokio::time::sleep_until(due.into()).await;
        took.lock().unwrap()[number].0 = Some(Instant::now());
        let body = format!(r#"{{"type":"added","data":{{"n":{number}}}}}"#);
        let path = format!("/api/v1/users/{user}/events");
        let (status, text) = http.call("POST", &path, &token, &body).await;
        assert_eq!(status, 201, "{text}");
    }
}

/// Durable, delivered and acked events for each second of CPU of all nodes.
async fn per_cpu_second(nodes: &Nodes, places: Places) -> f64 {
    let mut devices = Vec::new();
    for (home, users) in nodes.users.iter().enumerate() {
        devices.extend(nodes.devices(home, users, places).await);
    }
    let before = nodes.cpu();
    let per_user = BATCH * BATCHES / USERS;
    let mut tasks = Vec::new();
    for device in devices {
        tasks.push(tokio::spawn(async move { drop(device.ack_all(per_user).await) }));
    }
    for (home, users) in nodes.users.iter().enumerate() {
        let events: Vec<_> = (0..BATCH)
            .map(|n| {
                let user = &users[n % users.len()];
                format!(r#"{{"user":"{user}","type":"added","data":{{"id":"photo-{n}"}}}}"#)
            })
            .collect();
        let (body, token) =
            (format!("[{}]", events.join(",")), nodes.token("app", &[Scope::Publish]));
        let (port, batches) = (nodes.port(home + places.published), BATCHES / nodes.users.len());
        tasks.push(tokio::spawn(async move {
            let mut http = Http::connect(port).await;
            for _ in 0..batches {
                let (status, text) = http.call("POST", "/api/v1/events", &token, &body).await;
                assert_eq!(status, 200, "{text}");
                assert!(!text.contains("\"detail\""), "{text}");
            }
        }));
    }
    for task in tasks {
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }
    (BATCH * BATCHES) as f64 / (nodes.cpu() - before).as_secs_f64()
}
