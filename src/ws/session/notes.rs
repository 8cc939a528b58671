//! What a connection asks about notes. A change waits for the one before it, so that the answers
//! keep the order of the questions.

use std::time::Duration;

use actix::{ActorFutureExt, Context, ContextFutureSpawner, WrapFuture};
use bytestring::ByteString;

use super::{Standing, WsSession};
use crate::clock;
use crate::delivery::messages::PublishError;
use crate::extension::Extensions;
use crate::host::bounded;
use crate::notebook::{Notebook, Source};
use crate::notes::{NoteChange, NoteError};
use crate::protocol::{ClientError, NoteCommand, NoteId, NotePush, NoteRefusal, Push, UserId};
use crate::registry::Doorway;

/// What the client is told.
enum Told {
    Nothing,
    Push(NotePush),
    Error(ClientError),
    /// It may join the room, unless somebody was turned out meanwhile.
    Joins {
        note: NoteId,
        presence: bool,
        doorway: Doorway,
    },
}

impl WsSession {
    pub(super) fn obey_note(&mut self, command: NoteCommand, ctx: &mut Context<Self>) {
        let Some(user) = self.connection.user() else {
            let is_update = matches!(
                command,
                NoteCommand::Update { .. } | NoteCommand::Bad { is_update: true, .. }
            );
            if is_update {
                self.refuse(ClientError::AuthRequired);
            }
            return;
        };
        match command {
            NoteCommand::Leave { note } => self.leave(note),
            NoteCommand::Signal { note, data } => self.signal(note, user, data),
            NoteCommand::Bad { note, refusal, .. } => self.say_refused(note, refusal),
            NoteCommand::Join { .. }
            | NoteCommand::Update { .. }
            | NoteCommand::Created { .. }
            | NoteCommand::Deleted { .. }
            | NoteCommand::Folder { .. } => {
                let session = match &self.standing {
                    Standing::Reliable(session) => Some(session.clone()),
                    Standing::Stranger | Standing::Plain => None,
                };
                let by = Source { user, session, connection: Some(self.connection.id) };
                let parts = self.worker.parts();
                let notebook = parts.notebook.clone();
                let wait_max = self.worker.config().limits.command_timeout_ms;
                let says = Says {
                    extensions: parts.extensions.clone(),
                    wait_max: Duration::from_millis(wait_max),
                };
                async move { ask(&notebook, &says, by, command).await }
                    .into_actor(self)
                    .map(|told, session, ctx| session.tell(told, ctx))
                    .wait(ctx);
            }
        }
    }

    fn tell(&mut self, told: Told, ctx: &mut Context<Self>) {
        match told {
            Told::Nothing => {}
            Told::Push(push) => self.say(&Push::Note(push)),
            Told::Error(error) => self.refuse(error),
            Told::Joins { note, presence, doorway } => self.join(note, presence, doorway, ctx),
        }
    }

    fn say_refused(&self, note: Option<NoteId>, refusal: NoteRefusal) {
        self.say(&Push::Note(NotePush::Refused { note, refusal }));
    }

    fn join(&mut self, note: NoteId, presence: bool, doorway: Doorway, ctx: &mut Context<Self>) {
        let Some(user) = self.connection.user() else { return };
        let rooms_max = self.worker.config().limits.rooms_per_connection_max;
        let is_in = self.connection.is_in(&note);
        if !is_in && self.connection.rooms.borrow().len() >= rooms_max {
            self.say_refused(Some(note), NoteRefusal::TooManyRooms);
            return;
        }
        let rooms = &self.worker.parts().rooms;
        let Some(present) = rooms.join(&note, self.connection.id, &user, presence, doorway) else {
            self.obey_note(NoteCommand::Join { note, presence }, ctx);
            return;
        };
        if !is_in {
            self.connection.rooms.borrow_mut().push(note.clone());
        }
        self.say(&Push::Note(NotePush::Joined(note.clone())));
        if presence {
            self.say(&Push::Note(NotePush::PresenceState { note, present }));
        }
    }

    fn leave(&self, note: NoteId) {
        self.connection.rooms.borrow_mut().retain(|room| *room != note);
        self.worker.parts().rooms.leave(&note, self.connection.id);
        self.say(&Push::Note(NotePush::Left(note)));
    }

