//! What administrators ask of ReliableDelivery, handed to the table.

use actix::{Addr, Handler};

use super::{ReliableDelivery, moment};
use crate::delivery::messages::{ListCloses, OrderFullSync, TakeCensus, WatchPort};

/// The recipients of these messages.
pub(super) fn port(addr: &Addr<ReliableDelivery>) -> WatchPort {
    WatchPort {
        census: addr.clone().recipient(),
        closes: addr.clone().recipient(),
        full_sync: addr.clone().recipient(),
    }
}

impl Handler<TakeCensus> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, TakeCensus(reply): TakeCensus, _ctx: &mut Self::Context) {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(self.table.census());
    }
}

impl Handler<ListCloses> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, ListCloses { user, reply }: ListCloses, _ctx: &mut Self::Context) {
        let _ = reply.send(self.table.closes(&user));
    }
}

impl Handler<OrderFullSync> for ReliableDelivery {
    type Result = ();

    fn handle(&mut self, order: OrderFullSync, _ctx: &mut Self::Context) {
        let OrderFullSync { user, session, reply } = order;
        let ticket = self.table.ticket();
        self.replies.expect_full_sync(ticket, reply);
        self.table.order_full_sync(ticket, &user, session, moment());
        self.perform();
    }
}
