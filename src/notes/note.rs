//! A note and its fields, and who may do what to it.
//!
//! The values of fields pass through as the JSON text they came as.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::fields::OWN_NAMES;
use crate::protocol::{NoteId, SessionId, Timestamp, UserId};

/// Fields by name, each as JSON text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoteFields(pub BTreeMap<String, Box<RawValue>>);

impl NoteFields {
    /// The value of one field, as JSON text.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(Box::as_ref)
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all names and values together.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.get().len()).sum()
    }
}

/// Equal when the texts are.
impl PartialEq for NoteFields {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|(name, value)| {
                other.get(name).is_some_and(|theirs| theirs.get() == value.get())
            })
    }
}

/// A note, or what a deleted one left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Its name, unique among all users.
    pub id: NoteId,
    /// Whose it is, for ever.
    pub owner: UserId,
    /// Rises by one with every change; 1 when created.
    pub version: i64,
    /// When it was first created.
    pub created_at: Timestamp,
    /// When it last changed; never falls.
    pub updated_at: Timestamp,
    /// When it was deleted, if it is: it has no fields then.
    pub deleted_at: Option<Timestamp>,
    /// What it holds.
    pub fields: NoteFields,
    /// The version that last wrote each field.
    pub field_versions: BTreeMap<String, i64>,
}

impl Note {
    /// The whole note as it goes on the wire.
    pub fn to_json(&self) -> Box<RawValue> {
        // Keys are texts and values are JSON, so this cannot fail.
        to_raw_value(self).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    /// Whether it is deleted.
    pub fn is_tombstone(&self) -> bool {
        self.deleted_at.is_some()
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("userId", &self.owner)?;
        for (name, value) in &self.fields.0 {
            if !OWN_NAMES.contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
            }
        }
        map.serialize_entry("createdAt", &self.created_at.to_iso())?;
        map.serialize_entry("updatedAt", &self.updated_at.to_iso())?;
        if let Some(at) = self.deleted_at {
            map.serialize_entry("deletedAt", &at.to_iso())?;
        }
        map.serialize_entry("version", &self.version)?;
        map.end()
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See the note.
    Read,
    /// See and change it.
    Write,
}

impl Role {
    /// Its name, on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Write => "write",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Role::Read, Role::Write].into_iter().find(|role| role.name() == name)
    }
}

/// How a user has access to a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// It is theirs.
    Owner,
    /// It is shared with them.
    Member(Role),
}

impl Access {
    /// Whether it lets change the note.
    pub fn may_write(self) -> bool {
        match self {
            Access::Owner | Access::Member(Role::Write) => true,
            Access::Member(Role::Read) => false,
        }
    }
}

/// Who makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The user.
    pub user: UserId,
    /// The session, which is not told of its own change; none when it comes from no session.
    pub session: Option<SessionId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_goes_out_with_its_values_as_they_came() {
        let fields = r#"{"z":1.50,"a":{"b" : [1,2]},"version":7,"tit\u0022le":"\u00e9"}"#;
        let note = Note {
            id: NoteId::new("n").unwrap(),
            owner: UserId::new("alice").unwrap(),
            version: 3,
            created_at: Timestamp(0),
            updated_at: Timestamp(1),
            deleted_at: None,
            fields: serde_json::from_str(fields).unwrap(),
            field_versions: BTreeMap::new(),
        };
        assert_eq!(
            note.to_json().get(),
            concat!(
                r#"{"id":"n","userId":"alice","a":{"b" : [1,2]},"tit\"le":"\u00e9","z":1.50,"#,
                r#""createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.001Z","#,
                r#""version":3}"#
            )
        );
        let tombstone =
            Note { deleted_at: Some(Timestamp(2)), fields: NoteFields::default(), ..note };
        assert!(tombstone.to_json().get().contains(r#""deletedAt":"1970-01-01T00:00:00.002Z""#));
    }
}
