//! What a ReliableDelivery of a cluster is told about slots and nodes.

use actix::Message;
use tokio::sync::oneshot;

use crate::protocol::{Epoch, NodeNumber, Slot};

/// Says which slots are this node's. Those of other actors of this node do no harm.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum SlotOrder {
    /// Serve these from now on. Publishes wait until they are opened, so that connections have
    /// time to come back before their sessions count as away.
    Take(Vec<(Slot, Epoch)>),
    /// Connections are back, or had their time: let publishes in.
    Open(Vec<Slot>),
    /// Take nothing more of these and write their floors.
    Leave {
        /// Which.
        slots: Vec<Slot>,
        /// Answered when everything of them is durable, or failed.
        reply: oneshot::Sender<()>,
    },
    /// Forget everything of these: they are another's.
    Drop(Vec<Slot>),
    /// Every connection of this node is gone.
    NodeGone(NodeNumber),
}
