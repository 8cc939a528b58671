//! Where things stand: the place of an event in its user's log, and moments on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of an event in its user's log: dense, rising, the first is 1. Zero means "before
/// the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl Seq {
    /// Before the first event of a log.
    pub const ZERO: Seq = Seq(0);

    /// The place right after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The place right before this one; zero stays zero.
    #[must_use]
    pub fn previous(self) -> Seq {
        Seq((self.0 - 1).max(0))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in Unix milliseconds, as it travels on the wire and rests in the log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment, `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// This moment, `ms` milliseconds earlier.
    #[must_use]
    pub fn minus_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)))
    }
}
