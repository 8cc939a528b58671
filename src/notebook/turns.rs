//! The turns that changes of one note take, on the node where it is at home.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::{Notebook, TURNS};
use crate::notes::{NoteError, NoteStore};
use crate::protocol::{Epoch, NoteId, Slot};

/// How long a change waits for those before it.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Up to which epoch of each slot everybody was told of what was kept before it.
pub(super) struct CaughtUp([AtomicI64; 256]);

impl Default for CaughtUp {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicI64::new(-1)))
    }
}

impl CaughtUp {
    fn has(&self, slot: Slot, epoch: Epoch) -> bool {
        let place = self.0.get(usize::from(slot.0));
        place.is_some_and(|known| known.load(Ordering::Acquire) == epoch.0)
    }

    pub(super) fn set(&self, slots: &[(Slot, Epoch)]) {
        for (slot, epoch) in slots {
            if let Some(place) = self.0.get(usize::from(slot.0)) {
                place.store(epoch.0, Ordering::Release);
            }
        }
    }
}

/// The turn of a note, until it is dropped.
pub(super) struct Turn<'a> {
    _held: MutexGuard<'a, ()>,
    at: Option<Epoch>,
}

impl Turn<'_> {
    /// The store that takes what is decided in this turn, as long as the note is at home here.
    pub(super) fn store(&self, notebook: &Notebook) -> Arc<dyn NoteStore> {
        let store = &notebook.0.store;
        self.at.and_then(|epoch| store.at(epoch)).unwrap_or_else(|| Arc::clone(store))
    }
}

impl Notebook {
    /// Waits until no other change of this note is on its way, and all before are told.
    ///
    /// # Errors
    /// [`NoteError::Unavailable`] also when the note is at home elsewhere.
    pub(super) async fn turn(&self, note: &NoteId) -> Result<Turn<'_>, NoteError> {
        let index = self.0.hasher.hash_one(note) as usize % TURNS;
        let turn = self.0.turns.get(index).ok_or(NoteError::Unavailable)?;
        let mut behind = self.0.behind.subscribe();
        let waiting = async {
            loop {
                let held = turn.lock().await;
                let at = self.epoch_of(note.slot())?;
                if at.is_some_and(|epoch| !self.0.caught_up.has(note.slot(), epoch)) {
                    self.fall_behind();
                }
                if !*behind.borrow_and_update() {
                    return Ok(Turn { _held: held, at });
                }
                // Whoever catches up needs every turn for itself.
                drop(held);
                behind.changed().await.map_err(|_| NoteError::Unavailable)?;
            }
        };
        timeout(TURN_WAIT_MAX, waiting).await.unwrap_or(Err(NoteError::Unavailable))
    }

    /// The epoch of turns here; none where there is no other node.
    fn epoch_of(&self, slot: Slot) -> Result<Option<Epoch>, NoteError> {
        let Some(homes) = &self.0.homes else { return Ok(None) };
        homes.epoch_here(slot).map(Some).ok_or(NoteError::Unavailable)
    }

    /// The slots whose notes are at home here and may have changes that were not told, if there are
    /// other nodes.
    pub(super) fn slots_behind(&self) -> Vec<(Slot, Epoch)> {
        let mut slots = self.slots_here();
        slots.retain(|(slot, epoch)| !self.0.caught_up.has(*slot, *epoch));
        slots
    }

    /// The slots whose notes are at home here, if there are other nodes.
    pub(super) fn slots_here(&self) -> Vec<(Slot, Epoch)> {
        self.0.homes.as_ref().map(|homes| homes.slots_here()).unwrap_or_default()
    }

    /// Whether what a note's changes tell is for this node to tell.
    pub(super) fn is_home_of(&self, note: &NoteId) -> bool {
        self.0.homes.as_ref().is_none_or(|homes| homes.epoch_here(note.slot()).is_some())
    }
}
