//! Who is in a room: users, each once, with a count of their connections.
//!
//! Pure. Everybody in a room is present; who asked for it is told who comes and goes.

use std::collections::{BTreeMap, HashMap};

use crate::protocol::{ConnectionId, NodeNumber, Present, UserId};

/// One room.
#[derive(Debug, Default)]
pub struct Room {
    connections: HashMap<ConnectionId, Member>,
    users: BTreeMap<UserId, u32>,
    /// How many connections of whom other nodes have in it.
    elsewhere: BTreeMap<NodeNumber, BTreeMap<UserId, u32>>,
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
        let present = self.present_of(user);
        Some(Change { present, watchers: self.watchers(Some(connection)) })
    }

    /// Lets a connection out; nothing when it was not there.
    pub fn leave(&mut self, connection: ConnectionId) -> Option<Change> {
        let Member { user, .. } = self.connections.remove(&connection)?;
        let count = self.users.get_mut(&user)?;
        *count -= 1;
        if *count == 0 {
            self.users.remove(&user);
        }
        let present = self.present_of(&user);
        Some(Change { present, watchers: self.watchers(None) })
    }

    /// Everybody, by name.
    pub fn present(&self) -> Vec<Present> {
        let mut all = self.users.clone();
        for (user, count) in self.elsewhere.values().flatten() {
            *all.entry(user.clone()).or_default() += count;
        }
        let present = |(user, connections)| Present { user, connections };
        all.into_iter().map(present).collect()
    }

    /// Everybody with a connection of this node, by name.
    pub fn present_here(&self) -> Vec<Present> {
        let present =
            |(user, count): (&UserId, &u32)| Present { user: user.clone(), connections: *count };
        self.users.iter().map(present).collect()
    }

    /// How many connections of a user this node has in it.
    pub fn count_here(&self, user: &UserId) -> u32 {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// The nodes that have connections in it.
    pub fn nodes(&self) -> Vec<NodeNumber> {
        self.elsewhere.keys().copied().collect()
    }

    /// Takes note of how many connections of a user another node has in it; says what changes, and
    /// whether there are more.
    pub fn count_elsewhere(
        &mut self,
        node: NodeNumber,
        Present { user, connections }: Present,
    ) -> Option<(Change, bool)> {
        let users = self.elsewhere.entry(node).or_default();
        let before = match connections {
            0 => users.remove(&user),
            _ => users.insert(user.clone(), connections),
        };
        if users.is_empty() {
            self.elsewhere.remove(&node);
        }
        let before = before.unwrap_or(0);
        let change = Change { present: self.present_of(&user), watchers: self.watchers(None) };
        (before != connections).then_some((change, connections > before))
    }

    /// Forgets a node; says who left with it.
    pub fn forget_node(&mut self, node: NodeNumber) -> Vec<Change> {
        let gone = self.elsewhere.remove(&node).unwrap_or_default();
        let change = |user: UserId| Change {
            present: self.present_of(&user),
            watchers: self.watchers(None),
        };
        gone.into_keys().map(change).collect()
    }

    fn present_of(&self, user: &UserId) -> Present {
        let elsewhere = self.elsewhere.values().filter_map(|users| users.get(user)).sum::<u32>();
        Present { user: user.clone(), connections: self.count_here(user) + elsewhere }
    }

    /// Whether a connection is in it.
    pub fn holds(&self, connection: ConnectionId) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Every connection but one.
    pub fn others(&self, but: ConnectionId) -> Vec<ConnectionId> {
        self.connections.keys().copied().filter(|connection| *connection != but).collect()
    }

    /// Every connection of this node.
    pub fn everyone(&self) -> Vec<ConnectionId> {
        self.connections.keys().copied().collect()
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
    fn connections_of_other_nodes_count_and_go_with_their_node() {
        let mut room = Room::default();
        room.join(connection(1), &user("alice"), true);
        let (first, second) = (NodeNumber(1), NodeNumber(2));
        let (change, more) = room.count_elsewhere(first, present("alice", 2)).unwrap();
        assert_eq!((change.present, more), (present("alice", 3), true));
        assert_eq!(change.watchers, [connection(1)]);
        assert_eq!(room.count_elsewhere(first, present("alice", 2)), None);
        room.count_elsewhere(second, present("bob", 1));
        assert_eq!(room.present(), [present("alice", 3), present("bob", 1)]);
        assert_eq!(room.present_here(), [present("alice", 1)]);
        let (change, more) = room.count_elsewhere(first, present("alice", 1)).unwrap();
        assert_eq!((change.present, more), (present("alice", 2), false));
        assert_eq!(room.forget_node(second)[0].present, present("bob", 0));
        assert_eq!(room.nodes(), [first]);
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
