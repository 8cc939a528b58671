//! What the hub serves to browsers from its own binary: the JavaScript client, and the demo.

mod client;
mod demo;
mod file;

pub use self::client::configure;
pub(crate) use self::demo::Demo;
