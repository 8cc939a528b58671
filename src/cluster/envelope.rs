//! What nodes say to one another.
//!
//! A body is any number of messages, each with its length before it; one that cannot be read is
//! passed over.

mod orders;

use std::sync::Arc;

use bytestring::ByteString;

pub(super) use self::orders::{get_orders, put_orders};
use super::wire::{Input, Wire, wire_struct};
use crate::delivery::messages::{AckEntry, AttachKind, Detach, Submission, SyncComplete};
use crate::dialect::DialectKind;
use crate::notebook::NoteOrder;
use crate::notes::NoteQuery;
use crate::persistence::messages::DuplicateKey;
use crate::protocol::{
    ConnectionId, Epoch, EventContent, EventId, NodeNumber, NoteId, Present, Seq, SessionId, Slot,
    Timestamp, UserId,
};
use crate::registry::messages::Order;

/// One thing a node says.
#[derive(Debug)]
pub(super) enum Message {
    /// It is there.
    Hello(Hello),
    /// It wants an answer under this number.
    Ask(u64, Request),
    /// It answers; what, only the asker can read.
    Answer(u64, Vec<u8>),
    /// Things to do with connections of the other node.
    Orders(Vec<Order>),
    /// Acks of its connections.
    Acks(Vec<AckEntry>),
    /// A connection of it is gone.
    Detach(Detach),
    /// Connections it does not know.
    Unreachable(Vec<(UserId, ConnectionId)>),
    /// A client of it did its full sync.
    SyncComplete(SyncComplete),
    /// Every connection of it in these slots is attached again.
    Back(Vec<(Slot, Epoch)>),
    /// Something about the room of a note.
    Room(NoteId, RoomWord),
    /// The rows of slots have changed: look at them.
    Doubt,
}

/// What a node tells of itself, to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Who.
    pub(super) number: NodeNumber,
    /// Its name.
    pub(super) name: String,
    /// Where clients reach it.
    pub(super) advertise: Option<String>,
    /// Whether it is going away.
    pub(super) is_leaving: bool,
    /// Its slots.
    pub(super) slots: Vec<(Slot, Epoch)>,
}

/// What a node asks the home of a user, or every node.
#[derive(Debug)]
pub(super) enum Request {
    /// Publishes events.
    Publish(Vec<Submission>),
    /// Attaches a connection.
    Attach(UserId, ConnectionId, DialectKind, AttachKind),
    /// Lists sessions.
    ListSessions(UserId),
    /// Revokes a session.
    Revoke(UserId, SessionId),
    /// What became of an event, as far as the node remembers.
    Trace(EventId),
    /// Users with live connections and no session.
    LiveUsers,
    /// Does something to a note.
    Note(Box<NoteOrder>),
    /// How a user's connections ended.
    ListCloses(UserId),
    /// Makes a session do a full sync.
    OrderFullSync(UserId, SessionId),
    /// What the node has in memory.
    TakeCensus,
    /// A part of a list of notes.
    ListNotes(NoteQuery),
    /// A page of a user's log: what comes after a place and has not expired at a time, up to so
    /// many events, and so many bytes.
    ReadPage(UserId, Seq, Timestamp, usize, usize),
    /// An event in at most so many logs.
    FindEvent(EventId, usize),
    /// What the node tells of itself to consoles.
    TakeFigures,
    /// Takes an event for every user.
    StartBroadcast(Arc<EventContent>, DuplicateKey),
}

/// What a node says of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RoomWord {
    /// This many connections of a user are in it here.
    Count(Present),
    /// Who is there?
    Ask,
    /// Somebody says something of the moment.
    Signal(UserId, Option<ByteString>, Timestamp),
    /// A user lost access.
    TurnOut(UserId),
}

wire_struct!(Hello { number, name, advertise, is_leaving, slots });

