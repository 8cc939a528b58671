//! What a node of a cluster tells the rest of its hub.

use crate::protocol::{Epoch, NodeNumber, Slot, UserId};

/// Where a user's home is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The user's slot.
    pub slot: Slot,
    /// How often the slot changed hands.
    pub epoch: Epoch,
    /// The node that has it; none while it changes hands.
    pub node: Option<RouteNode>,
}

/// The node that has a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNode {
    /// Its number.
    pub number: NodeNumber,
    /// Its name.
    pub name: String,
    /// Where clients reach it, if it says so.
    pub advertise: Option<String>,
    /// Whether it is the node that answers.
    pub is_here: bool,
}

/// Who knows whose the slots are.
pub trait Routes: Send + Sync {
    /// Where a user's home is.
    fn route(&self, user: &UserId) -> Route;
}
