//! Telling everyone of changes that are kept: at once, or later, but before any other change.

use std::sync::Arc;
use std::time::Duration;

use super::Notebook;
use crate::delivery::messages::PublishError;
use crate::notes::{NoteChange, NoteError, NoteEvent};
use crate::protocol::{Audience, ConnectionId, NewEvent, NoteId, UserId};

/// Events of a crash that are told in one go.
const LEFT_MAX: usize = 256;

/// As many when those of other nodes stand before this one's.
const LEFT_OF_ALL_MAX: usize = 64 * LEFT_MAX;

/// How long to wait before a failed telling is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl Notebook {
    /// Tells what is left, whenever something is; runs for ever.
    pub(super) async fn catch_up(self) {
        let mut behind = self.0.behind.subscribe();
        loop {
            if behind.wait_for(|is_behind| *is_behind).await.is_err() {
                return;
            }
            match self.tell_left().await {
                // Looked up under the lock: whoever falls behind meanwhile is not overruled.
                Ok(()) => self.0.behind.send_modify(|is_behind| {
                    *is_behind = !self.slots_behind().is_empty();
                }),
                Err(error) => {
                    log::warn!("changes of notes wait to be told: {error}");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    async fn tell_left(&self) -> Result<(), NoteError> {
        let slots = self.slots_behind();
        if !slots.is_empty() {
            // Whoever had them before keeps nothing more from now on.
            self.0.store.fence(slots.clone()).await?;
        }
        let mut limit = LEFT_MAX;
        loop {
            // Nothing is being told now: every turn looks at `behind` first.
            for turn in &self.0.turns {
                drop(turn.lock().await);
            }
            let mut left = self.0.store.unsettled(limit).await?;
            let is_all = left.len() < limit;
            left.retain(|event| self.is_home_of(&event.note));
            if left.is_empty() {
                // What other nodes have to tell may stand before what this one has.
                if !is_all && limit < LEFT_OF_ALL_MAX {
                    limit *= 2;
                    continue;
                }
                self.0.caught_up.set(if is_all { &slots } else { &[] });
                return if is_all { Ok(()) } else { Err(NoteError::Overloaded) };
            }
            log::info!("telling {} changes of notes that were kept before", left.len());
            for event in left {
                let id = event.id;
                self.publish(event, None).await?;
                self.0.store.settled(vec![id]).await;
            }
        }
    }

    /// Lets nothing be changed until everything that is kept is told.
    pub(crate) fn fall_behind(&self) {
        self.0.behind.send_replace(true);
    }

    /// Tells everyone of a change that is kept. When that fails, it is told later, and before
    /// any other.
    pub(super) async fn tell(&self, change: &NoteChange, except: Option<ConnectionId>) {
        let Some(event) = change.event.clone() else { return };
        let id = event.id;
        match self.publish(event, except).await {
            Ok(()) => {
                let inner = Arc::clone(&self.0);
                // Nobody waits for it to be forgotten.
                tokio::spawn(async move { inner.store.settled(vec![id]).await });
            }
            Err(error) => {
                log::warn!("a change of a note will be told later: {error}");
                self.fall_behind();
            }
        }
    }

    async fn publish(
        &self,
        event: NoteEvent,
        except: Option<ConnectionId>,
    ) -> Result<(), NoteError> {
        let NoteEvent { id, note, kind, data, owner, members, exclude_session } = event;
        let event =
            NewEvent { id: Some(id), data: Some(data), exclude_session, ..NewEvent::new(kind) };
        let users = audiences(&note, owner, members, except);
        for result in self.0.publisher.tell(users, event).await {
            match result {
                Ok(_) => {}
                Err(
                    error @ (PublishError::Overloaded
                    | PublishError::Unavailable
                    | PublishError::Moved),
                ) => {
                    log::debug!("a change of a note is not in every log: {error}");
                    return Err(NoteError::Unavailable);
                }
                Err(error) => log::error!("a change of a note cannot be told: {error}"),
            }
        }
        Ok(())
    }

    pub(super) async fn tell_member(
        &self,
        member: UserId,
        kind: &str,
        data: &serde_json::Value,
    ) -> Result<(), NoteError> {
        let event = NewEvent::new(kind).data(data).map_err(|_| NoteError::Unavailable)?;
        let users = vec![(member, Audience::default())];
        let told = self.0.publisher.tell(users, event).await;
        if told.iter().all(Result::is_ok) { Ok(()) } else { Err(NoteError::Unavailable) }
    }
}

/// The owner's connections get it wherever they are, the members' where they joined.
pub(super) fn audiences(
    note: &NoteId,
    owner: UserId,
    members: Vec<UserId>,
    except: Option<ConnectionId>,
) -> Vec<(UserId, Audience)> {
    let own = (owner, Audience { except, room: None });
    let members =
        members.into_iter().map(|member| (member, Audience { except, room: Some(note.clone()) }));
    std::iter::once(own).chain(members).collect()
}
