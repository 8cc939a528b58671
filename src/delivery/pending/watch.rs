//! What administrators ask: counts, how connections ended, a full sync.

use super::{Entry, Moment, PendingTable, Waiting};
use crate::delivery::messages::{Census, CloseRecord, DropReason, FullSyncOrder};
use crate::delivery::output::{Answer, Output};
use crate::persistence::messages::Ticket;
use crate::protocol::{CloseCode, SessionId, UserId};

impl PendingTable {
    /// Counts what is in memory.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for entry in self.users.values() {
            let Entry::Loaded(user) = entry else { continue };
            census.users += 1;
            for session in user.sessions.values() {
                match session.link {
                    Some(_) => census.sessions_live += 1,
                    None => census.sessions_away += 1,
                }
                census.in_flight += session.window.in_flight() as u64;
                census.owed += session.owed(user.last_seq);
            }
        }
        census
    }

    /// How a user's connections ended, latest first.
    pub fn closes(&self, user: &UserId) -> Vec<CloseRecord> {
        self.closes.of(user)
    }

    /// Makes a session do a full sync.
    pub fn order_full_sync(
        &mut self,
        ticket: Ticket,
        user: &UserId,
        session: SessionId,
        moment: Moment,
    ) {
        self.wall = moment.wall;
        let waiting = Waiting::FullSync(ticket, session.clone());
        if self.user_or_wait(user, waiting, moment).is_none() {
            return;
        }
        let order = self.require_full_sync(user, &session);
        self.outputs.push(Output::Answer(ticket, Answer::FullSync(order)));
    }

    fn require_full_sync(&mut self, user: &UserId, session: &SessionId) -> FullSyncOrder {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else {
            return FullSyncOrder::Unavailable;
        };
        let last_seq = loaded.last_seq;
        let Some(known) = loaded.sessions.get_mut(session) else { return FullSyncOrder::Unknown };
        self.counts.full_syncs_ordered += 1;
        known.need_full_sync = true;
        known.look_at = None;
        for entry in known.window.abandon(last_seq) {
            let reason = DropReason::FullSyncOrdered;
            self.traces.dropped(entry.content.id, entry.trace, reason, self.wall);
        }
        let (record, connection) = (known.record(), known.connection());
        self.outputs.push(Output::SaveSession { user: user.clone(), record });
        if let Some(connection) = connection {
            self.disconnect(user, connection, CloseCode::GoingAway);
        }
        FullSyncOrder::Taken
    }
}
