//! The turns that changes of one note take: here, or in a cluster where the note is at home.

use std::hash::BuildHasher;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::{Notebook, TURNS};
use crate::notes::NoteError;
use crate::protocol::NoteId;

/// How long a change waits for those before it.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Who knows where the changes of a note take turns.
pub trait NoteHomes: Send + Sync {
    /// Whether it is on this node.
    fn is_here(&self, note: &NoteId) -> bool;

    /// Asks the node where it is for the turn of a note.
    fn turn(&self, note: &NoteId) -> BoxFuture<'static, Result<TurnElsewhere, NoteError>>;
}

/// A turn on another node, until it is dropped.
pub struct TurnElsewhere {
    over: Option<Box<dyn FnOnce(bool) + Send>>,
    is_told: bool,
}

impl TurnElsewhere {
    /// A turn; `over` is told when it ends, and whether everybody was told of the change.
    pub fn new(over: Box<dyn FnOnce(bool) + Send>) -> Self {
        Self { over: Some(over), is_told: true }
    }
}

impl std::fmt::Debug for TurnElsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnElsewhere").finish_non_exhaustive()
    }
}

impl Drop for TurnElsewhere {
    fn drop(&mut self) {
        if let Some(over) = self.over.take() {
            over(self.is_told);
        }
    }
}

/// The turn of a note, until it is dropped.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// On this node.
    Here(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, ()>),
    /// On another.
    There(TurnElsewhere),
}

impl Turn<'_> {
    /// Says that a change may be kept and not told: it is told before any other.
    pub(super) fn fall_behind(&mut self, notebook: &Notebook) {
        match self {
            Turn::Here(_) => notebook.fall_behind(),
            Turn::There(turn) => turn.is_told = false,
        }
    }
}

impl Notebook {
    /// Waits until no other change of this note is on its way, and all before are told.
    pub(super) async fn turn(&self, note: &NoteId) -> Result<Turn<'_>, NoteError> {
        match &self.0.homes {
            Some(homes) if !homes.is_here(note) => Ok(Turn::There(homes.turn(note).await?)),
            Some(_) | None => self.turn_here(note).await,
        }
    }

    /// [`Notebook::turn`] of a note that is at home here.
    pub(crate) async fn turn_here(&self, note: &NoteId) -> Result<Turn<'_>, NoteError> {
        let index = self.0.hasher.hash_one(note) as usize % TURNS;
        let turn = self.0.turns.get(index).ok_or(NoteError::Unavailable)?;
        let mut behind = self.0.behind.subscribe();
        let waiting = async {
            loop {
                let turn = turn.lock().await;
                if !*behind.borrow_and_update() {
                    return Ok(Turn::Here(turn));
                }
                // Whoever catches up needs every turn for itself.
                drop(turn);
                behind.changed().await.map_err(|_| NoteError::Unavailable)?;
            }
        };
        timeout(TURN_WAIT_MAX, waiting).await.unwrap_or(Err(NoteError::Unavailable))
    }

    /// Whether what a note's changes tell is for this node to tell.
    pub(super) fn is_home_of(&self, note: &NoteId) -> bool {
        self.0.homes.as_ref().is_none_or(|homes| homes.is_here(note))
    }
}
