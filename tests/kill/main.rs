//! The hub is killed with SIGKILL again and again, while publishers publish and devices follow;
//! then what publishers were promised is compared with what each session applied.
//!
//! `ROUNDS=1000` makes it a long one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod device;
mod history;
mod hub;
mod publisher;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use history::History;
use hub::{Extra, Process};

const ROUNDS: u64 = 20;
const USERS: usize = 4;
const PUBLISHERS: usize = 3;

fn rounds() -> u64 {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

#[test]
fn kill_9_loses_nothing_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("hub.db").display());
    run(folder.path(), &url);
}

#[test]
fn kill_9_loses_nothing_on_postgres() {
    let Ok(admin) = std::env::var("STAFFETTA_TEST_POSTGRES") else {
        eprintln!("left out on Postgres: STAFFETTA_TEST_POSTGRES is not set");
        return;
    };
    use diesel::Connection;
    use diesel::connection::SimpleConnection;
    let name = format!("kill_{}", uuid::Uuid::new_v4().simple());
    let mut connection = diesel::PgConnection::establish(&admin).unwrap();
    connection.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    run(folder.path(), &format!("{server}/{name}"));
    connection.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
}

fn run(folder: &std::path::Path, url: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut process = Process::start(folder, url, Extra::default()).await;
        let history = Arc::new(History::default());
        let over = Arc::new(AtomicBool::new(false));
        let mut devices = Vec::new();
        let mut publishers = Vec::new();
        for user in 0..USERS {
            for (number, policy) in ["replay", "full_sync", "replay"].into_iter().enumerate() {
                let device = device::Device::new(user, number, policy, &process, &history);
                devices.push(tokio::spawn(device.follow(Arc::clone(&over))));
            }
        }
        // A session counts from its first auth_ok on.
        history.wait_for_sessions(USERS * 3).await;
        for number in 0..PUBLISHERS {
            let publisher = publisher::Publisher::new(number, &process, &history);
            publishers.push(tokio::spawn(publisher.publish(Arc::clone(&over))));
        }
        for round in 0..rounds() {
            // Anywhere in the life of an event.
            tokio::time::sleep(Duration::from_millis(50 + (round * 37) % 300)).await;
            process.kill();
            process.restart().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        over.store(true, Ordering::Release);
        for publisher in publishers {
            publisher.await.unwrap();
        }
        history.settle(Duration::from_secs(60)).await;
        for device in devices {
            device.abort();
        }
        history.check();
        assert!(history.promised() > rounds() as usize, "only {} promises", history.promised());
        eprintln!("{} rounds, {}", rounds(), history.summary());
    });
}

#[test]
fn a_lost_event_is_noticed() {
    let history = History::default();
    history.attached(0, "s", true, 0);
    history.promise(0, uuid::Uuid::from_u128(1), 1, &history.sessions_of(0));
    history.promise(0, uuid::Uuid::from_u128(2), 2, &history.sessions_of(0));
    history.applied(0, "s", uuid::Uuid::from_u128(1), 1, "x");
    assert_eq!(history.lost().len(), 1);
    history.attached(0, "s", true, 2);
    assert_eq!(history.lost().len(), 0, "a full sync covers it");
}
