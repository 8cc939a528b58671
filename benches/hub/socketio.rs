//! One event to a thousand Socket.IO clients: beside the native dialect, and beside other Socket.IO
//! servers, in turn.
//!
//! The peers take anybody in and store nothing; what they are ordered to emit comes by HTTP too.

use std::process::{Command, Stdio};

use crate::fanout::{BYTES, CONNECTIONS, Order, RATE, Spoken, hub, per_delivery_of};
use crate::server::Server;
use crate::socket::Ws;

const ROUNDS: usize = 3;

/// Where `benches/run.sh` puts what it builds of the peers.
const SOCKETIO_JS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/socketio.js");
const SOCKETIOXIDE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/release/peer-socketioxide");
const SOCKETIOXIDE_LOCK: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/socketioxide/Cargo.lock");

#[derive(Clone, Copy)]
enum Candidate {
    Native,
    SocketIo,
    Node,
    Socketioxide,
}

pub(crate) async fn run() {
    println!(
        "one event to {CONNECTIONS} Socket.IO clients over WebSocket, {RATE} events/s, CPU per delivery"
    );
    let all = [Candidate::Native, Candidate::SocketIo, Candidate::Node, Candidate::Socketioxide];
    let mut figures: Vec<(Candidate, Vec<f64>)> = Vec::new();
    for candidate in all {
        match candidate.versions() {
            Some(versions) => {
                println!("  {}: {versions}; {}", candidate.name(), candidate.settings());
                figures.push((candidate, Vec::new()));
            }
            None => println!("  {}: left out, it could not be had", candidate.name()),
        }
    }
    for _ in 0..ROUNDS {
        for (candidate, figures) in &mut figures {
            figures.push(candidate.measure().await);
        }
    }
    for (candidate, figures) in &mut figures {
        figures.sort_by(f64::total_cmp);
        println!("  {:<24}{:6.2} µs   {figures:.2?}", candidate.name(), figures[ROUNDS / 2]);
    }
    // The hub's own two are always there, and first.
    let (native, io) = (figures[0].1[ROUNDS / 2], figures[1].1[ROUNDS / 2]);
    println!("  Socket.IO against /ws   {:6.2}      (asked: at most 1.5)", io / native);
    for (peer, figures) in &figures[2..] {
        println!("  against {:<16}{:6.2}", peer.name(), io / figures[ROUNDS / 2]);
    }
}

impl Candidate {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "/ws, plain",
            Self::SocketIo => "Socket.IO, plain",
            Self::Node => "socket.io",
            Self::Socketioxide => "socketioxide",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Native | Self::SocketIo => "one worker, each event committed with FULL first",
            Self::Node => "NODE_ENV=production, in-memory adapter, WebSocket only, no compression",
            Self::Socketioxide => "one thread, local adapter, on axum, built as the hub is",
        }
    }

    /// What it is made of; none if it is not here.
    fn versions(self) -> Option<String> {
        match self {
            Self::Native | Self::SocketIo => {
                let build = if cfg!(debug_assertions) { ", not optimised" } else { "" };
                Some(format!("staffetta {}{build}", env!("CARGO_PKG_VERSION")))
            }
            Self::Node => {
                let said = Command::new("node")
                    .args([SOCKETIO_JS, "--versions"])
                    .stderr(Stdio::null())
                    .output()
                    .ok()
                    .filter(|output| output.status.success())?;
                Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())
            }
            Self::Socketioxide => {
                std::fs::metadata(SOCKETIOXIDE).ok()?;
                let lock = std::fs::read_to_string(SOCKETIOXIDE_LOCK).ok()?;
                let locked = ["socketioxide", "axum", "hyper", "tokio"].map(|name| {
                    let entry = format!("name = \"{name}\"\nversion = \"");
                    let version = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next());
                    format!("{name} {}", version.unwrap_or("?"))
                });
                Some(locked.join(", "))
            }
        }
    }

    /// Microseconds of the server's CPU per delivery.
    async fn measure(self) -> f64 {
        match self {
            Self::Native => hub(Spoken::Native).await,
            Self::SocketIo => hub(Spoken::SocketIo).await,
            Self::Node => peer(Server::program("node", &[SOCKETIO_JS]).await).await,
            Self::Socketioxide => peer(Server::program(SOCKETIOXIDE, &[]).await).await,
        }
    }
}

async fn peer(server: Server) -> f64 {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Ws::join(server.port, "").await);
    }
    let body = format!(r#"{{"x":"{}"}}"#, "x".repeat(BYTES - 100));
    per_delivery_of(&server, connections, Order { path: "/emit", token: "", body: &body }).await
}
