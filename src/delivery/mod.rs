//! At-least-once delivery, independent of sockets and databases.

pub mod actor;
mod asking;
pub mod broadcast;
mod by_ticket;
pub mod closes;
mod few;
pub mod latency;
pub mod messages;
pub mod notices;
pub mod output;
pub mod pending;
mod publisher;
pub mod retry;
mod session;
mod submit;
mod tail;
pub mod trace;
mod user;
pub mod window;

pub(crate) use self::asking::asked;
pub use self::publisher::{BroadcastReceipt, Publisher, Wait};
pub(crate) use self::submit::hand_out;