/// Writes a message, its length before it.
pub(super) fn put(message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    0u32.put(out);
    put_kind(message, out);
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Writes orders as a message, its length before it.
pub(super) fn put_order_message(orders: &[Order], out: &mut Vec<u8>) {
    let start = out.len();
    0u32.put(out);
    4u8.put(out);
    put_orders(orders, out);
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Reads a body; what cannot be read is counted and passed over.
pub(super) fn read_body(body: &[u8]) -> (Vec<Message>, usize) {
    let mut input = Input::new(body);
    let mut messages = Vec::new();
    let mut unread = 0;
    while !input.is_empty() {
        let Some(bytes) = input.bytes() else { return (messages, unread + 1) };
        let mut input = Input::new(bytes);
        match get_kind(&mut input) {
            Some(message) if input.is_empty() => messages.push(message),
            Some(_) | None => unread += 1,
        }
    }
    (messages, unread)
}

fn tagged(kind: u8, value: &impl Wire, out: &mut Vec<u8>) {
    kind.put(out);
    value.put(out);
}

fn put_kind(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::Hello(hello) => tagged(1, hello, out),
        Message::Ask(call, request) => {
            2u8.put(out);
            call.put(out);
            request.put(out);
        }
        Message::Answer(call, answer) => {
            3u8.put(out);
            call.put(out);
            out.extend_from_slice(answer);
        }
        Message::Orders(orders) => {
            4u8.put(out);
            put_orders(orders, out);
        }
        Message::Acks(acks) => tagged(5, acks, out),
        Message::Detach(detach) => tagged(6, detach, out),
        Message::Unreachable(gone) => tagged(7, gone, out),
        Message::SyncComplete(done) => tagged(8, done, out),
        Message::Back(slots) => tagged(9, slots, out),
        Message::Room(note, word) => {
            10u8.put(out);
            note.put(out);
            word.put(out);
        }
        Message::Doubt => 11u8.put(out),
    }
}

fn get_kind(input: &mut Input<'_>) -> Option<Message> {
    Some(match u8::get(input)? {
        1 => Message::Hello(Wire::get(input)?),
        2 => Message::Ask(Wire::get(input)?, Wire::get(input)?),
        3 => Message::Answer(Wire::get(input)?, input.rest().to_vec()),
        4 => Message::Orders(get_orders(input)?),
        5 => Message::Acks(Wire::get(input)?),
        6 => Message::Detach(Wire::get(input)?),
        7 => Message::Unreachable(Wire::get(input)?),
        8 => Message::SyncComplete(Wire::get(input)?),
        9 => Message::Back(Wire::get(input)?),
        10 => Message::Room(Wire::get(input)?, Wire::get(input)?),
        11 => Message::Doubt,
        _ => return None,
    })
}

impl Wire for Request {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Request::Publish(events) => tagged(1, events, out),
            Request::Attach(user, connection, dialect, kind) => {
                2u8.put(out);
                user.put(out);
                connection.put(out);
                dialect.put(out);
                kind.put(out);
            }
            Request::ListSessions(user) => tagged(3, user, out),
            Request::Revoke(user, session) => {
                4u8.put(out);
                user.put(out);
                session.put(out);
            }
            Request::Trace(event) => tagged(5, event, out),
            Request::LiveUsers => 6u8.put(out),
            Request::Note(order) => {
                7u8.put(out);
                order.put(out);
            }
            Request::ListCloses(user) => tagged(8, user, out),
            Request::OrderFullSync(user, session) => {
                9u8.put(out);
                user.put(out);
                session.put(out);
            }
            Request::TakeCensus => 10u8.put(out),
            Request::ListNotes(query) => tagged(11, query, out),
            Request::ReadPage(user, after, now, events_max, bytes_max) => {
                12u8.put(out);
                user.put(out);
                after.put(out);
                now.put(out);
                events_max.put(out);
                bytes_max.put(out);
            }
            Request::FindEvent(event, users_max) => {
                13u8.put(out);
                event.put(out);
                users_max.put(out);
            }
            Request::TakeFigures => 15u8.put(out),
            Request::StartBroadcast(content, duplicate) => {
                14u8.put(out);
                content.put(out);
                duplicate.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            1 => Request::Publish(Wire::get(input)?),
            2 => Request::Attach(
                Wire::get(input)?,
                Wire::get(input)?,
                Wire::get(input)?,
                Wire::get(input)?,
            ),
            3 => Request::ListSessions(Wire::get(input)?),
            4 => Request::Revoke(Wire::get(input)?, Wire::get(input)?),
            5 => Request::Trace(Wire::get(input)?),
            6 => Request::LiveUsers,
            7 => Request::Note(Box::new(Wire::get(input)?)),
            8 => Request::ListCloses(Wire::get(input)?),
            9 => Request::OrderFullSync(Wire::get(input)?, Wire::get(input)?),
            10 => Request::TakeCensus,
            11 => Request::ListNotes(Wire::get(input)?),
            12 => Request::ReadPage(
                Wire::get(input)?,
                Wire::get(input)?,
                Wire::get(input)?,
                Wire::get(input)?,
                Wire::get(input)?,
            ),
            13 => Request::FindEvent(Wire::get(input)?, Wire::get(input)?),
            14 => Request::StartBroadcast(Wire::get(input)?, Wire::get(input)?),
            15 => Request::TakeFigures,
            _ => return None,
        })
    }
}

impl Wire for RoomWord {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            RoomWord::Count(present) => tagged(1, present, out),
            RoomWord::Ask => 2u8.put(out),
            RoomWord::Signal(from, data, timestamp) => {
                3u8.put(out);
                from.put(out);
                data.put(out);
                timestamp.put(out);
            }
            RoomWord::TurnOut(user) => tagged(4, user, out),
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            1 => RoomWord::Count(Wire::get(input)?),
            2 => RoomWord::Ask,
            3 => RoomWord::Signal(Wire::get(input)?, Wire::get(input)?, Wire::get(input)?),
            4 => RoomWord::TurnOut(Wire::get(input)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
