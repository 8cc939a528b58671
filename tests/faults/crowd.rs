//! Everyone comes back at once, right after a restart that nobody was told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::hub::{Extra, Process};
use crate::life::{peak_kib, ticks};
use crate::{run, scale};

const CROWD: usize = 2_000;
const CROWD_LONG: usize = 10_000;
const WAITS_MAX: Duration = Duration::from_secs(30);

/// How many clients this machine's limits allow, of those wanted.
fn crowd() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let files = limit.maximum.map_or(usize::MAX, |maximum| maximum as usize);
    let wanted = if scale() > 1 { CROWD_LONG } else { CROWD };
    wanted.min(files.saturating_sub(1_000))
}

#[test]
fn a_crowd_comes_back_at_once_and_nobody_waits_for_long() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("hub.db").display());
        let mut process = Process::start(folder.path(), &url, Extra::default()).await;
        let count = crowd();
        let there = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..count)
            .map(|number| {
                let token = process.token(&format!("user-{}", number / 2), &[]);
                tokio::spawn(client(number, process.port, token, Arc::clone(&there)))
            })
            .collect();
        wait_for(&there, count, Duration::from_secs(120)).await;

        process.kill();
        let started = Instant::now();
        process.restart().await;
        wait_for(&there, count * 2, WAITS_MAX + Duration::from_secs(60)).await;
        let all_within = started.elapsed();
        let (cpu, peak) = (ticks(process.child.id()), peak_kib(process.child.id()));
        process.kill();
        let mut waits = Vec::with_capacity(count);
        for client in clients {
            waits.push(client.await.unwrap());
        }
        waits.sort_unstable();
        let (median, longest) = (waits[count / 2], waits[count - 1]);
        eprintln!(
            "{count} clients back in {all_within:.1?}: median {median:.1?}, longest {longest:.1?}, \
             {:.2} s of processor, {} MiB resident at most",
            cpu as f64 / 100.0,
            peak / 1_024
        );
        assert!(longest < WAITS_MAX, "somebody waited for {longest:?}");
    });
}

async fn wait_for(there: &AtomicUsize, count: usize, at_most: Duration) {
    let deadline = Instant::now() + at_most;
    while there.load(Ordering::Acquire) < count {
        let so_far = there.load(Ordering::Acquire);
        assert!(Instant::now() < deadline, "{so_far} of {count} in {at_most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Attaches, loses its connection, attaches again, and says how long that took.
async fn client(number: usize, port: u16, token: String, there: Arc<AtomicUsize>) -> Duration {
    let mut lost_at = None;
    for _ in 0..2 {
        let mut socket = loop {
            if let Some(socket) = attach(number, port, &token).await {
                break socket;
            }
            // Without a hint there is nothing to go by but one's own patience.
            tokio::time::sleep(Duration::from_millis(50 + (number as u64 * 37) % 200)).await;
        };
        there.fetch_add(1, Ordering::AcqRel);
        if let Some(lost_at) = lost_at {
            return Instant::now() - lost_at;
        }
        while let Some(Ok(_)) = socket.next().await {}
        lost_at = Some(Instant::now());
    }
    Duration::MAX
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn attach(number: usize, port: u16, token: &str) -> Option<Socket> {
    let url = format!("ws://127.0.0.1:{port}/ws");
    let (mut socket, _) = timeout(WAITS_MAX, connect_async(url)).await.ok()?.ok()?;
    let session = format!("session-{number}");
    let auth = json!({"type": "auth", "token": token, "session_id": session, "offline": "replay"});
    socket.send(Message::text(auth.to_string())).await.ok()?;
    loop {
        let frame = timeout(WAITS_MAX, socket.next()).await.ok()??.ok()?;
        let Message::Text(text) = frame else { continue };
        let frame: Value = serde_json::from_str(&text).ok()?;
        if frame["type"] == "auth_ok" {
            assert_eq!(frame["session_id"], session, "a session got another name");
            return Some(socket);
        }
    }
}
