//! Posting to the application: clients' commands, and what happens in the hub itself.
//!
//! A post is signed, tried several times, and kept as a dead letter when it is given up. Delivery
//! never waits for any of it: what does not fit is a dead letter at once.

mod attempts;
mod call;
mod events;
mod hooks;
mod letters;
mod post;
mod room;
pub mod sign;
mod stage;
mod target;

pub use self::call::{CallError, CommandBody};
pub use self::events::EventListener;
pub use self::hooks::{Replayed, Webhooks, WebhooksParts};
