//! Questions about notes, each on a reading thread: a committed write is visible there.

use actix::{Addr, Handler};

use super::Persistence;
use crate::persistence::connection::StoreConnection;
use crate::persistence::messages::{
    ListNotes, NoteReply, NotesPort, ReadMembers, ReadNote, StoreError,
};
use crate::persistence::{notes, readers::Readers};

/// What others may ask about notes.
pub(super) fn port(addr: &Addr<Persistence>) -> NotesPort {
    NotesPort {
        write: addr.clone().recipient(),
        share: addr.clone().recipient(),
        unshare: addr.clone().recipient(),
        fence: addr.clone().recipient(),
        settle: addr.clone().recipient(),
        read: addr.clone().recipient(),
        list: addr.clone().recipient(),
        members: addr.clone().recipient(),
        unsettled: addr.clone().recipient(),
    }
}

/// Asks a reading thread and hands its answer on.
fn read<T: Send + 'static>(
    readers: &Readers,
    reply: NoteReply<T>,
    read: impl FnOnce(&mut StoreConnection) -> diesel::QueryResult<Result<T, crate::notes::NoteError>>
    + Send
    + 'static,
) {
    readers.read(move |connection| {
        let result = connection.and_then(|c| read(c).map_err(StoreError::from));
        let result = result.unwrap_or_else(|error| {
            log::warn!("notes cannot be read: {error}");
            Err(error.into())
        });
        // Whoever asked may have stopped waiting.
        let _ = reply.send(result);
    });
}

impl Handler<ReadNote> for Persistence {
    type Result = ();

    fn handle(&mut self, ReadNote { id, user, reply }: ReadNote, _ctx: &mut Self::Context) {
        read(&self.readers, reply, move |connection| notes::read(&id, &user, connection));
    }
}

impl Handler<ListNotes> for Persistence {
    type Result = ();

    fn handle(&mut self, message: ListNotes, _ctx: &mut Self::Context) {
        let ListNotes { query, bytes_max, reply } = message;
        read(&self.readers, reply, move |connection| {
            notes::page(&query, bytes_max, connection).map(Ok)
        });
    }
}

impl Handler<ReadMembers> for Persistence {
    type Result = ();

    fn handle(&mut self, ReadMembers { id, reply }: ReadMembers, _ctx: &mut Self::Context) {
        read(&self.readers, reply, move |connection| notes::members(&id, connection));
    }
}
