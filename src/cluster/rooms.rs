//! The rooms of notes across nodes: each node tells the others how many connections of whom it has
//! in a room, and what is said there.

use std::sync::Arc;

use bytestring::ByteString;

use super::envelope::{Message, RoomWord};
use super::link::Link;
use crate::protocol::{NodeNumber, NoteId, NotePush, Present, Timestamp, UserId};
use crate::registry::{Rooms, RoomsElsewhere};

/// What joins the rooms of this node with those of the others.
#[derive(Clone)]
pub(super) struct RoomsLink {
    rooms: Rooms,
    link: Link,
}

impl RoomsLink {
    /// Joins them.
    pub(super) fn join(rooms: Rooms, link: Link) -> Self {
        rooms.join_elsewhere(Arc::new(Elsewhere(link.clone())));
        Self { rooms, link }
    }

    /// Takes what another node says of a room.
    pub(super) fn hear(&self, from: NodeNumber, note: &NoteId, word: RoomWord) {
        match word {
            RoomWord::Count(present) => self.rooms.count_elsewhere(note, from, present),
            RoomWord::Ask => {
                for present in self.rooms.present_here(note) {
                    self.link.tell(from, &Message::Room(note.clone(), RoomWord::Count(present)));
                }
            }
            RoomWord::Signal(from, data, timestamp) => {
                let push = NotePush::Signal { note: note.clone(), from, data, timestamp };
                self.rooms.signal_from_elsewhere(note, push);
            }
            RoomWord::TurnOut(user) => self.rooms.turn_out_here(note, |known| *known != user),
        }
    }
}

struct Elsewhere(Link);

impl RoomsElsewhere for Elsewhere {
    fn count(&self, note: &NoteId, present: Present) {
        self.0.announce(&Message::Room(note.clone(), RoomWord::Count(present)));
    }

    fn ask(&self, note: &NoteId) {
        self.0.announce(&Message::Room(note.clone(), RoomWord::Ask));
    }

    fn signal(&self, nodes: &[NodeNumber], push: &NotePush) {
        if let NotePush::Signal { note, from, data, timestamp } = push {
            let (from, data): (UserId, Option<ByteString>) = (from.clone(), data.clone());
            let at: Timestamp = *timestamp;
            let message = Message::Room(note.clone(), RoomWord::Signal(from, data, at));
            for node in nodes {
                self.0.tell(*node, &message);
            }
        }
    }

    fn turn_out(&self, note: &NoteId, user: &UserId) {
        self.0.announce(&Message::Room(note.clone(), RoomWord::TurnOut(user.clone())));
    }
}
