//! What note clients ask, and what they are told (docs/protocol/notes.md).
//!
//! What clients keep in notes passes through as the JSON text it came as.

use bytestring::ByteString;

use super::{NoteId, Timestamp, UserId};

/// One thing a note client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteCommand {
    /// Joins the room of a note.
    Join {
        /// Which.
        note: NoteId,
        /// Whether it wants to be told who else is there.
        presence: bool,
    },
    /// Leaves it.
    Leave {
        /// Which.
        note: NoteId,
    },
    /// Changes fields of a note.
    Update {
        /// Which.
        note: NoteId,
        /// The fields, an object; none when the client left them out.
        changes: Option<ByteString>,
        /// The version the client had when it made them.
        base_version: Option<i64>,
    },
    /// Made a note.
    Created {
        /// Which.
        note: NoteId,
        /// All of it, an object.
        data: ByteString,
        /// Whose the client says it is.
        claimed_by: Option<String>,
    },
    /// Deleted a note.
    Deleted {
        /// Which.
        note: NoteId,
    },
    /// Made, changed or deleted a folder.
    Folder {
        /// The type of the event that tells the user's other devices.
        kind: &'static str,
        /// Its fields, an object.
        data: ByteString,
        /// Whose the client says it is.
        claimed_by: Option<String>,
    },
    /// Says something of the moment to whoever is in the room: a cursor, typing.
    Signal {
        /// Which.
        note: NoteId,
        /// Anything.
        data: Option<ByteString>,
    },
    /// Something that cannot be done as it was asked.
    Bad {
        /// Whether it wanted to change a note: before `auth` only that is answered.
        is_update: bool,
        /// About which note.
        note: Option<NoteId>,
        /// Why.
        refusal: NoteRefusal,
    },
}

/// Why a note client is refused. The texts are part of the wire contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteRefusal {
    /// It names no note.
    MissingNote,
    /// These fields are missing.
    Missing(Vec<&'static str>),
    /// There is no such note, or it is another user's.
    NotFound,
    /// None of the fields may be changed.
    NothingToChange,
    /// It says that somebody else made what it announces.
    AnotherUsers,
    /// The note would pass its bound.
    TooLarge,
    /// The connection joined as many rooms as it may.
    TooManyRooms,
}

impl NoteRefusal {
    /// The text on the wire.
    pub fn message(&self) -> String {
        match self {
            NoteRefusal::MissingNote => "Missing noteId or userId".to_owned(),
            NoteRefusal::Missing(names) => format!("Missing {}", names.join(", ")),
            NoteRefusal::NotFound => "Note not found or access denied".to_owned(),
            NoteRefusal::NothingToChange => "No valid fields to update".to_owned(),
            NoteRefusal::AnotherUsers => {
                "Access denied: Cannot broadcast resource created by another user".to_owned()
            }
            NoteRefusal::TooLarge => "Note too large".to_owned(),
            NoteRefusal::TooManyRooms => "Too many notes joined".to_owned(),
        }
    }

    /// The machine-readable name beside the text.
    pub fn code(&self) -> &'static str {
        match self {
            NoteRefusal::MissingNote | NoteRefusal::Missing(_) => "missing_fields",
            NoteRefusal::NotFound => "not_found",
            NoteRefusal::NothingToChange => "no_valid_fields",
            NoteRefusal::AnotherUsers => "access_denied",
            NoteRefusal::TooLarge => "note_too_large",
            NoteRefusal::TooManyRooms => "too_many_rooms",
        }
    }
}

/// A user in a room, with this many connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who.
    pub user: UserId,
    /// How many of the user's connections joined.
    pub connections: u32,
}

/// One thing a note client is told, apart from events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotePush {
    /// It is in the room.
    Joined(NoteId),
    /// It is not, or no longer.
    Left(NoteId),
    /// Its change is durable.
    Updated {
        /// Of which note.
        note: NoteId,
        /// The whole note, an object.
        updated: ByteString,
        /// When.
        timestamp: Timestamp,
        /// What others changed since its `base_version` and it has overwritten: an object of
        /// `{"yours","theirs"}` by field.
        conflicts: Option<ByteString>,
    },
    /// It cannot have what it asked for.
    Refused {
        /// About which note.
        note: Option<NoteId>,
        /// Why.
        refusal: NoteRefusal,
    },
    /// Who is in the room.
    PresenceState {
        /// Which.
        note: NoteId,
        /// Everybody, once, by name.
        present: Vec<Present>,
    },
    /// Who came and went. Each with as many connections as are there now.
    PresenceDiff {
        /// Which room.
        note: NoteId,
        /// Those with more connections than before.
        joins: Vec<Present>,
        /// Those with fewer; none left means gone.
        leaves: Vec<Present>,
    },
    /// Somebody in the room says something of the moment.
    Signal {
        /// Which room.
        note: NoteId,
        /// Who.
        from: UserId,
        /// What.
        data: Option<ByteString>,
        /// When.
        timestamp: Timestamp,
    },
}
