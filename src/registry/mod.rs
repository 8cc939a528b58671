//! Which connections a worker holds, and what it does with them.

mod acks;
mod actor;
mod checks;
mod connection;
pub mod messages;
pub mod presence;
mod rooms;
pub mod sessions;
mod worker;

pub use self::connection::{Connection, SocketHandle};
pub use self::rooms::{Doorway, Rooms};
pub use self::worker::{Worker, WorkerParts};
