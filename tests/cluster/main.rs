//! Several hubs, as processes, with one Postgres and a NATS of their own: users and their devices on
//! any node, nodes that come, go, hang and are killed.
//!
//! Left out where there is no `nats-server`, or no Postgres (STAFFETTA_TEST_POSTGRES).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod databases;
mod delivery;
mod device;
mod failures;
mod nats;
mod node;
mod notes;
mod operations;
mod statically;
mod world;
