//! Which connections a worker holds, and what it does with them.

mod acks;
mod actor;
mod again;
mod checks;
mod connection;
mod directory;
mod drains;
pub mod messages;
pub mod presence;
mod rooms;
pub mod sessions;
mod worker;

pub use self::connection::{Connection, SocketHandle, Wire};
pub use self::directory::Directory;
pub use self::drains::Drains;
pub use self::rooms::{Doorway, Rooms, RoomsElsewhere};
pub use self::worker::{Worker, WorkerParts};
