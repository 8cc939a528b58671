//! At-least-once delivery, independent of sockets and databases.

pub mod messages;
mod publisher;

pub use self::publisher::{BroadcastReceipt, Publisher, Wait};
