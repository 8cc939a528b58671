//! What SQLite allows: events in groups, each group committed with FULL.

use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};

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

/// Events per second when groups of `group` are committed with FULL.
pub(crate) fn groups(group: i64, data: &str, during: Duration) -> f64 {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut connection = database(folder.path());
    let (start, mut n) = (Instant::now(), 0);
    while start.elapsed() < during {
        connection.batch_execute("BEGIN IMMEDIATE").unwrap();
        for _ in 0..group {
            insert(&mut connection, n, &format!("user-{}", n % 500), data);
            n += 1;
        }
        connection.batch_execute("COMMIT").unwrap();
    }
    n as f64 / start.elapsed().as_secs_f64()
}
