//! Disks that are full, disks that cannot sync, and databases that somebody else has locked.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use tokio::time::Instant;

use crate::hub::Extra;
use crate::life::Life;
use crate::{run, scale};

/// How long a hub waits for a lock in these tests, in milliseconds.
const LOCK_WAIT_MS: u64 = 300;
/// The longest a publisher may wait for its refusal, on a machine that has other things to do.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// What `storage.c` makes a sync take.
const SLOW_SYNC: Duration = Duration::from_millis(400);
/// Longer than the test of a slow disk takes.
const SLOW_MAX: Duration = Duration::from_secs(120);

/// A hub whose writes and syncs fail while a file of that name is in its folder.
fn failing_disk(folder: &Path) -> Option<Extra> {
    let library = folder.join("storage.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/storage.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return None;
    }
    let environment = vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("FAULTS_FOLDER".to_owned(), folder.display().to_string()),
    ];
    Some(Extra { settings: Vec::new(), environment })
}

/// A hub on such a disk; none where that cannot be had, which is said.
async fn life_on_failing_disk(fault: &str) -> Option<Life> {
    let folder = tempfile::tempdir().unwrap();
    let Some(extra) = failing_disk(folder.path()) else {
        eprintln!("left out: {fault} needs cc");
        return None;
    };
    let url = format!("sqlite://{}", folder.path().join("hub.db").display());
    Some(Life::start_on(folder, url, extra).await)
}

fn disk_fails(fault: &'static str) {
    run(async {
        let Some(mut life) = life_on_failing_disk(fault).await else { return };
        for _ in 0..2 {
            std::fs::write(life.file(fault), "").unwrap();
            life.expect_refusals(5 * scale(), REFUSED_WITHIN).await;
            std::fs::remove_file(life.file(fault)).unwrap();
            life.expect_recovery().await;
        }
        // What was answered is on the disk, not only in memory.
        life.process.kill();
        life.process.restart().await;
        life.expect_recovery().await;
        life.end(fault).await;
    });
}

#[test]
fn a_full_disk_refuses_publishers_loses_nothing_and_recovers() {
    disk_fails("full");
}

#[test]
fn a_disk_that_cannot_sync_refuses_publishers_loses_nothing_and_recovers() {
    disk_fails("fsync");
}

#[test]
fn a_slow_disk_makes_publishers_wait_and_loses_nothing() {
    run(async {
        let Some(life) = life_on_failing_disk("a slow disk").await else { return };
        std::fs::write(life.file("slow"), "").unwrap();
        let (mut waits, deadline) = (0, Instant::now() + SLOW_MAX);
        while waits < 5 * scale() {
            let answer = life.publish("probe").await;
            assert_eq!(answer.status, 201, "{answer:?}");
            assert!(answer.took < REFUSED_WITHIN, "{answer:?}");
            // What was on its way when the disk became slow is not.
            waits += usize::from(answer.took >= SLOW_SYNC);
            assert!(Instant::now() < deadline, "the disk is not slow");
        }
        std::fs::remove_file(life.file("slow")).unwrap();
        life.expect_recovery().await;
        life.end("slow disk").await;
    });
}

fn patient() -> Extra {
    let settings = vec![format!("database.busy_timeout_ms={LOCK_WAIT_MS}")];
    Extra { settings, environment: Vec::new() }
}

async fn is_locked(life: &Life, mut other: impl SimpleConnection, lock: &str) {
    for _ in 0..2 {
        other.batch_execute(lock).unwrap();
        life.expect_refusals(3 * scale(), REFUSED_WITHIN).await;
        other.batch_execute("COMMIT").unwrap();
        life.expect_recovery().await;
    }
}

#[test]
fn a_locked_sqlite_refuses_publishers_in_time_and_recovers() {
    run(async {
        let life = Life::start(|_| patient()).await;
        let path = life.file("hub.db").display().to_string();
        let mut other = SqliteConnection::establish(&path).unwrap();
        other.batch_execute("PRAGMA busy_timeout = 20000").unwrap();
        is_locked(&life, other, "BEGIN EXCLUSIVE").await;
        life.end("locked SQLite").await;
    });
}

#[test]
fn a_locked_postgres_refuses_publishers_in_time_and_recovers() {
    let Ok(admin) = std::env::var("STAFFETTA_TEST_POSTGRES") else {
        eprintln!("left out on Postgres: STAFFETTA_TEST_POSTGRES is not set");
        return;
    };
    let name = format!("faults_{}", uuid::Uuid::new_v4().simple());
    let mut connection = PgConnection::establish(&admin).unwrap();
    connection.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    run(async {
        let url = format!("{server}/{name}");
        let life = Life::start_on(tempfile::tempdir().unwrap(), url, patient()).await;
        let other = PgConnection::establish(&life.url).unwrap();
        is_locked(&life, other, "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE").await;
        life.end("locked Postgres").await;
    });
    connection.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
}
