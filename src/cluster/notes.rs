//! Notes across nodes: the changes of a note are made on the node that has the slot of its name.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::asking::Asking;
use super::envelope::Request;
use super::link::AskError;
use super::view::View;
use crate::notebook::{NoteAnswer, NoteHomes, NoteOrder, Notebook};
use crate::notes::{NoteError, NotePage, NoteQuery};
use crate::protocol::{Epoch, Slot};

/// What is told of notes and broadcasts, once there is somebody to tell.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<OnceLock<(Notebook, Arc<Notify>)>>);

impl Ears {
    /// Tells these from now on.
    pub(super) fn open(&self, notebook: Notebook, broadcast_started: Arc<Notify>) {
        // They are opened once, at the start.
        let _ = self.0.set((notebook, broadcast_started));
    }

    /// Says that this node has slots it did not have.
    pub(super) fn slots_changed(&self) {
        if let Some((notebook, broadcast_started)) = self.0.get() {
            notebook.fall_behind();
            broadcast_started.notify_one();
        }
    }

    /// Says that a broadcast was taken here.
    pub(super) fn broadcast_started(&self) {
        if let Some((_, broadcast_started)) = self.0.get() {
            broadcast_started.notify_one();
        }
    }

    /// Does to a note what another node asked for.
    pub(super) async fn obey(&self, order: NoteOrder) -> Result<NoteAnswer, NoteError> {
        match self.0.get() {
            Some((notebook, _)) => notebook.obey(order).await,
            None => Err(NoteError::Unavailable),
        }
    }

    /// Reads this node's part of a list.
    pub(super) async fn list(&self, query: NoteQuery) -> Result<NotePage, NoteError> {
        match self.0.get() {
            Some((notebook, _)) => notebook.list_here(query).await,
            None => Err(NoteError::Unavailable),
        }
    }
}

/// The homes of notes, as the notebook of this node asks them.
pub(super) struct Homes {
    pub(super) asking: Asking,
    /// Whether every node has a database of its own.
    pub(super) are_apart: bool,
}

impl Homes {
    fn view(&self) -> &View {
        self.asking.link().view()
    }
}

impl NoteHomes for Homes {
    fn epoch_here(&self, slot: Slot) -> Option<Epoch> {
        let (owner, epoch) = self.view().owner(slot);
        (owner == Some(self.asking.here())).then_some(epoch)
    }

    fn slots_here(&self) -> Vec<(Slot, Epoch)> {
        self.view().slots_of(self.asking.here())
    }

    fn are_apart(&self) -> bool {
        self.are_apart
    }

    fn ask(&self, order: NoteOrder) -> BoxFuture<'static, Result<NoteAnswer, NoteError>> {
        let asking = self.asking.clone();
        let owner = self.view().owner(order.note().slot()).0;
        Box::pin(async move {
            let home = owner.ok_or(NoteError::Unavailable)?;
            let asked = asking.ask(home, Request::Note(Box::new(order))).await;
            asked.unwrap_or(Err(NoteError::Unavailable))
        })
    }

    fn list(&self, query: NoteQuery) -> BoxFuture<'static, Result<Vec<NotePage>, NoteError>> {
        let (asking, owners) = (self.asking.clone(), self.asking.owners());
        Box::pin(async move {
            // A part of a list would look like notes that are gone.
            let mut nodes = owners.ok_or(NoteError::Unavailable)?;
            nodes.retain(|node| *node != asking.here());
            let pages = asking.ask_all(nodes, || Request::ListNotes(query.clone())).await;
            let heard = |page: Result<_, AskError>| page.unwrap_or(Err(NoteError::Unavailable));
            pages.into_iter().map(heard).collect()
        })
    }
}
