//! Clients that cost as little as can be: the load must not be what is measured.

pub(crate) mod http;
pub(crate) mod link;
pub(crate) mod mqtt;
pub(crate) mod nats;
pub(crate) mod piece;
pub(crate) mod publisher;
pub(crate) mod pusher;
pub(crate) mod shapes;
pub(crate) mod subscriber;
pub(crate) mod tally;
pub(crate) mod wire;
