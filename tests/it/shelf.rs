//! Notes that a host keeps itself, in memory, and that a test may disturb.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::{BoxFuture, FutureExt, ready};
use staffetta::EventId;
use staffetta::notes::{
    Author, Members, NewNote, Note, NoteChange, NoteEdit, NoteError, NoteEvent, NotePage,
    NoteQuery, NoteStore, Role, Shared, SharedNote, Standing, create, delete, update,
};
use staffetta::protocol::{NoteId, Timestamp, UserId};
use tokio::sync::Semaphore;

const BYTES_MAX: usize = 10_000;

/// A shelf of notes. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Inner>);

#[derive(Default)]
struct Inner {
    notes: Mutex<BTreeMap<NoteId, Standing>>,
    unsettled: Mutex<Vec<NoteEvent>>,
    /// Whether the next change is kept and said to have failed.
    fails_next: AtomicBool,
    /// Whether a read answers what it found only after `release`.
    holds_reads: AtomicBool,
    held: AtomicBool,
    released: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Shelf {
    /// Keeps the next change, but says that it could not be done; access that is taken away next
    /// stays.
    pub(crate) fn fail_next(&self) {
        self.0.fails_next.store(true, Ordering::SeqCst);
    }

    /// Lets the next read wait with what it found.
    pub(crate) fn hold_reads(&self) {
        self.0.holds_reads.store(true, Ordering::SeqCst);
    }

    /// Whether a read waits.
    pub(crate) fn holds_one(&self) -> bool {
        self.0.held.load(Ordering::SeqCst)
    }

    /// Lets the read that waits go on.
    pub(crate) fn release(&self) {
        self.0.released.0.add_permits(1);
    }

    /// How many events were not said to be in every log.
    pub(crate) fn unsettled_count(&self) -> usize {
        self.0.unsettled.lock().unwrap().len()
    }

    fn notes(&self) -> MutexGuard<'_, BTreeMap<NoteId, Standing>> {
        self.0.notes.lock().unwrap()
    }

    fn change(
        &self,
        id: NoteId,
        change: impl FnOnce(Option<&Standing>, EventId) -> Result<NoteChange, NoteError>,
    ) -> BoxFuture<'_, Result<NoteChange, NoteError>> {
        let mut notes = self.notes();
        let event = EventId(uuid::Uuid::now_v7());
        let mut changed = change(notes.get(&id), event);
        if let Ok(NoteChange { note, event: Some(event), .. }) = &changed {
            let members = notes.get(&id).map(|kept| kept.members.clone()).unwrap_or_default();
            notes.insert(id, Standing { note: note.clone(), members });
            self.0.unsettled.lock().unwrap().push(event.clone());
            if self.0.fails_next.swap(false, Ordering::SeqCst) {
                changed = Err(NoteError::Unavailable);
            }
        }
        ready(changed).boxed()
    }

    fn alive<T>(
        &self,
        id: &NoteId,
        look: impl FnOnce(&mut Standing) -> Option<T>,
    ) -> BoxFuture<'static, Result<T, NoteError>>
    where
        T: Send + 'static,
    {
        let mut notes = self.notes();
        let kept = notes.get_mut(id).filter(|kept| !kept.note.is_tombstone());
        ready(kept.and_then(look).ok_or(NoteError::NotFound)).boxed()
    }
}

fn shared(kept: &Standing, user: &UserId) -> Option<SharedNote> {
    kept.access(user).map(|access| SharedNote { note: kept.note.clone(), access })
}

impl NoteStore for Shelf {
    fn create<'a>(&'a self, new: NewNote) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
        self.change(new.id.clone(), |kept, event| create(kept, &new, event, BYTES_MAX))
    }

    fn update<'a>(&'a self, edit: NoteEdit) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
        self.change(edit.id.clone(), |kept, event| update(kept, &edit, event, BYTES_MAX))
    }

    fn delete<'a>(
        &'a self,
        id: NoteId,
        by: Author,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NoteChange, NoteError>> {
        self.change(id, |kept, event| delete(kept, &by, event, now))
    }

    fn read<'a>(
        &'a self,
        id: NoteId,
        user: UserId,
    ) -> BoxFuture<'a, Result<SharedNote, NoteError>> {
        let found = self.alive(&id, |kept| shared(kept, &user));
        async move {
            if self.0.holds_reads.swap(false, Ordering::SeqCst) {
                self.0.held.store(true, Ordering::SeqCst);
                drop(self.0.released.0.acquire().await);
            }
            found.await
        }
        .boxed()
    }

    fn list<'a>(&'a self, query: NoteQuery) -> BoxFuture<'a, Result<NotePage, NoteError>> {
        let notes = self.notes();
        let alive = notes.values().filter(|kept| !kept.note.is_tombstone());
        let notes = alive.filter_map(|kept| shared(kept, &query.user)).collect();
        ready(Ok(NotePage { notes, next: None })).boxed()
    }

    fn members<'a>(&'a self, id: NoteId) -> BoxFuture<'a, Result<Members, NoteError>> {
        self.alive(&id, |kept| {
            Some(Members { owner: kept.note.owner.clone(), members: kept.members.clone() })
        })
    }

    fn share<'a>(
        &'a self,
        id: NoteId,
        member: UserId,
        role: Role,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<Shared, NoteError>> {
        self.alive(&id, |kept| {
            let is_new = kept.access(&member).is_none();
            kept.members.retain(|(known, _)| *known != member);
            kept.members.push((member, role));
            Some(Shared { is_new, note: Note::clone(&kept.note) })
        })
    }

    fn unshare<'a>(&'a self, id: NoteId, member: UserId) -> BoxFuture<'a, Result<bool, NoteError>> {
        if self.0.fails_next.swap(false, Ordering::SeqCst) {
            return ready(Err(NoteError::Unavailable)).boxed();
        }
        let mut notes = self.notes();
        let members = notes.get_mut(&id).map(|kept| &mut kept.members);
        let was = members.is_some_and(|members| {
            let before = members.len();
            members.retain(|(known, _)| *known != member);
            members.len() < before
        });
        ready(Ok(was)).boxed()
    }

    fn settled<'a>(&'a self, events: Vec<EventId>) -> BoxFuture<'a, ()> {
        let events: BTreeSet<_> = events.into_iter().collect();
        self.0.unsettled.lock().unwrap().retain(|event| !events.contains(&event.id));
        ready(()).boxed()
    }

    fn unsettled<'a>(&'a self, limit: usize) -> BoxFuture<'a, Result<Vec<NoteEvent>, NoteError>> {
        let all = self.0.unsettled.lock().unwrap();
        ready(Ok(all.iter().take(limit).cloned().collect())).boxed()
    }
}
