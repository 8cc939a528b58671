//! The log, the sessions and their database.
//!
//! Diesel lives here and nowhere else. One thread writes, in groups; others read.

mod actor;
mod broadcasts;
mod connection;
mod events;
mod group;
pub mod messages;
mod readers;
mod rows;
mod schema;
mod sessions;

pub use self::actor::{Persistence, PersistenceHandle};
pub use self::connection::{StoreSetupError, migrate, migrate_down};

#[cfg(test)]
mod tests;
