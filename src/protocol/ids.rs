//! The names of users, sessions, events, connections and slots.
//!
//! User and session names come from outside and are checked once, here.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Why a name from outside was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The name is empty.
    #[error("must not be empty")]
    Empty,
    /// The name is longer than the bound.
    #[error("must be at most {bytes_max} bytes long")]
    TooLong {
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// The name holds a control character.
    #[error("must not hold control characters")]
    ControlCharacter,
}

fn check(name: &str, bytes_max: usize) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty);
    }
    if name.len() > bytes_max {
        return Err(IdError::TooLong { bytes_max });
    }
    if name.chars().any(char::is_control) {
        return Err(IdError::ControlCharacter);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $bytes_max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest name taken, in bytes.
            pub const BYTES_MAX: usize = $bytes_max;

            /// Takes a name of 1 to [`Self::BYTES_MAX`] bytes without control characters.
            ///
            /// # Errors
            /// Says which of those rules `name` breaks.
            pub fn new(name: &str) -> Result<Self, IdError> {
                check(name, Self::BYTES_MAX)?;
                Ok(Self(Arc::from(name)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                Self::new(&name).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// Who a token speaks for: its `sub`. Durable.
    UserId,
    255
);
name!(
    /// One device or tab of a user: durable, outlives its connections.
    SessionId,
    128
);
name!(
    /// One note, named by whoever made it.
    NoteId,
    128
);

impl SessionId {
    /// Names a session by a UUID the caller drew.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(Arc::from(uuid.to_string()))
    }
}

impl UserId {
    /// The slot this user belongs to, for ever.
    pub fn slot(&self) -> Slot {
        Slot::of(&self.0)
    }
}

impl NoteId {
    /// The slot whose node the changes of this note take turns on.
    pub fn slot(&self) -> Slot {
        Slot::of(&self.0)
    }
}

/// A 256th of the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u8);

impl Slot {
    /// The slot of a name, for ever: FNV-1a (64 bit) of its UTF-8 bytes, the upper half folded
    /// onto the lower, modulo 256.
    pub fn of(name: &str) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Slot(((hash ^ (hash >> 32)) & 0xff) as u8)
    }

    /// Which of `groups` equal groups of slots this one is in: 0 to `groups - 1`. The groups
    /// of a process are its ReliableDelivery actors.
    pub fn group(self, groups: usize) -> usize {
        usize::from(self.0) % groups.max(1)
    }
}

/// How often a slot changed hands: whoever owned it before cannot write any more. Zero where there
/// is one node only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// One life of one node of a cluster; zero where there is one node only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeNumber(pub u32);

impl NodeNumber {
    /// The largest.
    pub const MAX: u32 = (1 << (32 - WORKER_BITS)) - 1;

    /// What the workers of this node are called, each in its place.
    pub fn worker(self, index: u32) -> u32 {
        (self.0 << WORKER_BITS) | (index & WORKER_MASK)
    }
}

/// The lower bits of a worker's name are its place in its node.
const WORKER_BITS: u32 = 12;
const WORKER_MASK: u32 = (1 << WORKER_BITS) - 1;

/// The name of one published fact; the same on every redelivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One live socket (or polling transport). Never used twice: `generation` tells two tenants of one
/// place apart, and the worker's name two lives of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The worker whose SessionRegistry holds it.
    pub worker: u32,
    /// Its place in that registry's table.
    pub place: u32,
    /// How many connections have had that place before.
    pub generation: u32,
}

impl ConnectionId {
    /// Before any other.
    pub const FIRST: Self = Self { worker: 0, place: 0, generation: 0 };

    /// After any other.
    pub const LAST: Self = Self { worker: u32::MAX, place: u32::MAX, generation: u32::MAX };

    /// The node it is on.
    pub fn node(self) -> NodeNumber {
        NodeNumber(self.worker >> WORKER_BITS)
    }

    /// Whose registry gets what is for it, as seen on node `here`: that of its worker, or that of
    /// its node as a whole when it is another.
    pub fn registry(self, here: NodeNumber) -> u32 {
        if self.node() == here { self.worker } else { self.worker | WORKER_MASK }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node() != NodeNumber(0) {
            write!(f, "{}/", self.node().0)?;
        }
        write!(f, "{}.{}.{}", self.worker & WORKER_MASK, self.place, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_is_checked() {
        assert_eq!(UserId::new(""), Err(IdError::Empty));
        assert_eq!(UserId::new("a\nb"), Err(IdError::ControlCharacter));
        assert_eq!(SessionId::new(&"x".repeat(129)), Err(IdError::TooLong { bytes_max: 128 }));
        assert_eq!(UserId::new("zoë@example").unwrap().as_str(), "zoë@example");
    }

    #[test]
    fn the_slot_of_a_user_never_changes() {
        // The vectors other implementations check themselves against (docs/protocol/slots.md).
        for (user, slot) in SLOT_VECTORS {
            assert_eq!(UserId::new(user).unwrap().slot(), Slot(slot), "slot of {user:?}");
        }
    }

    const SLOT_VECTORS: [(&str, u8); 4] = [("a", 192), ("alice", 188), ("bob", 77), ("zoë", 253)];

    #[test]
    fn slots_spread_evenly_over_users() {
        let mut counts = [0u32; 256];
        for n in 0..25_600 {
            counts[usize::from(UserId::new(&format!("user-{n}")).unwrap().slot().0)] += 1;
        }
        assert!(counts.iter().all(|&count| (50..=160).contains(&count)), "{counts:?}");
    }
}
