//! The hub over real sockets, on SQLite and on Postgres.
//!
//! Postgres is used when `STAFFETTA_TEST_POSTGRES` holds the URL of a server where databases may
//! be made (`tests/postgres.sh` starts one); otherwise those runs say that they were left out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod device;
mod program;
#[path = "../simulation/random.rs"]
mod random;
mod raw;
mod receiver;
mod shelf;
mod world;

mod auth;
mod autobahn;
mod commands;
mod dashboard;
mod delivery;
mod embedded;
mod envelopes;
mod extension;
mod frames;
mod gate;
mod handshake;
mod isolation;
mod malformed;
mod notes;
mod notes_told;
mod offline;
mod old_database;
mod one_hub;
mod operations;
mod publish;
mod push;
mod reload;
mod secrets;
mod socketio;
mod tls;
mod updates;
mod webhooks;
mod wire;
