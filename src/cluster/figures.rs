//! What a node tells of itself to the consoles of every node.

use serde::Serialize;

use crate::delivery::messages::Census;
use crate::metrics::Totals;

/// One node's figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeFigures {
    /// Its name.
    pub name: String,
    /// How many slots are its own.
    pub slots: u32,
    /// How long it took to answer, in milliseconds; zero for the node that asked.
    pub lag_ms: u64,
    /// What it counted since its start.
    #[serde(flatten)]
    pub totals: Totals,
    /// What it has in memory.
    #[serde(flatten)]
    pub census: Census,
}

/// The figures of every node that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFigures {
    /// One each, by name.
    pub nodes: Vec<NodeFigures>,
    /// How many nodes there are.
    pub known: usize,
}
