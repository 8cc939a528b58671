//! The log, the sessions and their database.

pub mod messages;
