//! The hub's own store of notes: asks Persistence, and waits for its answer only so long.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use actix::Recipient;
use actix::prelude::SendError;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::messages::{
    FenceNotes, ListNotes, NoteReply, NoteWrite, NotesPort, PersistencePort, ReadMembers, ReadNote,
    ReadUnsettled, SettleNotes, ShareNote, UnshareNote, Waiting, WriteNote,
};
use crate::config::NotesConfig;
use crate::notes::{
    Author, Members, NewNote, NoteChange, NoteEdit, NoteError, NoteEvent, NotePage, NoteQuery,
    NoteStore, Role, Shared, SharedNote,
};
use crate::protocol::{Epoch, EventId, NoteId, Slot, Timestamp, UserId};

/// How long an answer is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Bytes of notes on one page, about.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Keeps notes in the hub's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoredNotes {
    port: NotesPort,
    waiting: Waiting,
    config: NotesConfig,
    at: Option<Epoch>,
}

impl StoredNotes {
    /// The notes of this store, under these rules.
    pub fn new(port: &PersistencePort, config: &NotesConfig) -> Self {
        let (port, waiting) = (port.notes.clone(), port.waiting.clone());
        Self { port, waiting, config: config.clone(), at: None }
    }

    async fn write(&self, write: NoteWrite) -> Result<NoteChange, NoteError> {
        if !self.waiting.enter(1) {
            return Err(NoteError::Overloaded);
        }
        let (event, bytes_max) = (EventId(Uuid::now_v7()), self.config.note_bytes_max);
        let at = self.at;
        let asked = ask(&self.port.write, |reply| WriteNote { write, event, bytes_max, at, reply });
        match asked {
            Ok(answer) => answered(answer).await,
            Err(error) => {
                self.waiting.leave(1);
                Err(error)
            }
        }
    }
}

impl NoteStore for StoredNotes {
    fn at(&self, epoch: Epoch) -> Option<Arc<dyn NoteStore>> {
        Some(Arc::new(Self { at: Some(epoch), ..self.clone() }))
    }

    fn fence<'a>(&'a self, turns: Vec<(Slot, Epoch)>) -> BoxFuture<'a, Result<(), NoteError>> {
        asked(&self.port.fence, move |reply| FenceNotes { turns, reply })
    }

    fn create<'a>(&'a self, new: NewNote) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
        self.write(NoteWrite::Create(new)).boxed()
    }

    fn update<'a>(&'a self, edit: NoteEdit) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
        self.write(NoteWrite::Update(edit)).boxed()
    }

    fn delete<'a>(
        &'a self,
        id: NoteId,
        by: Author,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
        self.write(NoteWrite::Delete { id, by, now }).boxed()
    }

    fn read<'a>(
        &'a self,
        id: NoteId,
        user: UserId,
    ) -> BoxFuture<'a, Result<SharedNote, NoteError>> {
        asked(&self.port.read, move |reply| ReadNote { id, user, reply })
    }

    fn list<'a>(&'a self, query: NoteQuery) -> BoxFuture<'a, Result<NotePage, NoteError>> {
        let query = NoteQuery { limit: query.limit.min(self.config.page_limit_max), ..query };
        let bytes_max = PAGE_BYTES_MAX;
        asked(&self.port.list, move |reply| ListNotes { query, bytes_max, reply })
    }

    fn members<'a>(&'a self, id: NoteId) -> BoxFuture<'a, Result<Members, NoteError>> {
        asked(&self.port.members, move |reply| ReadMembers { id, reply })
    }

    fn share<'a>(
        &'a self,
        id: NoteId,
        member: UserId,
        role: Role,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Shared, NoteError>> {
        let at = self.at;
        asked(&self.port.share, move |reply| ShareNote { id, member, role, now, at, reply })
    }

    fn unshare<'a>(&'a self, id: NoteId, member: UserId) -> BoxFuture<'a, Result<bool, NoteError>> {
        let at = self.at;
        asked(&self.port.unshare, move |reply| UnshareNote { id, member, at, reply })
    }

    fn settled<'a>(&'a self, events: Vec<EventId>) -> BoxFuture<'a, ()> {
        async move {
            let sent =
                tokio::time::timeout(ANSWER_WAIT, self.port.settle.send(SettleNotes(events)));
            if !matches!(sent.await, Ok(Ok(()))) {
                // They stay unsettled, and are recognised when they are published again.
                log::warn!("events of notes cannot be forgotten: the store does not answer");
            }
        }
        .boxed()
    }

    fn unsettled<'a>(&'a self, limit: usize) -> BoxFuture<'a, Result<Vec<NoteEvent>, NoteError>> {
        asked(&self.port.unsettled, move |reply| ReadUnsettled { limit, reply })
    }
}

fn asked<'a, M, T>(
    to: &'a Recipient<M>,
    message: impl FnOnce(NoteReply<T>) -> M + Send + 'a,
) -> BoxFuture<'a, Result<T, NoteError>>
where
    M: Message<Result = ()> + Send + 'static,
    T: Send + 'static,
{
    async move { answered(ask(to, message)?).await }.boxed()
}

type Answer<T> = oneshot::Receiver<Result<T, NoteError>>;

fn ask<M, T>(
    to: &Recipient<M>,
    message: impl FnOnce(NoteReply<T>) -> M,
) -> Result<Answer<T>, NoteError>
where
    M: Message<Result = ()> + Send,
{
    let (reply, answer) = oneshot::channel();
    match to.try_send(message(reply)) {
        Ok(()) => Ok(answer),
        Err(SendError::Full(_)) => Err(NoteError::Overloaded),
        Err(SendError::Closed(_)) => Err(NoteError::Unavailable),
    }
}

async fn answered<T>(answer: Answer<T>) -> Result<T, NoteError> {
    match tokio::time::timeout(ANSWER_WAIT, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(NoteError::Unavailable),
    }
}
