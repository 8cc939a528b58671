//! What goes wrong around a hub: its disk, its database, its clock, and what clients do to it.
//! Publishers publish and devices follow meanwhile; then promises and history are compared.
//!
//! `FAULTS_LONG=1` makes them long: a crowd of 10,000, ten times the floods, longer outages.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod clocks;
mod crowd;
mod floods;
mod life;
mod storage;

#[path = "../kill/device.rs"]
mod device;
#[path = "../kill/history.rs"]
mod history;
#[path = "../kill/hub.rs"]
mod hub;
#[path = "../kill/publisher.rs"]
mod publisher;

const USERS: usize = 4;

/// One test at a time: they measure, and a machine has few cores.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// How much more there is of everything in a long run.
fn scale() -> usize {
    if std::env::var_os("FAULTS_LONG").is_some() { 10 } else { 1 }
}

/// Runs a test in its turn.
fn run(test: impl Future<Output = ()>) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}
