//! In a cluster: slots that go, nodes that are gone, and connections that come back without having
//! been away.

use super::{AttachRequest, Entry, Moment, PendingTable};
use crate::delivery::messages::Attached;
use crate::delivery::output::Output;
use crate::delivery::session::Link;
use crate::delivery::user::Tenant;
use crate::persistence::messages::Ticket;
use crate::protocol::{Accounts, CloseCode, ConnectionId, NodeNumber, SessionId, UserId};

impl PendingTable {
    /// Forgets users that are another node's from now on; what waits for them is refused.
    pub fn forget_users(&mut self, is_gone: impl Fn(&UserId) -> bool) {
        let gone: Vec<_> = self.users.keys().filter(|user| is_gone(user)).cloned().collect();
        for user in gone {
            match self.users.remove(&user) {
                Some(Entry::Loading(waiting)) => {
                    self.waiting -= waiting.len();
                    for request in waiting {
                        self.refuse(request);
                    }
                }
                Some(Entry::Loaded(mut loaded)) => {
                    for waiter in std::mem::take(&mut loaded.waiters) {
                        self.finish(waiter);
                    }
                }
                None => {}
            }
        }
        self.rounds.retain(|user| !is_gone(user));
        self.dirty.retain(|(user, _)| !is_gone(user));
    }

    /// Takes note that every connection of a node is gone.
    pub fn node_gone(&mut self, node: NodeNumber, moment: Moment) {
        let mut gone: Vec<(UserId, ConnectionId)> = Vec::new();
        for (user, entry) in &self.users {
            let Entry::Loaded(loaded) = entry else { continue };
            let theirs =
                loaded.connections.iter().filter(|(connection, _)| connection.node() == node);
            gone.extend(theirs.map(|(connection, _)| (user.clone(), *connection)));
        }
        for (user, connection) in gone {
            self.detach(&user, connection, moment);
        }
    }

    /// Attaches a connection again, and sends its session what is unacked; one whose session cannot
    /// go on as it was is closed.
    pub(super) fn attach_again(
        &mut self,
        ticket: Ticket,
        user: &UserId,
        session: Option<SessionId>,
        (request, accounts): (AttachRequest, Accounts),
        moment: Moment,
    ) {
        let Some(name) = &session else {
            self.attach_plain(ticket, user, request, (None, accounts), moment);
            return;
        };
        let AttachRequest { connection, dialect, .. } = request;
        let owed_max = self.limits.owed_max;
        let Some(loaded) = self.loaded_mut(user) else { return };
        let (last_seq, pruned) = (loaded.last_seq, loaded.pruned);
        let code = match loaded.sessions.get_mut(name) {
            Some(session) if session.link.is_some() => Some(CloseCode::Replaced),
            Some(session) => {
                let is_behind =
                    session.window.floor() < pruned || session.owed(last_seq) > owed_max;
                let must_be_told = session.need_full_sync || is_behind;
                if !must_be_told {
                    session.link = Some(Link { connection, dialect, accounts });
                    session.reading = None;
                    session.look_at = None;
                }
                must_be_told.then_some(CloseCode::Restart)
            }
            None => Some(CloseCode::Restart),
        };
        if code.is_none() {
            loaded.connections.insert(connection, Tenant::Reliable(name.clone()));
        }
        self.outputs.push(match code {
            Some(code) => Output::Close { connection, code },
            None => Output::Resumed { connection },
        });
        self.answer_attach(ticket, Attached::Attached { session: Some(name.clone()) });
        if code.is_none() {
            self.resume(user, name, moment);
        }
    }
}
