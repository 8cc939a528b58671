//! How much a table holds: looked at now and then, not counted along the way.

use super::{Entry, PendingTable};

/// What the table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Sessions of loaded users.
    pub sessions: u64,
    /// Those of them that have a connection.
    pub sessions_live: u64,
    /// Events sent and not acked.
    pub in_flight: u64,
    /// Places in logs above the floors of those sessions: an upper bound of what they are owed.
    pub owed: u64,
}

impl PendingTable {
    /// What it holds; takes a look at every loaded user.
    pub fn holdings(&self) -> Holdings {
        let mut holdings = Holdings::default();
        for entry in self.users.values() {
            let Entry::Loaded(user) = entry else { continue };
            for session in user.sessions.values() {
                holdings.sessions += 1;
                holdings.sessions_live += u64::from(session.link.is_some());
                holdings.in_flight += session.window.in_flight() as u64;
                holdings.owed += session.owed(user.last_seq);
            }
        }
        holdings
    }
}
