//! The log, the sessions, the notes and their database.
//!
//! Diesel lives here and nowhere else. One thread writes, in groups; others read.

mod actor;
mod broadcasts;
mod connection;
mod dead_letters;
mod events;
mod fence;
mod file_lock;
mod group;
mod journal;
mod many;
pub mod messages;
mod note_turns;
mod notes;
mod places;
pub(crate) mod port;
mod pushes;
mod readers;
mod rows;
mod schema;
mod sessions;
mod shelf;
mod slots;
mod stored_notes;

pub use self::actor::{Persistence, PersistenceHandle, Sharing};
pub use self::broadcasts::{start_everywhere, start_in};
pub use self::connection::{StoreSetupError, migrate, migrate_down};
pub use self::slots::{Beat, Reading, SlotStore};
pub use self::stored_notes::StoredNotes;

#[cfg(test)]
mod tests;
