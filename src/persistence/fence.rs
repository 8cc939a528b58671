//! Who may write: only the node that has the slot, at the epoch the write was decided at; of notes,
//! nobody at a lower epoch than somebody before.
//!
//! Looked up in the transaction that writes, and held until it ends. Where there is one node only,
//! nobody asks.

use std::collections::{BTreeMap, BTreeSet};

use diesel::QueryResult;

use super::connection::StoreConnection;
use super::events::LastSeqs;
use super::group::Write;
use super::messages::StoreError;
use super::{note_turns, slots};
use crate::notes::NoteError;
use crate::protocol::{Epoch, NodeNumber, NoteId, Slot, UserId};

/// What a transaction may write.
pub(super) struct Fence {
    /// The slots it may write to; none when it may write to all.
    held: Option<Box<[Option<Epoch>; 256]>>,
    /// The epochs of the turns of notes, of the slots that were asked for.
    turns: BTreeMap<Slot, Epoch>,
}

impl Fence {
    /// Holds every slot that `writes` are about, as far as `here` has them; what is remembered of
    /// slots that were elsewhere meanwhile is forgotten.
    pub(super) fn raise(
        here: Option<NodeNumber>,
        writes: &[Write],
        last: &mut LastSeqs,
        connection: &mut StoreConnection,
    ) -> QueryResult<Self> {
        let turns = raise_turns(writes, connection)?;
        let Some(here) = here else { return Ok(Self { held: None, turns }) };
        let mut wanted = BTreeSet::new();
        for write in writes {
            write.users(|user| {
                wanted.insert(i32::from(user.slot().0));
            });
        }
        let mut held = Box::new([None; 256]);
        if wanted.is_empty() {
            return Ok(Self { held: Some(held), turns });
        }
        let wanted: Vec<i32> = wanted.into_iter().collect();
        for (slot, epoch) in slots::hold(here, &wanted, connection)? {
            if let Some(place) = held.get_mut(usize::from(slot.0)) {
                *place = Some(epoch);
            }
        }
        last.compare(&held);
        Ok(Self { held: Some(held), turns })
    }

    /// Whether something about `user` that was decided at `epoch` may be written.
    pub(super) fn lets(&self, user: &UserId, epoch: Epoch) -> bool {
        let Some(held) = &self.held else { return true };
        held.get(usize::from(user.slot().0)).is_some_and(|known| *known == Some(epoch))
    }

    /// [`Fence::lets`], as what its asker is told.
    pub(super) fn check(&self, user: &UserId, epoch: Epoch) -> Result<(), StoreError> {
        if self.lets(user, epoch) { Ok(()) } else { Err(StoreError::Moved) }
    }

    /// Writes what was decided in a turn of `note`, or says that it may not be.
    pub(super) fn in_turn<T>(
        &self,
        note: &NoteId,
        at: Option<Epoch>,
        write: impl FnOnce() -> QueryResult<Result<T, NoteError>>,
    ) -> QueryResult<Result<T, NoteError>> {
        let known = self.turns.get(&note.slot());
        let is_over = at.is_some_and(|at| known.is_some_and(|known| *known > at));
        if is_over { Ok(Err(StoreError::Moved.into())) } else { write() }
    }
}

/// Raises the epochs of the turns that `writes` rest on, and says what they are.
fn raise_turns(
    writes: &[Write],
    connection: &mut StoreConnection,
) -> QueryResult<BTreeMap<Slot, Epoch>> {
    let mut wanted: BTreeMap<Slot, Epoch> = BTreeMap::new();
    for write in writes {
        write.turns(|slot, epoch| {
            let highest = wanted.entry(slot).or_insert(epoch);
            *highest = epoch.max(*highest);
        });
    }
    if wanted.is_empty() { Ok(wanted) } else { note_turns::raise(wanted, connection) }
}
