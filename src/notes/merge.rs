//! How changes go into a note: field by field, the last one received wins.
//!
//! Pure. A writer that overwrites what changed since its base version is told what stood there.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Note, NoteFields};
use crate::protocol::Timestamp;

/// A field that changed since the writer's base version.
#[derive(Clone, Debug, Serialize)]
pub struct Conflict {
    /// What the writer sent: it stands now.
    pub yours: Box<RawValue>,
    /// What stood there before.
    pub theirs: Box<RawValue>,
}

impl PartialEq for Conflict {
    fn eq(&self, other: &Self) -> bool {
        (self.yours.get(), self.theirs.get()) == (other.yours.get(), other.theirs.get())
    }
}

/// A note after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The note as it stands now.
    pub note: Note,
    /// By field, what the change overwrote without having seen it.
    pub conflicts: BTreeMap<String, Conflict>,
}

/// Sets every field of `changes`, whatever its value, and leaves the others. A field that was
/// written after `base_version` and holds another value is a conflict; without a base version
/// there is none.
pub fn merge(
    note: &Note,
    changes: &NoteFields,
    base_version: Option<i64>,
    now: Timestamp,
) -> Merged {
    let mut merged = note.clone();
    merged.version = note.version.saturating_add(1);
    merged.updated_at = now.max(note.updated_at);
    let mut conflicts = BTreeMap::new();
    for (name, yours) in &changes.0 {
        let written = note.field_versions.get(name).copied().unwrap_or(0);
        let is_unseen = base_version.is_some_and(|base| written > base);
        let theirs = merged.fields.0.insert(name.clone(), yours.clone());
        merged.field_versions.insert(name.clone(), merged.version);
        if let Some(theirs) = theirs.filter(|theirs| is_unseen && !is_same(theirs, yours)) {
            conflicts.insert(name.clone(), Conflict { yours: yours.clone(), theirs });
        }
    }
    Merged { note: merged, conflicts }
}

/// Whether a note holds all of `fields` already, with the same values.
pub(super) fn holds(note: &Note, fields: &NoteFields) -> bool {
    let holds = |name: &str, value| note.fields.get(name).is_some_and(|own| is_same(own, value));
    fields.0.iter().all(|(name, value)| holds(name, value))
}

/// Whether two texts are the same JSON value; texts that are too deep to be read are compared as
/// they are.
fn is_same(a: &RawValue, b: &RawValue) -> bool {
    if a.get() == b.get() {
        return true;
    }
    let read = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    read(a).zip(read(b)).is_some_and(|(a, b)| a == b)
}

#[cfg(test)]
mod tests;
