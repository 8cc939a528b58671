//! Staffetta: a self-hosted, reliable, real-time sync hub.
//!
//! An application publishes an event once; every device of that user applies it and acknowledges
//! it, or is told to do a full sync. Nothing is lost silently.

pub mod auth;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod dialect;
pub mod metrics;
pub mod persistence;
pub mod protocol;
pub mod registry;
pub mod ws;
