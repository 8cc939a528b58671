//! How the connections of each user ended, for administrators.
//!
//! Bounded per user and altogether: the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};

use super::messages::CloseRecord;
use crate::protocol::UserId;

/// Of one user.
const PER_USER_MAX: usize = 20;

/// The ends of connections.
#[derive(Debug)]
pub struct Closes {
    records_max: usize,
    records: usize,
    /// Whose record is the oldest, second oldest and so on.
    order: VecDeque<UserId>,
    users: HashMap<UserId, VecDeque<CloseRecord>>,
}

impl Closes {
    /// Remembers at most this many; zero remembers none.
    pub fn new(records_max: usize) -> Self {
        Self { records_max, records: 0, order: VecDeque::new(), users: HashMap::new() }
    }

    /// Notes the end of a connection.
    pub fn note(&mut self, user: &UserId, record: CloseRecord) {
        if self.records_max == 0 {
            return;
        }
        let own = self.users.entry(user.clone()).or_default();
        own.push_back(record);
        if own.len() > PER_USER_MAX {
            // Its turn in `order` is kept: the user has as many there as records.
            own.pop_front();
            return;
        }
        self.records += 1;
        self.order.push_back(user.clone());
        while self.records > self.records_max {
            let Some(oldest) = self.order.pop_front() else { return };
            self.records -= 1;
            let Some(own) = self.users.get_mut(&oldest) else { continue };
            own.pop_front();
            if own.is_empty() {
                self.users.remove(&oldest);
            }
        }
    }

    /// A user's, latest first.
    pub fn of(&self, user: &UserId) -> Vec<CloseRecord> {
        self.users.get(user).into_iter().flatten().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Timestamp;

    #[test]
    fn the_oldest_ends_are_forgotten_first() {
        let user = |name: &str| UserId::new(name).unwrap();
        let at = |ms: i64| CloseRecord { at: Timestamp(ms), session: None, code: None };
        let mut closes = Closes::new(25);
        closes.note(&user("quiet"), at(0));
        for ms in 1..=50 {
            closes.note(&user("busy"), at(ms));
        }
        assert_eq!(closes.of(&user("quiet")), [at(0)], "a busy user does not push out a quiet one");
        assert_eq!(closes.of(&user("busy")).len(), PER_USER_MAX);
        assert_eq!(closes.of(&user("busy"))[0], at(50));
        for n in 0..24 {
            closes.note(&user(&format!("user-{n}")), at(100));
        }
        assert_eq!(closes.of(&user("quiet")), []);
        assert_eq!(closes.of(&user("busy")), [at(50)]);
        assert_eq!((closes.records, closes.order.len()), (25, 25));
    }
}
