//! One event to a thousand connections: CPU per delivery, beside a loop of raw framed writes.

use std::time::Duration;

use staffetta::auth::Scope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;
use crate::socket::{Http, Ws};

pub(crate) const CONNECTIONS: usize = 1_000;
const EVENTS: usize = 300;
pub(crate) const RATE: usize = 50;
pub(crate) const BYTES: usize = 200;
const ROUNDS: usize = 3;

/// What the connections speak.
#[derive(Clone, Copy)]
pub(crate) enum Spoken {
    Native,
    SocketIo,
}

/// What makes a server send one event to everyone.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    /// Where it is posted to.
    pub(crate) path: &'a str,
    pub(crate) token: &'a str,
    pub(crate) body: &'a str,
}

pub(crate) async fn run() {
    println!(
        "fan-out of one event to {CONNECTIONS} connections, {RATE} events/s, CPU per delivery"
    );
    let (mut raws, mut hubs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raws.push(raw().await);
        hubs.push(hub(Spoken::Native).await);
    }
    raws.sort_by(f64::total_cmp);
    hubs.sort_by(f64::total_cmp);
    let (raw, hub) = (raws[ROUNDS / 2], hubs[ROUNDS / 2]);
    println!("  raw framed write loop   {raw:6.2} µs   {raws:.2?}");
    println!("  staffetta, plain        {hub:6.2} µs   {hubs:.2?}");
    println!("  ratio                   {:6.2}      (asked: at most 1.3)", hub / raw);
}

fn per_delivery(cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e6 / (CONNECTIONS * EVENTS) as f64
}

async fn raw() -> f64 {
    let server = Server::other_life("raw-loop").await;
    let mut control = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let order = format!("{CONNECTIONS} {EVENTS} {BYTES} {RATE}");
    control.write_all(order.as_bytes()).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut left = EVENTS * (BYTES + 4);
            let mut buffer = vec![0; 4096];
            while left > 0 {
                left -= stream.read(&mut buffer).await.unwrap();
            }
            stream
        }));
    }
    let mut go = [0; 2];
    control.read_exact(&mut go).await.unwrap();
    let before = server.cpu();
    for reader in readers {
        reader.await.unwrap();
    }
    per_delivery(server.cpu() - before)
}

/// The hub's CPU per delivery, in microseconds.
pub(crate) async fn hub(spoken: Spoken) -> f64 {
    let many = format!("limits.connections_per_user_max={CONNECTIONS}");
    let server = Server::hub(&[&many, "limits.auths_per_minute_max=0"]).await;
    let token = server.token("alice", &[]);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(match spoken {
            Spoken::Native => Ws::attach(server.port, &token, None).await,
            Spoken::SocketIo => Ws::join(server.port, &token).await,
        });
    }
    let token = server.token("app", &[Scope::Publish]);
    let body = format!(r#"{{"type":"added","data":{{"x":"{}"}}}}"#, "x".repeat(BYTES - 100));
    let order = Order { path: "/api/v1/users/alice/events", token: &token, body: &body };
    per_delivery_of(&server, connections, order).await
}

/// The server's CPU per delivery, in microseconds, when this is ordered at [`RATE`].
pub(crate) async fn per_delivery_of(
    server: &Server,
    connections: Vec<Ws>,
    order: Order<'_>,
) -> f64 {
    let reading: Vec<_> =
        connections.into_iter().map(|ws| tokio::spawn(read(ws, EVENTS))).collect();
    let mut http = Http::connect(server.port).await;
    let before = server.cpu();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE as u32);
    for _ in 0..EVENTS {
        tick.tick().await;
        let (status, text) = http.call("POST", order.path, order.token, order.body).await;
        assert_eq!(status, 201, "{text}");
    }
    for reader in reading {
        reader.await.unwrap();
    }
    per_delivery(server.cpu() - before)
}

/// Reads `left` events, and answers pings.
async fn read(mut ws: Ws, mut left: usize) -> Ws {
    while left > 0 {
        match &ws.next().await[..] {
            b"2" => ws.send(b"3").await,
            _ => left -= 1,
        }
    }
    ws
}
