//! Stands for the connections of another node: what would be orders for a registry here travels
//! there.

use actix::{Actor, AsyncContext, Context, Handler};

use super::link::Link;
use crate::protocol::NodeNumber;
use crate::registry::messages::Orders;

/// Messages that may wait.
const MAILBOX_MAX: usize = 4_096;

/// The actor.
pub(super) struct RemoteRegistry {
    node: NodeNumber,
    link: Link,
}

impl RemoteRegistry {
    pub(super) fn new(node: NodeNumber, link: Link) -> Self {
        Self { node, link }
    }
}

impl Actor for RemoteRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let _ = ctx.address();
    }
}

impl Handler<Orders> for RemoteRegistry {
    type Result = ();

    fn handle(&mut self, Orders(orders): Orders, _ctx: &mut Self::Context) {
        self.link.order(self.node, &orders);
    }
}
