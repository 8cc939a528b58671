//! The rooms of this process: who follows which note, on whichever worker.
//!
//! Behind locks, by note, and never held while anything else is waited for: joins, leaves and
//! signals are rare beside deliveries, and each is a few look-ups.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;

use super::directory::Directory;
use super::messages::{Order, RoomFrame};
use super::presence::{Change, Room};
use crate::dialect::{DialectKind, frame};
use crate::protocol::{ConnectionId, NodeNumber, NoteId, NotePush, Present, Push, UserId};

/// Parts that are locked apart.
const SHARDS: usize = 16;

type Notes = HashMap<NoteId, Room>;

/// Every room. Cheap to clone.
#[derive(Clone, Default)]
pub struct Rooms(Arc<Inner>);

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    shards: [Mutex<Notes>; SHARDS],
    hasher: RandomState,
    directory: Directory,
    /// The rooms of other nodes, if there are any.
    elsewhere: OnceLock<Arc<dyn RoomsElsewhere>>,
    /// How often somebody was turned out of some room.
    turned_out: AtomicU64,
}

/// The rooms of other nodes. Nothing is waited for, and what is lost is put right by what follows.
pub trait RoomsElsewhere: Send + Sync {
    /// This many connections of a user are in the room here.
    fn count(&self, note: &NoteId, present: Present);

    /// Who is in the room on other nodes? They answer by counts.
    fn ask(&self, note: &NoteId);

    /// Somebody in the room says something of the moment.
    fn signal(&self, nodes: &[NodeNumber], push: &NotePush);

    /// A user has no access any more.
    fn turn_out(&self, note: &NoteId, user: &UserId);
}

/// A moment before which nobody lost access unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorway(u64);

impl Rooms {
    /// Empty rooms, with connections in these registries.
    pub fn new(directory: Directory) -> Self {
        Self(Arc::new(Inner { directory, ..Inner::default() }))
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
        let is_new = !notes.contains_key(note);
        let room = notes.entry(note.clone()).or_default();
        let change = room.join(connection, user, watches);
        if let (Some(elsewhere), Some(_)) = (self.0.elsewhere.get(), &change) {
            elsewhere.count(note, here(room, user));
            if is_new {
                elsewhere.ask(note);
            }
        }
        // Told under the lock, so that everybody hears of it in the same order.
        self.tell_joined(note, change);
        Some(room.present())
    }

    /// Lets a connection out.
    pub fn leave(&self, note: &NoteId, connection: ConnectionId) {
        let mut notes = self.shard(note);
        let Some(room) = notes.get_mut(note) else { return };
        let change = room.leave(connection);
        if let (Some(elsewhere), Some(change)) = (self.0.elsewhere.get(), &change) {
            elsewhere.count(note, here(room, &change.present.user));
        }
        if room.is_empty() {
            notes.remove(note);
        }
        self.tell_left(note, change);
    }

    /// Turns a user out, on every node, and tells its connections. To be called (again) once the
    /// access is gone: until then it may come back.
    pub fn turn_out(&self, note: &NoteId, user: &UserId) {
        if let Some(elsewhere) = self.0.elsewhere.get() {
            elsewhere.turn_out(note, user);
        }
        self.turn_out_here(note, |known| known != user);
    }

    /// Turns everybody out who may not be there (any more), and tells them.
    pub fn turn_out_here(&self, note: &NoteId, is_allowed: impl Fn(&UserId) -> bool) {
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
        let (targets, nodes) = match self.shard(note).get(note) {
            Some(room) if room.holds(connection) => (room.others(connection), room.nodes()),
            Some(_) | None => return,
        };
        if let (Some(elsewhere), false) = (self.0.elsewhere.get(), nodes.is_empty()) {
            elsewhere.signal(&nodes, &signal);
        }
        self.send(targets, signal, RoomFrame::Signal);
    }

    /// Joins these rooms with those of other nodes.
    pub(crate) fn join_elsewhere(&self, elsewhere: Arc<dyn RoomsElsewhere>) {
        // There is one cluster.
        let _ = self.0.elsewhere.set(elsewhere);
    }

    /// Takes note of how many connections of a user another node has in a room.
    pub(crate) fn count_elsewhere(&self, note: &NoteId, node: NodeNumber, present: Present) {
        let mut notes = self.shard(note);
        let Some(room) = notes.get_mut(note) else { return };
        match room.count_elsewhere(node, present) {
            Some((change, true)) => self.tell_joined(note, Some(change)),
            Some((change, false)) => self.tell_left(note, Some(change)),
            None => {}
        }
    }

    /// Who is in a room with a connection of this node.
    pub(crate) fn present_here(&self, note: &NoteId) -> Vec<Present> {
        self.shard(note).get(note).map(Room::present_here).unwrap_or_default()
    }

    /// Says here what somebody said in the room on another node.
    pub(crate) fn signal_from_elsewhere(&self, note: &NoteId, signal: NotePush) {
        let targets = match self.shard(note).get(note) {
            Some(room) => room.everyone(),
            None => return,
        };
        self.send(targets, signal, RoomFrame::Signal);
    }

    /// Forgets who was in rooms on a node that is gone.
    pub(crate) fn forget_node(&self, node: NodeNumber) {
        for shard in &self.0.shards {
            let mut notes = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (note, room) in notes.iter_mut() {
                for change in room.forget_node(node) {
                    self.tell_left(note, Some(change));
                }
            }
        }
    }

    /// Asks anew who is in every room on other nodes: what they said may be lost.
    pub(crate) fn ask_again(&self) {
        let Some(elsewhere) = self.0.elsewhere.get() else { return };
        for shard in &self.0.shards {
            let notes = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (note, room) in notes.iter() {
                elsewhere.ask(note);
                for present in room.present_here() {
                    elsewhere.count(note, present);
                }
            }
        }
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
        if !self.0.directory.order(worker, vec![order]) {
            log::warn!("worker {worker} does not keep up: a room was not told something");
        }
    }

    fn shard(&self, note: &NoteId) -> MutexGuard<'_, Notes> {
        let shard = (self.0.hasher.hash_one(note) % SHARDS as u64) as usize;
        #[expect(clippy::indexing_slicing, reason = "shard is below SHARDS")]
        self.0.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many connections of a user this node has in a room.
fn here(room: &Room, user: &UserId) -> Present {
    Present { user: user.clone(), connections: room.count_here(user) }
}
