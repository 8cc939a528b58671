//! The way in for changes of notes: each is kept, then told to everyone concerned, in order.
//!
//! The changes of one note take turns from the store to the logs, so that no device sees two of
//! them in another order than they were merged. A change that is kept is told, whatever happens:
//! its event rests beside it until it is in every log.

mod homes;
mod sharing;
mod telling;
mod turns;

use std::hash::RandomState;
use std::sync::Arc;

use bytestring::ByteString;
use serde_json::value::RawValue;
use tokio::sync::{Mutex, watch};

pub use self::homes::{NoteAnswer, NoteHomes, NoteOrder, Told};
use self::telling::audiences;
use self::turns::CaughtUp;
use crate::clock;
use crate::config::NotesConfig;
use crate::delivery::Publisher;
use crate::delivery::messages::PublishError;
use crate::notes::{
    Access, Author, Members, NewNote, NoteChange, NoteEdit, NoteError, NoteFields, NotePage,
    NoteQuery, NoteStore, Role, SharedNote, allowed,
};
use crate::protocol::{Audience, ConnectionId, NewEvent, NoteId, SessionId, UserId};
use crate::registry::Rooms;

/// Notes whose changes wait for one another, at most: a power of two.
const TURNS: usize = 256;

/// Where a change comes from: neither the session nor the connection is told of it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Who.
    pub user: UserId,
    /// The session, if it comes from one.
    pub session: Option<SessionId>,
    /// The connection, if it comes from one.
    pub connection: Option<ConnectionId>,
}

/// Every note of this hub. Cheap to clone.
#[derive(Clone)]
pub struct Notebook(Arc<Inner>);

struct Inner {
    store: Arc<dyn NoteStore>,
    publisher: Publisher,
    rooms: Rooms,
    strict_fields: bool,
    members_max: usize,
    hasher: RandomState,
    turns: Vec<Mutex<()>>,
    /// Where notes are at home, if there are other nodes.
    homes: Option<Arc<dyn NoteHomes>>,
    caught_up: CaughtUp,
    /// Whether changes are kept that were not told yet: the next ones wait.
    behind: watch::Sender<bool>,
}

impl std::fmt::Debug for Notebook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notebook").finish_non_exhaustive()
    }
}

