//! What the hub costs, beside its limits and its peers, in one run: `make bench`.
//!
//! The server runs on core 0, the load on core 1. Machines are noisy: read the ratios.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on says so, and measures with the clock"
)]

mod candidate;
mod lives;
mod load;
mod plan;
mod programs;
mod scenarios;
mod server;
mod table;
mod tokens;

use std::process::{Command, ExitCode};
use std::sync::LazyLock;

use lives::raw::Writes;
use plan::Plan;
use scenarios::{backlog, durable, fanout, idle, reconnect, scale, stuck, unicast};
use tokio::task::LocalSet;

static PLAN: LazyLock<Plan> = LazyLock::new(Plan::from_environment);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["raw", port, key] => block_on(lives::raw::serve(port, key, Writes::Each)),
        ["raw-long", port, key] => block_on(lives::raw::serve(port, key, Writes::EachAsLong)),
        ["raw-coalescing", port, key] => block_on(lives::raw::serve(port, key, Writes::Coalesced)),
        ["actix", port, key] => lives::actix::serve(port.parse().unwrap(), key),
        ["actix-stored", port, key] => lives::actix::serve_stored(port.parse().unwrap(), key),
        ["raw-durable", port, _] => block_on(lives::durable::serve(port)),
        ["literal", port, _] => block_on(lives::literal::serve(port)),
        _ => {
            pin(1);
            if !block_on(LocalSet::new().run_until(run(&words))) {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Runs the scenarios named, or all; whether every candidate did what was asked of it.
async fn run(only: &[&str]) -> bool {
    say_candidates();
    let wanted = |name: &str| only.is_empty() || only.contains(&name);
    let mut is_whole = true;
    if wanted("idle") {
        is_whole &= idle::run(&PLAN).await;
    }
    if wanted("fanout") {
        is_whole &= fanout::run(&PLAN).await;
    }
    if wanted("unicast") {
        is_whole &= unicast::run(&PLAN).await;
    }
    if wanted("durable") {
        is_whole &= durable::run(&PLAN).await;
    }
    if wanted("reconnect") {
        is_whole &= reconnect::run(&PLAN).await;
    }
    if wanted("backlog") {
        is_whole &= backlog::run(&PLAN).await;
    }
    if wanted("most") {
        is_whole &= idle::most(&PLAN).await;
    }
    if wanted("scale") {
        is_whole &= scale::run(&PLAN).await;
    }
    if wanted("stuck") {
        is_whole &= stuck::run(&PLAN).await;
    }
    is_whole
}

/// Who takes part, made of what, and set to what.
fn say_candidates() {
    println!("# {} rounds; medians, and the least and the most\n", PLAN.rounds);
    println!("| candidate | versions | settings |\n|---|---|---|");
    for candidate in candidate::ALL {
        let versions = programs::versions(candidate);
        let versions = versions.unwrap_or_else(|| "**left out: it could not be had**".to_owned());
        println!("| {} | {versions} | {} |", candidate.name(), candidate.settings());
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
