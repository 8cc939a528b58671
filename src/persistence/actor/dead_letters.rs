//! Dead letters: written with the group, read on a reading thread.

use actix::{Addr, Handler};

use super::{Job, Persistence};
use crate::persistence::dead_letters;
use crate::persistence::group::Write;
use crate::persistence::messages::{
    DeadLetterPort, DeleteDeadLetter, FailDeadLetter, FindDeadLetter, ListDeadLetters,
    SaveDeadLetters,
};

/// What others may ask about dead letters.
pub(super) fn port(addr: &Addr<Persistence>) -> DeadLetterPort {
    DeadLetterPort {
        save: addr.clone().recipient(),
        fail: addr.clone().recipient(),
        delete: addr.clone().recipient(),
        find: addr.clone().recipient(),
        list: addr.clone().recipient(),
    }
}

impl Handler<SaveDeadLetters> for Persistence {
    type Result = ();

    fn handle(&mut self, save: SaveDeadLetters, ctx: &mut Self::Context) {
        self.take(Job::Write(Write::SaveDeadLetters(save)), ctx);
    }
}

impl Handler<FailDeadLetter> for Persistence {
    type Result = ();

    fn handle(&mut self, fail: FailDeadLetter, ctx: &mut Self::Context) {
        self.take(Job::Write(Write::FailDeadLetter(fail)), ctx);
    }
}

impl Handler<DeleteDeadLetter> for Persistence {
    type Result = ();

    fn handle(&mut self, delete: DeleteDeadLetter, ctx: &mut Self::Context) {
        self.take(Job::Write(Write::DeleteDeadLetter(delete)), ctx);
    }
}

impl Handler<FindDeadLetter> for Persistence {
    type Result = ();

    fn handle(&mut self, FindDeadLetter { id, reply }: FindDeadLetter, _: &mut Self::Context) {
        self.readers.read(move |connection| {
            let found = connection.and_then(|c| Ok(dead_letters::find(id, c)?));
            // Whoever asked may have stopped waiting.
            let _ = reply.send(found);
        });
    }
}

impl Handler<ListDeadLetters> for Persistence {
    type Result = ();

    fn handle(&mut self, list: ListDeadLetters, _: &mut Self::Context) {
        self.readers.read(move |connection| {
            let ListDeadLetters { after, letters_max, bytes_max, reply } = list;
            let page =
                connection.and_then(|c| Ok(dead_letters::list(after, letters_max, bytes_max, c)?));
            let _ = reply.send(page);
        });
    }
}
