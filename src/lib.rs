//! Staffetta: a self-hosted, reliable, real-time sync hub.
//!
//! An application publishes an event once; every device of that user applies it and acknowledges
//! it, or is told to do a full sync. Nothing is lost silently.
//!
//! [`Hub`] is the way in: start one, mount its routes in an actix-web application, publish.
//! The `staffetta` program is one such application. `ARCHITECTURE.md` is the map of the rest.

pub mod auth;
pub mod backoff;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
#[doc(hidden)]
pub mod conformance;
pub mod delivery;
pub mod dialect;
pub mod extension;
pub mod gate;
mod host;
pub mod http;
mod hub;
pub mod metrics;
pub mod notebook;
pub mod notes;
pub mod pages;
pub mod persistence;
pub mod protocol;
mod push;
pub mod registry;
pub mod server;
pub mod socketio;
pub mod webhooks;
pub mod ws;

pub use self::commands::{ClientCommand, CommandError, CommandHandler, CommandReply};
pub use self::config::Config;
pub use self::delivery::messages::{PublishError, Receipt};
pub use self::hub::{Hub, HubBuilder, HubError};
pub use self::protocol::{EventId, HubEvent, NewEvent, Seq, SessionId, UserId};
pub use self::socketio::{IoArgs, IoError, IoHandlers, IoNamespace, IoSocket};
pub use self::ws::on_connect;
