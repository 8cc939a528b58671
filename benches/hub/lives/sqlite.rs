//! What SQLite allows: events in groups, each group committed with FULL.

use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
use hdrhistogram::Histogram;

/// A database that is only appended to, and commits with FULL.
pub(crate) fn log(folder: &Path) -> SqliteConnection {
    let mut connection = database(folder);
    connection
        .batch_execute("PRAGMA wal_autocheckpoint = 0; DROP INDEX by_place; DROP INDEX by_name")
        .unwrap();
    connection
}

/// A database that commits with FULL.
pub(crate) fn database(folder: &Path) -> SqliteConnection {
    let mut connection =
        SqliteConnection::establish(&folder.join("limit.db").to_string_lossy()).unwrap();
    connection
        .batch_execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE events (user_id TEXT, seq BIGINT, event_id TEXT, data TEXT);
             CREATE UNIQUE INDEX by_place ON events (user_id, seq);
             CREATE UNIQUE INDEX by_name ON events (event_id);
             CREATE TABLE deliveries (event_id TEXT, session_id TEXT, state TEXT, sent_at BIGINT);
             CREATE INDEX by_session ON deliveries (event_id, session_id);",
        )
        .unwrap();
    connection
}

/// Inserts the `n`th event.
pub(crate) fn insert(connection: &mut SqliteConnection, n: i64, user: &str, data: &str) {
    sql_query("INSERT INTO events VALUES (?, ?, ?, ?)")
        .bind::<Text, _>(user)
        .bind::<BigInt, _>(n)
        .bind::<Text, _>(uuid::Uuid::now_v7().to_string())
        .bind::<Text, _>(data)
        .execute(connection)
        .unwrap();
}

/// A new database, and how many events it has.
struct Limit {
    connection: SqliteConnection,
    events: i64,
    _folder: tempfile::TempDir,
}

impl Limit {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { connection: database(folder.path()), events: 0, _folder: folder }
    }

    fn commit(&mut self, group: i64, data: &str) {
        self.connection.batch_execute("BEGIN IMMEDIATE").unwrap();
        for n in self.events..self.events + group {
            insert(&mut self.connection, n, &format!("user-{}", n % 500), data);
        }
        self.events += group;
        self.connection.batch_execute("COMMIT").unwrap();
    }
}

/// Events per second when groups of `group` are committed with FULL.
pub(crate) fn groups(group: i64, data: &str, during: Duration) -> f64 {
    let mut limit = Limit::new();
    let start = Instant::now();
    while start.elapsed() < during {
        limit.commit(group, data);
    }
    limit.events as f64 / start.elapsed().as_secs_f64()
}

/// p50 and p99 in microseconds of the time from when a group is due, one every `beat`, until it is
/// committed with FULL.
pub(crate) fn groups_at(group: i64, beat: Duration, data: &str, during: Duration) -> (f64, f64) {
    let mut limit = Limit::new();
    let mut latencies = Histogram::<u64>::new(3).unwrap();
    let (start, mut due) = (Instant::now(), Duration::ZERO);
    while due < during {
        while start.elapsed() < due {
            std::hint::spin_loop();
        }
        limit.commit(group, data);
        latencies.record((start.elapsed() - due).as_micros() as u64).unwrap();
        due += beat;
    }
    let at = |percent| latencies.value_at_percentile(percent) as f64;
    (at(50.0), at(99.0))
}