impl Notebook {
    /// The notes of `store`.
    pub fn new(
        store: Arc<dyn NoteStore>,
        publisher: Publisher,
        rooms: Rooms,
        homes: Option<Arc<dyn NoteHomes>>,
        config: &NotesConfig,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            publisher,
            rooms,
            strict_fields: config.strict_fields,
            members_max: config.members_max,
            hasher: RandomState::new(),
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            homes,
            caught_up: CaughtUp::default(),
            behind: watch::Sender::new(false),
        }))
    }

    /// Starts to tell what the last life of the hub left untold, and what later fails to be;
    /// until that is done, nothing is changed.
    pub fn start(&self) {
        self.fall_behind();
        actix::spawn(self.clone().catch_up());
    }

    /// Changes fields of a note; `changes` is a JSON object, none when there is none.
    ///
    /// # Errors
    /// Why not. After [`NoteError::Unavailable`] it may have been done all the same.
    pub async fn update(
        &self,
        by: Source,
        note: NoteId,
        changes: Option<&ByteString>,
        base_version: Option<i64>,
    ) -> Result<NoteChange, NoteError> {
        let fields = self.fields(changes);
        changed(self.carry_out(NoteOrder::Update { note, by, fields, base_version }).await)
    }

    /// Makes a note of a JSON object, or sets its fields if the author has it already.
    ///
    /// # Errors
    /// As [`Notebook::update`].
    pub async fn create(
        &self,
        by: Source,
        note: NoteId,
        data: &ByteString,
    ) -> Result<NoteChange, NoteError> {
        let fields = self.fields(Some(data));
        changed(self.carry_out(NoteOrder::Create { note, by, fields }).await)
    }

    /// Deletes a note of the author's own.
    ///
    /// # Errors
    /// As [`Notebook::update`].
    pub async fn delete(&self, by: Source, note: NoteId) -> Result<NoteChange, NoteError> {
        changed(self.carry_out(NoteOrder::Delete { note, by }).await)
    }

    /// Tells a user's other devices of a folder, which the hub does not keep; `data` is a JSON
    /// object. Durable when this returns.
    ///
    /// # Errors
    /// Why not.
    pub async fn folder(
        &self,
        by: Source,
        kind: &str,
        data: &ByteString,
    ) -> Result<(), PublishError> {
        let now = clock::wall();
        let fields = data.strip_suffix('}').unwrap_or(data);
        let from = serde_json::Value::from(by.user.as_str());
        let data = format!("{fields},\"timestamp\":{},\"fromUserId\":{from}}}", now.0);
        let data = RawValue::from_string(data).ok();
        let event = NewEvent { data, exclude_session: by.session.clone(), ..NewEvent::new(kind) };
        let audience = Audience { except: by.connection, room: None };
        let results = self.0.publisher.tell(vec![(by.user, audience)], event).await;
        results.into_iter().try_for_each(|result| result.map(drop))
    }

    /// Reads a note that `user` may see.
    ///
    /// # Errors
    /// [`NoteError::NotFound`] also when it is somebody else's.
    pub async fn read(&self, note: NoteId, user: UserId) -> Result<SharedNote, NoteError> {
        match self.look_up(NoteOrder::Read { note, user }).await? {
            NoteAnswer::Note(shared) => Ok(*shared),
            other => Err(unlike(&other)),
        }
    }

    /// Reads a page of the notes a user may see.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, query: NoteQuery) -> Result<NotePage, NoteError> {
        self.list_all(query).await
    }

    /// Who may see a note.
    ///
    /// # Errors
    /// [`NoteError::NotFound`] when there is no such note.
    pub async fn members(&self, note: NoteId) -> Result<Members, NoteError> {
        match self.look_up(NoteOrder::ReadMembers { note }).await? {
            NoteAnswer::Members(members) => Ok(members),
            other => Err(unlike(&other)),
        }
    }

    /// Shares a note with `member`, whose devices get the whole note as newly created. It goes on
    /// when the caller goes away.
    ///
    /// # Errors
    /// [`NoteError::NotFound`] when there is no such note. After [`NoteError::Unavailable`],
    /// share again.
    pub async fn share(
        &self,
        note: NoteId,
        member: UserId,
        role: Role,
        by: &UserId,
    ) -> Result<(), NoteError> {
        let order = NoteOrder::Share { note, member, role, by: by.clone() };
        self.carry_out(order).await.map(drop)
    }

    /// Takes a member's access away; says whether there was any. The member's devices are told
    /// that the note is gone, and its connections leave the room. It goes on when the caller goes
    /// away.
    ///
    /// # Errors
    /// As [`Notebook::share`].
    pub async fn unshare(
        &self,
        note: NoteId,
        member: UserId,
        by: &UserId,
    ) -> Result<bool, NoteError> {
        let order = NoteOrder::Unshare { note, member, by: by.clone() };
        match self.carry_out(order).await? {
            NoteAnswer::Unshared(was_member) => Ok(was_member),
            other => Err(unlike(&other)),
        }
    }

    /// Publishes an event to everyone who may see a note; plain connections of members get it if
    /// they joined the room.
    ///
    /// # Errors
    /// When there is no such note, or the event breaks the contract.
    pub async fn publish_to_members(
        &self,
        note: NoteId,
        event: NewEvent,
    ) -> Result<Told, NotePublishError> {
        self.0.publisher.check(&event).map_err(PublishError::from)?;
        let order = NoteOrder::Publish { note, event: Box::new(event) };
        match self.carry_out(order).await? {
            NoteAnswer::Published(told) => Ok(told),
            other => Err(unlike(&other).into()),
        }
    }

    /// Whether `user` may join the room of a note, and how.
    ///
    /// # Errors
    /// [`NoteError::NotFound`] when not.
    pub async fn access(&self, note: NoteId, user: UserId) -> Result<Access, NoteError> {
        Ok(self.read(note, user).await?.access)
    }

    /// Who is in which room.
    pub fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    fn fields(&self, json: Option<&ByteString>) -> NoteFields {
        // It was read as an object before; what is none has no fields.
        let fields = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        allowed(fields, self.0.strict_fields)
    }

    async fn update_here(
        &self,
        note: NoteId,
        by: Source,
        changes: NoteFields,
        base_version: Option<i64>,
    ) -> Result<NoteChange, NoteError> {
        let (author, except) = parts(by);
        self.change(note.clone(), except, move |store: Arc<dyn NoteStore>| async move {
            let now = clock::wall();
            store.update(NoteEdit { id: note, by: author, changes, base_version, now }).await
        })
        .await
    }

    async fn create_here(
        &self,
        note: NoteId,
        by: Source,
        fields: NoteFields,
    ) -> Result<NoteChange, NoteError> {
        let (author, except) = parts(by);
        self.change(note.clone(), except, move |store: Arc<dyn NoteStore>| async move {
            store.create(NewNote { id: note, by: author, fields, now: clock::wall() }).await
        })
        .await
    }

    async fn delete_here(&self, note: NoteId, by: Source) -> Result<NoteChange, NoteError> {
        let (author, except) = parts(by);
        self.change(note.clone(), except, move |store: Arc<dyn NoteStore>| async move {
            store.delete(note, author, clock::wall()).await
        })
        .await
    }

    async fn publish_here(&self, note: NoteId, event: NewEvent) -> Result<Told, NoteError> {
        // Whoever is shared the note meanwhile is told of it first.
        let _turn = self.turn(&note).await?;
        let Members { owner, members } = self.0.store.members(note.clone()).await?;
        let members: Vec<_> = members.into_iter().map(|(member, _)| member).collect();
        let audiences = audiences(&note, owner, members, None);
        let users: Vec<_> = audiences.iter().map(|(user, _)| user.clone()).collect();
        let results = self.0.publisher.tell(audiences, event).await;
        Ok(users.into_iter().zip(results).collect())
    }

    /// Makes a change in its turn and tells everyone of it. It goes on when the caller goes away:
    /// what is kept must be told.
    async fn change<F>(
        &self,
        note: NoteId,
        except: Option<ConnectionId>,
        change: impl FnOnce(Arc<dyn NoteStore>) -> F + Send + 'static,
    ) -> Result<NoteChange, NoteError>
    where
        F: Future<Output = Result<NoteChange, NoteError>> + Send + 'static,
    {
        let notebook = self.clone();
        let changing = tokio::spawn(async move {
            let turn = notebook.turn(&note).await?;
            let changed = change(turn.store(&notebook)).await;
            match &changed {
                Ok(change) => notebook.tell(change, except).await,
                // It may be kept all the same.
                Err(NoteError::Unavailable) => notebook.fall_behind(),
                Err(
                    NoteError::NotFound
                    | NoteError::NothingToChange
                    | NoteError::Overloaded
                    | NoteError::TooLarge { .. }
                    | NoteError::TooManyMembers { .. },
                ) => {}
            }
            changed
        });
        changing.await.unwrap_or(Err(NoteError::Unavailable))
    }
}

fn changed(answer: Result<NoteAnswer, NoteError>) -> Result<NoteChange, NoteError> {
    match answer? {
        NoteAnswer::Changed(change) => Ok(*change),
        other => Err(unlike(&other)),
    }
}

/// An answer to another question: another node is of another make.
fn unlike(answer: &NoteAnswer) -> NoteError {
    let kind = std::mem::discriminant(answer);
    log::error!("the home of a note answered something else: {kind:?}");
    NoteError::Unavailable
}

/// Why an event was not published to the members of a note.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotePublishError {
    /// There is no such note, or the store does not answer.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The event breaks the contract.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

fn parts(by: Source) -> (Author, Option<ConnectionId>) {
    (Author { user: by.user, session: by.session }, by.connection)
}
