//! How notes travel, what is done to them, and what comes of it.

use std::collections::BTreeMap;

use super::{Input, Wire, wire_struct, wire_words};
use crate::notebook::{NoteAnswer, NoteOrder, Source};
use crate::notes::{
    Access, Conflict, Members, Note, NoteChange, NoteCursor, NoteError, NoteEvent, NoteFields,
    NotePage, NoteQuery, Role, SharedNote,
};
use crate::protocol::NewEvent;

wire_struct!(Source { user, session, connection });
wire_struct!(Conflict { yours, theirs });
wire_struct!(Members { owner, members });
wire_struct!(SharedNote { note, access });
wire_struct!(NotePage { notes, next });
wire_struct!(NoteCursor { updated_at, id });
wire_struct!(NoteQuery { user, updated_since, after, limit });
wire_struct!(NoteChange { note, conflicts, event });
wire_struct!(NoteEvent { id, note, kind, data, owner, members, exclude_session });
wire_struct!(Note {
    id,
    owner,
    version,
    created_at,
    updated_at,
    deleted_at,
    fields,
    field_versions,
});
wire_struct!(NewEvent {
    kind,
    data,
    id,
    idempotency_key,
    account,
    action,
    silent,
    ttl_ms,
    ephemeral,
    exclude_session,
    args,
});
wire_words!(Role { 0 => Role::Read = Role::Read, 1 => Role::Write = Role::Write });
wire_words!(Access {
    0 => Access::Owner = Access::Owner,
    1 => Access::Member(Role::Read) = Access::Member(Role::Read),
    2 => Access::Member(Role::Write) = Access::Member(Role::Write),
});

impl Wire for NoteFields {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Wire::get(input).map(NoteFields)
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let entries: Vec<(K, V)> = Wire::get(input)?;
        Some(entries.into_iter().collect())
    }
}

impl Wire for NoteError {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            NoteError::NotFound => 0u8.put(out),
            NoteError::NothingToChange => 1u8.put(out),
            NoteError::Unavailable => 2u8.put(out),
            NoteError::Overloaded => 3u8.put(out),
            NoteError::TooManyMembers { members_max } => {
                4u8.put(out);
                members_max.put(out);
            }
            NoteError::TooLarge { bytes_max } => {
                5u8.put(out);
                bytes_max.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => NoteError::NotFound,
            1 => NoteError::NothingToChange,
            2 => NoteError::Unavailable,
            3 => NoteError::Overloaded,
            4 => NoteError::TooManyMembers { members_max: Wire::get(input)? },
            5 => NoteError::TooLarge { bytes_max: Wire::get(input)? },
            _ => return None,
        })
    }
}

impl Wire for NoteOrder {
    fn put(&self, out: &mut Vec<u8>) {
        self.note().put(out);
        match self {
            NoteOrder::Update { by, fields, base_version, .. } => {
                0u8.put(out);
                by.put(out);
                fields.put(out);
                base_version.put(out);
            }
            NoteOrder::Create { by, fields, .. } => {
                1u8.put(out);
                by.put(out);
                fields.put(out);
            }
            NoteOrder::Delete { by, .. } => {
                2u8.put(out);
                by.put(out);
            }
            NoteOrder::Share { member, role, by, .. } => {
                3u8.put(out);
                member.put(out);
                role.put(out);
                by.put(out);
            }
            NoteOrder::Unshare { member, by, .. } => {
                4u8.put(out);
                member.put(out);
                by.put(out);
            }
            NoteOrder::Publish { event, .. } => {
                5u8.put(out);
                event.put(out);
            }
            NoteOrder::Read { user, .. } => {
                6u8.put(out);
                user.put(out);
            }
            NoteOrder::ReadMembers { .. } => 7u8.put(out),
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let note = Wire::get(input)?;
        Some(match u8::get(input)? {
            0 => NoteOrder::Update {
                note,
                by: Wire::get(input)?,
                fields: Wire::get(input)?,
                base_version: Wire::get(input)?,
            },
            1 => NoteOrder::Create { note, by: Wire::get(input)?, fields: Wire::get(input)? },
            2 => NoteOrder::Delete { note, by: Wire::get(input)? },
            3 => NoteOrder::Share {
                note,
                member: Wire::get(input)?,
                role: Wire::get(input)?,
                by: Wire::get(input)?,
            },
            4 => NoteOrder::Unshare { note, member: Wire::get(input)?, by: Wire::get(input)? },
            5 => NoteOrder::Publish { note, event: Box::new(Wire::get(input)?) },
            6 => NoteOrder::Read { note, user: Wire::get(input)? },
            7 => NoteOrder::ReadMembers { note },
            _ => return None,
        })
    }
}

impl Wire for NoteAnswer {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            NoteAnswer::Changed(change) => {
                0u8.put(out);
                change.put(out);
            }
            NoteAnswer::Shared => 1u8.put(out),
            NoteAnswer::Unshared(was_member) => {
                2u8.put(out);
                was_member.put(out);
            }
            NoteAnswer::Published(told) => {
                3u8.put(out);
                told.put(out);
            }
            NoteAnswer::Note(shared) => {
                4u8.put(out);
                shared.put(out);
            }
            NoteAnswer::Members(members) => {
                5u8.put(out);
                members.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => NoteAnswer::Changed(Box::new(Wire::get(input)?)),
            1 => NoteAnswer::Shared,
            2 => NoteAnswer::Unshared(Wire::get(input)?),
            3 => NoteAnswer::Published(Wire::get(input)?),
            4 => NoteAnswer::Note(Box::new(Wire::get(input)?)),
            5 => NoteAnswer::Members(Wire::get(input)?),
            _ => return None,
        })
    }
}
