//! The rooms of this process: who follows which note, on whichever worker.
//!
//! Behind locks, by note, and never held while anything else is waited for: joins, leaves and
//! signals are rare beside deliveries, and each is a few look-ups.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use actix::Recipient;
use bytes::Bytes;

use super::messages::{Order, Orders, RoomFrame};
use super::presence::{Change, Room};
use crate::dialect::{DialectKind, frame};
use crate::protocol::{ConnectionId, NoteId, NotePush, Present, Push, UserId};

/// Parts that are locked apart.
const SHARDS: usize = 16;

type Notes = HashMap<NoteId, Room>;

/// Every room. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rooms(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shards: [Mutex<Notes>; SHARDS],
    hasher: RandomState,
    registries: RwLock<HashMap<u32, Recipient<Orders>>>,
    /// How often somebody was turned out of some room.
    turned_out: AtomicU64,
}

/// A moment before which nobody lost access unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorway(u64);

impl Rooms {
    /// Takes note of a worker's registry.
    pub(super) fn add_registry(&self, worker: u32, registry: Recipient<Orders>) {
        let mut registries = self.0.registries.write().unwrap_or_else(PoisonError::into_inner);
        registries.retain(|_, known| known.connected());
        registries.insert(worker, registry);
    }

    /// To be taken before access is looked up for a [`Rooms::join`].
    pub fn doorway(&self) -> Doorway {
        Doorway(self.0.turned_out.load(Ordering::SeqCst))
    }

    /// Lets a connection in; says who is there. None, and it is not let in, when somebody was
    /// turned out since `doorway`: access is to be looked up again.
    pub fn join(
        &self,
        note: &NoteId,
        connection: ConnectionId,
        user: &UserId,
        watches: bool,
        doorway: Doorway,
    ) -> Option<Vec<Present>> {
        let mut notes = self.shard(note);
        if self.doorway() != doorway {
            return None;
        }
        let room = notes.entry(note.clone()).or_default();
        let change = room.join(connection, user, watches);
        // Told under the lock, so that everybody hears of it in the same order.
        self.tell_joined(note, change);
        Some(room.present())
    }

    /// Lets a connection out.
    pub fn leave(&self, note: &NoteId, connection: ConnectionId) {
        let mut notes = self.shard(note);
        let Some(room) = notes.get_mut(note) else { return };
        let change = room.leave(connection);
        if room.is_empty() {
            notes.remove(note);
        }
        self.tell_left(note, change);
    }

    /// Turns everybody out who may not be there (any more), and tells them. Their access must be
    /// gone already.
    pub fn turn_out(&self, note: &NoteId, is_allowed: impl Fn(&UserId) -> bool) {
        self.0.turned_out.fetch_add(1, Ordering::SeqCst);
        let strangers = match self.shard(note).get(note) {
            Some(room) => room.strangers(is_allowed),
            None => return,
        };
        for connection in strangers {
            self.leave(note, connection);
            self.order(connection.worker, Order::LeaveRoom { connection, note: note.clone() });
        }
    }

    /// Says something of the moment to everybody else in a room; nothing when `from` is not in
    /// it.
    pub fn signal(&self, note: &NoteId, connection: ConnectionId, signal: NotePush) {
        let targets = match self.shard(note).get(note) {
            Some(room) if room.holds(connection) => room.others(connection),
            Some(_) | None => return,
        };
        self.send(targets, signal, RoomFrame::Signal);
    }

    fn tell_joined(&self, note: &NoteId, change: Option<Change>) {
        let Some(Change { present, watchers }) = change else { return };
        let (note, joins) = (note.clone(), vec![present]);
        let diff = NotePush::PresenceDiff { note, joins, leaves: Vec::new() };
        self.send(watchers, diff, RoomFrame::Presence);
    }

    fn tell_left(&self, note: &NoteId, change: Option<Change>) {
        let Some(Change { present, watchers }) = change else { return };
        let (note, leaves) = (note.clone(), vec![present]);
        let diff = NotePush::PresenceDiff { note, joins: Vec::new(), leaves };
        self.send(watchers, diff, RoomFrame::Presence);
    }

    /// Hands a frame, encoded once, to connections of any worker.
    fn send(&self, mut targets: Vec<ConnectionId>, push: NotePush, kind: RoomFrame) {
        if targets.is_empty() {
            return;
        }
        // Rooms are a matter of the native dialect.
        let Some(text) = DialectKind::Native.dialect().encode(&Push::Note(push)) else { return };
        let frame: Bytes = frame::text(&text);
        while let Some(worker) = targets.first().map(|first| first.worker) {
            let here: Vec<_> = targets.extract_if(.., |target| target.worker == worker).collect();
            self.order(worker, Order::Room { frame: frame.clone(), targets: here, kind });
        }
    }

    fn order(&self, worker: u32, order: Order) {
        let registries = self.0.registries.read().unwrap_or_else(PoisonError::into_inner);
        let Some(registry) = registries.get(&worker) else { return };
        if registry.try_send(Orders(vec![order])).is_err() {
            log::warn!("worker {worker} does not keep up: a room was not told something");
        }
    }

    fn shard(&self, note: &NoteId) -> MutexGuard<'_, Notes> {
        let shard = (self.0.hasher.hash_one(note) % SHARDS as u64) as usize;
        #[expect(clippy::indexing_slicing, reason = "shard is below SHARDS")]
        self.0.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
