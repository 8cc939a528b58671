//! How what a database of another node answers travels.

use std::sync::Arc;

use super::{Input, Wire, wire_struct};
use crate::persistence::messages::{BroadcastOutcome, LogPage, StoredEvent};
use crate::protocol::SessionRecord;

wire_struct!(LogPage { events, cursor, more, pruned });
wire_struct!(StoredEvent { user, event, live, offline, sessions });
wire_struct!(SessionRecord {
    id,
    floor,
    need_full_sync,
    policy,
    created_at,
    seen_at,
    acked_at,
    accounts,
});

impl Wire for Arc<[Box<str>]> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        for text in self.iter() {
            super::put_text(text, out);
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let texts: Vec<String> = Wire::get(input)?;
        Some(texts.into_iter().map(String::into_boxed_str).collect())
    }
}

impl Wire for BroadcastOutcome {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            BroadcastOutcome::Started { id, users } => {
                0u8.put(out);
                id.put(out);
                users.put(out);
            }
            BroadcastOutcome::Duplicate { id, users } => {
                1u8.put(out);
                id.put(out);
                users.put(out);
            }
            BroadcastOutcome::Conflict => 2u8.put(out),
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => BroadcastOutcome::Started { id: Wire::get(input)?, users: Wire::get(input)? },
            1 => BroadcastOutcome::Duplicate { id: Wire::get(input)?, users: Wire::get(input)? },
            2 => BroadcastOutcome::Conflict,
            _ => return None,
        })
    }
}