    fn signal(&mut self, note: NoteId, from: UserId, data: Option<ByteString>) {
        let signals_max = self.worker.config().limits.signals_per_second_max;
        if !self.signals.allows(signals_max, clock::now()) {
            self.refuse(ClientError::RateLimited);
            return;
        }
        if !self.connection.is_in(&note) {
            self.say_refused(Some(note), NoteRefusal::NotFound);
            return;
        }
        let (rooms, timestamp) = (&self.worker.parts().rooms, clock::wall());
        let push = NotePush::Signal { note: note.clone(), from, data, timestamp };
        rooms.signal(&note, self.connection.id, push);
    }
}

/// The say of the host's extensions.
struct Says {
    extensions: Extensions,
    wait_max: Duration,
}

impl Says {
    /// Whether all let a user join a room; none when one does not answer.
    async fn let_join(&self, user: &UserId, note: &NoteId) -> Option<bool> {
        bounded("an extension", self.wait_max, self.extensions.let_join(user, note)).await
    }
}

/// Asks the notebook, and says what to tell the client.
async fn ask(notebook: &Notebook, says: &Says, by: Source, command: NoteCommand) -> Told {
    match command {
        NoteCommand::Join { note, presence } => {
            let doorway = notebook.rooms().doorway();
            if let Err(error) = notebook.access(note.clone(), by.user.clone()).await {
                return refused(note, &error);
            }
            match says.let_join(&by.user, &note).await {
                Some(true) => Told::Joins { note, presence, doorway },
                Some(false) => refused(note, &NoteError::NotFound),
                None => Told::Error(ClientError::Unavailable),
            }
        }
        NoteCommand::Update { note, changes, base_version } => {
            match notebook.update(by, note.clone(), changes.as_ref(), base_version).await {
                Ok(change) => Told::Push(updated(note, &change)),
                Err(error) => refused(note, &error),
            }
        }
        NoteCommand::Created { note, claimed_by, .. } if is_another(claimed_by.as_ref(), &by) => {
            let refusal = NoteRefusal::AnotherUsers;
            Told::Push(NotePush::Refused { note: Some(note), refusal })
        }
        NoteCommand::Created { note, data, .. } => {
            match notebook.create(by, note.clone(), &data).await {
                Ok(_) => Told::Nothing,
                Err(error) => refused(note, &error),
            }
        }
        NoteCommand::Deleted { note } => match notebook.delete(by, note.clone()).await {
            Ok(_) => Told::Nothing,
            Err(error) => refused(note, &error),
        },
        NoteCommand::Folder { claimed_by, .. } if is_another(claimed_by.as_ref(), &by) => {
            Told::Push(NotePush::Refused { note: None, refusal: NoteRefusal::AnotherUsers })
        }
        NoteCommand::Folder { kind, data, .. } => match notebook.folder(by, kind, &data).await {
            Ok(()) => Told::Nothing,
            Err(PublishError::Invalid(_) | PublishError::Conflict | PublishError::Forbidden) => {
                Told::Error(ClientError::InvalidFormat)
            }
            Err(PublishError::Overloaded | PublishError::Unavailable | PublishError::Moved) => {
                Told::Error(ClientError::Unavailable)
            }
        },
        // These were done without asking.
        NoteCommand::Leave { .. } | NoteCommand::Signal { .. } | NoteCommand::Bad { .. } => {
            Told::Nothing
        }
    }
}

fn is_another(claimed_by: Option<&String>, by: &Source) -> bool {
    claimed_by.is_some_and(|claimed_by| claimed_by != by.user.as_str())
}

fn refused(note: NoteId, error: &NoteError) -> Told {
    let refusal = match error {
        NoteError::NotFound => NoteRefusal::NotFound,
        NoteError::NothingToChange => NoteRefusal::NothingToChange,
        NoteError::TooLarge { .. } => NoteRefusal::TooLarge,
        // Nothing is shared on a connection.
        NoteError::TooManyMembers { .. } | NoteError::Unavailable | NoteError::Overloaded => {
            return Told::Error(ClientError::Unavailable);
        }
    };
    Told::Push(NotePush::Refused { note: Some(note), refusal })
}

fn updated(note: NoteId, change: &NoteChange) -> NotePush {
    let conflicts = (!change.conflicts.is_empty())
        .then(|| serde_json::to_string(&change.conflicts).unwrap_or_default().into());
    NotePush::Updated {
        note,
        updated: change.note.to_json().get().into(),
        timestamp: change.note.updated_at,
        conflicts,
    }
}
