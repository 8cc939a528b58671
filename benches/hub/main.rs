//! What the hub costs, beside its limits, in one run: `cargo bench`, or `make bench`.
//!
//! The server runs on core 0, the load on core 1. Machines are noisy: read the ratios.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on says so, and measures with the clock"
)]

mod durable;
mod fanout;
mod idle;
mod limits;
mod literal;
mod mqtt;
mod server;
mod socket;
mod socketio;

use std::process::Command;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    match args.next().as_deref() {
        Some("raw-loop") => limits::raw_loop(&args.next().unwrap()),
        Some("literal") => block_on(literal::serve(&args.next().unwrap())),
        only => {
            pin(1);
            block_on(run(only));
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

async fn run(only: Option<&str>) {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    if wanted("fanout") {
        fanout::run().await;
    }
    if wanted("socketio") {
        socketio::run().await;
    }
    if wanted("durable") {
        durable::run().await;
    }
    if wanted("idle") {
        idle::run().await;
    }
    if wanted("stuck") {
        idle::stuck().await;
    }
    if wanted("backlog") {
        durable::backlog().await;
    }
}

/// Keeps this process on one core.
fn pin(core: usize) {
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-cp", &core.to_string(), &pid]).output();
    if !pinned.is_ok_and(|output| output.status.success()) {
        println!("(not pinned: taskset does not work here)");
    }
}
