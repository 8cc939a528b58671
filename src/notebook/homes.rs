//! Where notes are at home: the one node on which the changes of a note are made.

use futures_util::future::BoxFuture;

use super::{Notebook, Source};
use crate::delivery::messages::{PublishError, Receipt};
use crate::notes::{
    Members, NoteChange, NoteError, NoteFields, NotePage, NoteQuery, Role, SharedNote, merge_pages,
};
use crate::protocol::{Epoch, NewEvent, NoteId, Slot, UserId};

/// What is done to a note, where it is at home.
#[derive(Clone, Debug)]
pub enum NoteOrder {
    /// Set fields of it.
    Update {
        /// Which.
        note: NoteId,
        /// Who.
        by: Source,
        /// The fields.
        fields: NoteFields,
        /// The version the author had seen.
        base_version: Option<i64>,
    },
    /// Create it.
    Create {
        /// Which.
        note: NoteId,
        /// Who.
        by: Source,
        /// What it holds.
        fields: NoteFields,
    },
    /// Delete it.
    Delete {
        /// Which.
        note: NoteId,
        /// Who.
        by: Source,
    },
    /// Let a member in.
    Share {
        /// Which.
        note: NoteId,
        /// With whom.
        member: UserId,
        /// What they may do.
        role: Role,
        /// In whose name.
        by: UserId,
    },
    /// Turn a member away.
    Unshare {
        /// Which.
        note: NoteId,
        /// Whom.
        member: UserId,
        /// In whose name.
        by: UserId,
    },
    /// Publish to everyone who may see it.
    Publish {
        /// Which.
        note: NoteId,
        /// What, which keeps the contract.
        event: Box<NewEvent>,
    },
    /// Read it for a user.
    Read {
        /// Which.
        note: NoteId,
        /// For whom.
        user: UserId,
    },
    /// Read who may see it.
    ReadMembers {
        /// Which.
        note: NoteId,
    },
}

/// What an event became in the logs of everyone concerned.
pub type Told = Vec<(UserId, Result<Receipt, PublishError>)>;

/// What came of a [`NoteOrder`].
#[derive(Clone, Debug)]
pub enum NoteAnswer {
    /// It is changed.
    Changed(Box<NoteChange>),
    /// It is shared.
    Shared,
    /// It is not shared any more; whether it was before.
    Unshared(bool),
    /// It is published.
    Published(Told),
    /// The note.
    Note(Box<SharedNote>),
    /// Who may see it.
    Members(Members),
}

/// Who knows where notes are at home.
pub trait NoteHomes: Send + Sync {
    /// At which epoch the notes of a slot are at home on this node, if they are.
    fn epoch_here(&self, slot: Slot) -> Option<Epoch>;

    /// Every slot whose notes are.
    fn slots_here(&self) -> Vec<(Slot, Epoch)>;

    /// Whether each node keeps the notes that are at home on it, and no other sees them.
    fn are_apart(&self) -> bool;

    /// Has the node obey where the note is at home.
    fn ask(&self, order: NoteOrder) -> BoxFuture<'static, Result<NoteAnswer, NoteError>>;

    /// Asks every other node for its part of a list.
    fn list(&self, query: NoteQuery) -> BoxFuture<'static, Result<Vec<NotePage>, NoteError>>;
}

impl NoteOrder {
    /// Which note.
    pub fn note(&self) -> &NoteId {
        match self {
            NoteOrder::Update { note, .. }
            | NoteOrder::Create { note, .. }
            | NoteOrder::Delete { note, .. }
            | NoteOrder::Share { note, .. }
            | NoteOrder::Unshare { note, .. }
            | NoteOrder::Publish { note, .. }
            | NoteOrder::Read { note, .. }
            | NoteOrder::ReadMembers { note } => note,
        }
    }
}

impl Notebook {
    /// Obeys, here or where the note is at home.
    pub(super) async fn carry_out(&self, order: NoteOrder) -> Result<NoteAnswer, NoteError> {
        match &self.0.homes {
            Some(homes) if homes.epoch_here(order.note().slot()).is_none() => {
                homes.ask(order).await
            }
            Some(_) | None => self.obey(order).await,
        }
    }

    /// Obeys, as the home of the note.
    pub(crate) async fn obey(&self, order: NoteOrder) -> Result<NoteAnswer, NoteError> {
        let changed = |change| NoteAnswer::Changed(Box::new(change));
        match order {
            NoteOrder::Update { note, by, fields, base_version } => {
                self.update_here(note, by, fields, base_version).await.map(changed)
            }
            NoteOrder::Create { note, by, fields } => {
                self.create_here(note, by, fields).await.map(changed)
            }
            NoteOrder::Delete { note, by } => self.delete_here(note, by).await.map(changed),
            NoteOrder::Share { note, member, role, by } => {
                self.share_here(note, member, role, by).await.map(|()| NoteAnswer::Shared)
            }
            NoteOrder::Unshare { note, member, by } => {
                self.unshare_here(note, member, by).await.map(NoteAnswer::Unshared)
            }
            NoteOrder::Publish { note, event } => {
                self.publish_here(note, *event).await.map(NoteAnswer::Published)
            }
            NoteOrder::Read { note, user } => {
                let shared = self.0.store.read(note, user).await?;
                Ok(NoteAnswer::Note(Box::new(shared)))
            }
            NoteOrder::ReadMembers { note } => {
                self.0.store.members(note).await.map(NoteAnswer::Members)
            }
        }
    }

    /// Reads a page of the notes that are at home here, or of all where they are kept together.
    pub(crate) async fn list_here(&self, query: NoteQuery) -> Result<NotePage, NoteError> {
        self.0.store.list(query).await
    }

    /// Reads a page of the notes of every node.
    pub(super) async fn list_all(&self, query: NoteQuery) -> Result<NotePage, NoteError> {
        let Some(homes) = self.homes_apart() else { return self.list_here(query).await };
        let limit = query.limit;
        let (here, elsewhere) = tokio::join!(self.list_here(query.clone()), homes.list(query));
        let mut pages = elsewhere?;
        pages.push(here?);
        Ok(merge_pages(pages, limit))
    }

    /// Reads a note, or who may see it, where it is kept.
    pub(super) async fn look_up(&self, order: NoteOrder) -> Result<NoteAnswer, NoteError> {
        match self.homes_apart() {
            Some(_) => self.carry_out(order).await,
            None => self.obey(order).await,
        }
    }

    fn homes_apart(&self) -> Option<&dyn super::NoteHomes> {
        self.0.homes.as_deref().filter(|homes| homes.are_apart())
    }
}
