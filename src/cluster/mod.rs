//! Several nodes: whose the slots are, how nodes talk, and what goes where (docs/cluster.md).
//!
//! A user's home is the node that has the user's slot: there the user's ReliableDelivery decides.
//! Everybody else reaches it through one more group of [`DeliveryPorts`], and a home reaches
//! connections of other nodes as if each node was one more worker.
//!
//! [`DeliveryPorts`]: crate::delivery::messages::DeliveryPorts

mod asking;
pub mod bus;
mod envelope;
pub mod figures;
mod inbound;
mod keeper;
mod link;
pub mod messages;
mod nats;
mod node;
mod notes;
pub mod ownership;
mod packet;
mod remote;
mod rooms;
mod router;
mod standing;
mod start;
mod stores;
mod view;
mod wire;

pub use self::bus::{Bus, BusError, LocalBus};
pub use self::figures::{ClusterFigures, NodeFigures};
pub use self::messages::{Route, RouteNode};
pub use self::nats::NatsBus;
pub use self::standing::Unready;
pub use self::start::{BusKind, Cluster, ClusterParts, Owners};
pub use self::view::{Change, View};
