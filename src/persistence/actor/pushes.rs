//! Devices to be woken: written with the group, read on a reading thread.

use actix::{Addr, Handler};

use super::{Job, Persistence};
use crate::persistence::group::Write;
use crate::persistence::messages::{ListPushes, PushPort, WritePush};
use crate::persistence::pushes;

/// What others may ask about devices to be woken.
pub(super) fn port(addr: &Addr<Persistence>) -> PushPort {
    PushPort { write: addr.clone().recipient(), list: addr.clone().recipient() }
}

impl Handler<WritePush> for Persistence {
    type Result = ();

    fn handle(&mut self, write: WritePush, ctx: &mut Self::Context) {
        self.take(Job::Write(Write::Push(write)), ctx);
    }
}

impl Handler<ListPushes> for Persistence {
    type Result = ();

    fn handle(&mut self, list: ListPushes, _: &mut Self::Context) {
        let recent = self.places.recent().clone();
        self.readers.read(move |connection| {
            let ListPushes { before, after, devices_max, reply } = list;
            let after = after.as_ref();
            let found = connection
                .and_then(|c| Ok(pushes::sleepers(before, after, devices_max, &recent, c)?));
            // Whoever asked may have stopped waiting.
            let _ = reply.send(found);
        });
    }
}
