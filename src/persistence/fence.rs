//! Who may write: only the node that has the slot, at the epoch the write was decided at.
//!
//! Looked up in the transaction that writes, and held until it ends. Where there is one node only,
//! nobody asks.

use std::collections::BTreeSet;

use diesel::QueryResult;

use super::connection::StoreConnection;
use super::events::LastSeqs;
use super::group::Write;
use super::messages::StoreError;
use super::slots;
use crate::protocol::{Epoch, NodeNumber, UserId};

/// The slots a transaction may write to; none when it may write to all.
pub(super) struct Fence(Option<Box<[Option<Epoch>; 256]>>);

impl Fence {
    /// Holds every slot that `writes` are about, as far as `here` has them; what is remembered of
    /// slots that were elsewhere meanwhile is forgotten.
    pub(super) fn raise(
        here: Option<NodeNumber>,
        writes: &[Write],
        last: &mut LastSeqs,
        connection: &mut StoreConnection,
    ) -> QueryResult<Self> {
        let Some(here) = here else { return Ok(Self(None)) };
        let mut wanted = BTreeSet::new();
        for write in writes {
            write.users(|user| {
                wanted.insert(i32::from(user.slot().0));
            });
        }
        let mut held = Box::new([None; 256]);
        if wanted.is_empty() {
            return Ok(Self(Some(held)));
        }
        let wanted: Vec<i32> = wanted.into_iter().collect();
        for (slot, epoch) in slots::hold(here, &wanted, connection)? {
            if let Some(place) = held.get_mut(usize::from(slot.0)) {
                *place = Some(epoch);
            }
        }
        last.compare(&held);
        Ok(Self(Some(held)))
    }

    /// Whether something about `user` that was decided at `epoch` may be written.
    pub(super) fn lets(&self, user: &UserId, epoch: Epoch) -> bool {
        let Some(held) = &self.0 else { return true };
        held.get(usize::from(user.slot().0)).is_some_and(|known| *known == Some(epoch))
    }

    /// [`Fence::lets`], as what its asker is told.
    pub(super) fn check(&self, user: &UserId, epoch: Epoch) -> Result<(), StoreError> {
        if self.lets(user, epoch) { Ok(()) } else { Err(StoreError::Moved) }
    }
}
