//! What the machine allows: raw framed writes, and SQLite in groups.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};

/// The other life of this program: takes connections, then a line "N EVENTS BYTES RATE", and writes
/// that many frames to each, one write per connection and event.
pub(crate) fn raw_loop(port: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    // The first connection only asked whether anybody is here.
    let _ = listener.accept();
    let (mut control, _) = listener.accept().unwrap();
    let mut line = [0; 64];
    let read = control.read(&mut line).unwrap();
    let text = String::from_utf8_lossy(&line[..read]).into_owned();
    let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let [connections, events, bytes, rate] = numbers[..] else { return };
    let mut sockets: Vec<_> = (0..connections).map(|_| listener.accept().unwrap().0).collect();
    for socket in &sockets {
        socket.set_nodelay(true).unwrap();
    }
    let mut frame = vec![0x81, 126];
    frame.extend((bytes as u16).to_be_bytes());
    frame.extend(vec![b'x'; bytes as usize]);
    control.write_all(b"go").unwrap();
    let start = Instant::now();
    for event in 0..events {
        let due = start + Duration::from_micros(event * 1_000_000 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for socket in &mut sockets {
            socket.write_all(&frame).unwrap();
        }
    }
    // Stays until it is killed, so that its CPU time can be read.
    let _ = control.read(&mut line);
    std::thread::park();
}

/// A database that commits with FULL.
pub(crate) fn database(folder: &std::path::Path) -> SqliteConnection {
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
pub(crate) fn insert(connection: &mut SqliteConnection, n: i64) {
    sql_query("INSERT INTO events VALUES (?, ?, ?, ?)")
        .bind::<Text, _>(format!("user-{}", n % 500))
        .bind::<BigInt, _>(n)
        .bind::<Text, _>(uuid::Uuid::now_v7().to_string())
        .bind::<Text, _>("{\"id\":\"photo-1\"}")
        .execute(connection)
        .unwrap();
}

/// Events per second when groups of `group` are committed with FULL, for two seconds.
pub(crate) fn sqlite_groups(group: i64) -> f64 {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut connection = database(folder.path());
    let (start, mut n) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(2) {
        connection.batch_execute("BEGIN IMMEDIATE").unwrap();
        for _ in 0..group {
            insert(&mut connection, n);
            n += 1;
        }
        connection.batch_execute("COMMIT").unwrap();
    }
    n as f64 / start.elapsed().as_secs_f64()
}
