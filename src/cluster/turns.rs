//! The turns of notes across nodes: the changes of one note take turns on the node that has the
//! slot of its name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::envelope::{Message, Request};
use super::link::Link;
use super::wire::{Input, Wire};
use crate::notebook::{NoteHomes, Notebook, TurnElsewhere};
use crate::notes::NoteError;
use crate::protocol::{NodeNumber, NoteId};

/// How long another node may hold a turn; then its change is taken for kept and untold.
const HELD_MAX: Duration = Duration::from_secs(20);

/// What is told of notes and broadcasts, once there is somebody to tell.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<OnceLock<(Notebook, Arc<Notify>)>>);

impl Ears {
    /// Tells these from now on.
    pub(super) fn open(&self, notebook: Notebook, broadcast_started: Arc<Notify>) {
        // They are opened once, at the start.
        let _ = self.0.set((notebook, broadcast_started));
    }

    fn notebook(&self) -> Option<&Notebook> {
        self.0.get().map(|(notebook, _)| notebook)
    }

    /// Says that this node has slots it did not have.
    pub(super) fn slots_changed(&self) {
        if let Some((notebook, broadcast_started)) = self.0.get() {
            notebook.fall_behind();
            broadcast_started.notify_one();
        }
    }
}

/// Who is told when a turn is over, by the node that has it and its call.
type Held = HashMap<(NodeNumber, u64), oneshot::Sender<bool>>;

/// The turns that other nodes hold here. Bound to its thread.
#[derive(Clone)]
pub(super) struct Turns {
    ears: Ears,
    held: Rc<RefCell<Held>>,
}

impl Turns {
    pub(super) fn new(ears: Ears) -> Self {
        Self { ears, held: Rc::default() }
    }

    /// Gives a node the turn of a note, and holds it until that is over.
    pub(super) async fn give(&self, link: &Link, to: NodeNumber, call: u64, note: NoteId) {
        let Some(notebook) = self.ears.notebook() else {
            link.answer(to, call, &false);
            return;
        };
        let (over, is_over) = oneshot::channel();
        self.held.borrow_mut().insert((to, call), over);
        match notebook.turn_here(&note).await {
            Ok(turn) => {
                link.answer(to, call, &true);
                let is_told = tokio::time::timeout(HELD_MAX, is_over).await;
                if !matches!(is_told, Ok(Ok(true))) {
                    notebook.fall_behind();
                }
                drop(turn);
            }
            Err(_) => link.answer(to, call, &false),
        }
        self.held.borrow_mut().remove(&(to, call));
    }

    /// A turn that was given is over.
    pub(super) fn over(&self, from: NodeNumber, call: u64, is_told: bool) {
        if let Some(over) = self.held.borrow_mut().remove(&(from, call)) {
            // It may have been taken back already.
            let _ = over.send(is_told);
        }
    }
}

/// The homes of notes, as the notebook of this node asks them.
pub(super) struct Homes {
    pub(super) link: Link,
    pub(super) answer_wait: Duration,
}

impl NoteHomes for Homes {
    fn is_here(&self, note: &NoteId) -> bool {
        self.link.view().is_here(note.slot())
    }

    fn turn(&self, note: &NoteId) -> BoxFuture<'static, Result<TurnElsewhere, NoteError>> {
        let (link, note, wait_max) = (self.link.clone(), note.clone(), self.answer_wait);
        let owner = link.view().owner(note.slot()).0;
        Box::pin(async move {
            let home = owner.ok_or(NoteError::Unavailable)?;
            let asked = link.call(home, Request::Turn(note));
            let (call, answer) = asked.map_err(|_| NoteError::Unavailable)?;
            // It gives the turn back in any case, even one that comes too late.
            let over = move |is_told| link.tell(home, &Message::TurnOver(call, is_told));
            let turn = TurnElsewhere::new(Box::new(over));
            match tokio::time::timeout(wait_max, answer).await {
                Ok(Ok(bytes)) if bool::get(&mut Input::new(&bytes)) == Some(true) => Ok(turn),
                Ok(_) | Err(_) => Err(NoteError::Unavailable),
            }
        })
    }
}
