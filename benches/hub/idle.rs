//! What a connection costs while nothing happens, and what a stuck reader costs everybody else.

use std::time::Duration;

use staffetta::auth::Scope;
use tokio::io::AsyncReadExt;

use crate::server::Server;
use crate::socket::{Http, Ws};

const CONNECTIONS: u64 = 5_000;
const STUCK_BYTES: usize = 1024 * 1024 * 1024;
const EVENT_BYTES: usize = 64 * 1024;

pub(crate) async fn run() {
    println!(
        "resident memory of {CONNECTIONS} idle authenticated connections (asked: under 13 KB)"
    );
    let plain = each(|_| None).await;
    println!("  staffetta, plain        {plain:6.2} KB each");
    let reliable = each(|n| Some(format!("session-{n}"))).await;
    println!(
        "  staffetta, reliable     {reliable:6.2} KB each, the database's pages of their sessions included"
    );
}

/// KB per connection, each of a user of its own.
async fn each(session: impl Fn(u64) -> Option<String>) -> f64 {
    let server = Server::hub(&[]).await;
    let warm = Ws::attach(server.port, &server.token("warm", &[]), None).await;
    let before = server.resident();
    let mut connections = Vec::new();
    for n in 0..CONNECTIONS {
        let token = server.token(&format!("user-{n}"), &[]);
        connections.push(Ws::attach(server.port, &token, session(n).as_deref()).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let each = (server.resident() - before) as f64 / CONNECTIONS as f64 / 1024.0;
    drop((warm, connections));
    each
}

pub(crate) async fn stuck() {
    println!("one stuck reader while 1 GB is published to it and to 3 others");
    let server = Server::hub(&[]).await;
    let token = server.token("alice", &[]);
    let stuck = Ws::attach(server.port, &token, None).await;
    let events = STUCK_BYTES / EVENT_BYTES;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut ws = Ws::attach(server.port, &token, None).await;
        readers.push(tokio::spawn(async move {
            for _ in 0..events {
                ws.next().await;
            }
        }));
    }
    let publisher = server.token("app", &[Scope::Publish]);
    let mut http = Http::connect(server.port).await;
    let body = format!(
        r#"{{"type":"big","data":{{"x":"{}"}},"ephemeral":true}}"#,
        "x".repeat(EVENT_BYTES)
    );
    let path = "/api/v1/users/alice/events";
    // A first taste, so that buffers are what they are.
    let before = server.resident();
    let mut peak = before;
    for n in 0..events {
        let (status, text) = http.call("POST", path, &publisher, &body).await;
        assert_eq!(status, 201, "{text}");
        if n % 64 == 0 {
            peak = peak.max(server.resident());
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let grown = (peak - before) as f64 / 1024.0 / 1024.0;
    println!(
        "  the hub's memory grew by {grown:5.1} MB   (asked: less than 10); the others got everything"
    );
    let mut rest = stuck.stream;
    let mut buffer = vec![0; 65_536];
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while rest.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    println!("  the stuck one was cut off: {}", ended.await.is_ok());
}
