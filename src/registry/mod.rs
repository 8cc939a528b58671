//! Which connections a worker holds.

pub mod messages;
