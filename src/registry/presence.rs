//! Who is in a room: users, each once, with a count of their connections.
//!
//! Pure. Everybody in a room is present; who asked for it is told who comes and goes.

use std::collections::{BTreeMap, HashMap};

use crate::protocol::{ConnectionId, Present, UserId};

/// One room.
#[derive(Debug, Default)]
pub struct Room {
    connections: HashMap<ConnectionId, Member>,
    users: BTreeMap<UserId, u32>,
}

/// One connection in a room.
#[derive(Debug)]
struct Member {
    user: UserId,
    watches: bool,
}

/// Somebody came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who, and with how many connections now.
    pub present: Present,
    /// Who is to be told.
    pub watchers: Vec<ConnectionId>,
}

impl Room {
    /// Lets a connection in. Nothing changes for the others when it was there already; `watches`
    /// then still counts.
    pub fn join(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        watches: bool,
    ) -> Option<Change> {
        let member = Member { user: user.clone(), watches };
        if self.connections.insert(connection, member).is_some() {
            return None;
        }
        let count = self.users.entry(user.clone()).or_default();
        *count += 1;
        let present = Present { user: user.clone(), connections: *count };
        Some(Change { present, watchers: self.watchers(Some(connection)) })
    }

    /// Lets a connection out; nothing when it was not there.
    pub fn leave(&mut self, connection: ConnectionId) -> Option<Change> {
        let Member { user, .. } = self.connections.remove(&connection)?;
        let count = self.users.get_mut(&user)?;
        *count -= 1;
        let connections = *count;
        if connections == 0 {
            self.users.remove(&user);
        }
        let present = Present { user, connections };
        Some(Change { present, watchers: self.watchers(None) })
    }

    /// Everybody, by name.
    pub fn present(&self) -> Vec<Present> {
        let present =
            |(user, count): (&UserId, &u32)| Present { user: user.clone(), connections: *count };
        self.users.iter().map(present).collect()
    }

    /// Whether a connection is in it.
    pub fn holds(&self, connection: ConnectionId) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Every connection but one.
    pub fn others(&self, but: ConnectionId) -> Vec<ConnectionId> {
        self.connections.keys().copied().filter(|connection| *connection != but).collect()
    }

    /// The connections of users that are not among `allowed`.
    pub fn strangers(&self, is_allowed: impl Fn(&UserId) -> bool) -> Vec<ConnectionId> {
        let stranger = |(connection, member): (&ConnectionId, &Member)| {
            (!is_allowed(&member.user)).then_some(*connection)
        };
        self.connections.iter().filter_map(stranger).collect()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn watchers(&self, but: Option<ConnectionId>) -> Vec<ConnectionId> {
        let watching = |(connection, member): (&ConnectionId, &Member)| {
            (member.watches && Some(*connection) != but).then_some(*connection)
        };
        self.connections.iter().filter_map(watching).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(place: u32) -> ConnectionId {
        ConnectionId { worker: 0, place, generation: 0 }
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn present(name: &str, connections: u32) -> Present {
        Present { user: user(name), connections }
    }

    #[test]
    fn several_connections_of_a_user_are_one_presence_with_a_count() {
        let mut room = Room::default();
        room.join(connection(1), &user("alice"), true);
        let second = room.join(connection(2), &user("alice"), false).unwrap();
        assert_eq!(second.present, present("alice", 2));
        assert_eq!(second.watchers, [connection(1)]);
        assert_eq!(room.present(), [present("alice", 2)]);
        assert_eq!(room.leave(connection(2)).unwrap().present, present("alice", 1));
        let gone = room.leave(connection(1)).unwrap();
        assert_eq!(gone, Change { present: present("alice", 0), watchers: vec![] });
        assert!(room.is_empty() && room.present().is_empty());
    }

    #[test]
    fn joining_or_leaving_twice_changes_nothing() {
        let mut room = Room::default();
        assert!(room.join(connection(1), &user("alice"), false).is_some());
        assert_eq!(room.join(connection(1), &user("alice"), true), None);
        let bob = room.join(connection(2), &user("bob"), false).unwrap();
        assert_eq!(bob.watchers, [connection(1)], "the second join asked to be told");
        assert!(room.leave(connection(2)).is_some());
        assert_eq!(room.leave(connection(2)), None);
        assert!(room.holds(connection(1)) && !room.holds(connection(2)));
    }

    #[test]
    fn whoever_may_not_be_there_is_found() {
        let mut room = Room::default();
        room.join(connection(1), &user("alice"), false);
        room.join(connection(2), &user("bob"), false);
        let is_alice = |name: &UserId| name.as_str() == "alice";
        assert_eq!(room.strangers(is_alice), [connection(2)]);
        assert_eq!(room.others(connection(2)), [connection(1)]);
    }
}
