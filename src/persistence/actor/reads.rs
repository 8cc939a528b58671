//! Reads that need not see the latest writes: each on a reading thread.

use actix::Handler;

use super::{Persistence, answers};
use crate::persistence::events::{self, Span};
use crate::persistence::messages::{
    CheckHealth, FindEvent, LogRead, ReadLog, ReadPage, StoreError,
};

impl Handler<ReadLog> for Persistence {
    type Result = ();

    fn handle(&mut self, read: ReadLog, _ctx: &mut Self::Context) {
        let recent = self.places.recent().clone();
        self.readers.read(move |connection| {
            let ReadLog { user, session, ticket, after, events_max, bytes_max, reply } = read;
            let span = Span { after, events_max, bytes_max };
            let result = connection.and_then(|c| Ok(events::read(&user, span, &recent, c)?));
            answers::send(&reply, LogRead { user, session, ticket, result });
        });
    }
}

impl Handler<ReadPage> for Persistence {
    type Result = ();

    fn handle(&mut self, read: ReadPage, _ctx: &mut Self::Context) {
        let recent = self.places.recent().clone();
        self.readers.read(move |connection| {
            let ReadPage { user, after, now, events_max, bytes_max, reply } = read;
            let span = Span { after, events_max, bytes_max };
            let page =
                connection.and_then(|c| Ok(events::read_page(&user, span, now, &recent, c)?));
            // Whoever asked may have stopped waiting.
            let _ = reply.send(page);
        });
    }
}

impl Handler<FindEvent> for Persistence {
    type Result = ();

    fn handle(&mut self, find: FindEvent, _ctx: &mut Self::Context) {
        self.readers.read(move |connection| {
            let found = connection.and_then(|c| Ok(events::find(find.event, find.users_max, c)?));
            let _ = find.reply.send(found);
        });
    }
}

impl Handler<CheckHealth> for Persistence {
    type Result = ();

    fn handle(&mut self, CheckHealth(reply): CheckHealth, _ctx: &mut Self::Context) {
        self.readers.read(move |connection| {
            let healthy = connection.and_then(|c| {
                events::check(c)?;
                Ok::<_, StoreError>(())
            });
            let _ = reply.send(healthy);
        });
    }
}
