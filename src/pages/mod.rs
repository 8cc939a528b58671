//! What the hub serves to browsers from its own binary: the JavaScript client, the demo, the
//! console.

mod client;
mod console;
mod demo;
mod file;

pub use self::client::configure;
pub(crate) use self::console::Console;
pub(crate) use self::demo::Demo;
