//! What happens when time passes: redelivery, giving up, and sessions that did not come back.

use super::{Due, Entry, Moment, PendingTable};
use crate::delivery::messages::DropReason;
use crate::delivery::output::Output;
use crate::dialect::EventFrames;
use crate::protocol::{CloseCode, Event, OfflinePolicy, SessionId, UserId};
use crate::registry::messages::SendKind;

impl PendingTable {
    /// Decides the fate of everything whose time has come.
    pub fn tick(&mut self, moment: Moment) {
        self.wall = moment.wall;
        self.drop_tails();
        // What comes up again while this goes on waits for the next tick.
        for _ in 0..self.due.len() {
            let Some(due) = self.due.pop_due(moment.now) else { return };
            match due {
                Due::Session(user, session) => self.session_due(&user, &session, moment),
                Due::Waiter(user, ticket) => {
                    let Some(loaded) = self.loaded_mut(&user) else { continue };
                    let place = loaded.waiters.iter().position(|waiter| waiter.ticket == ticket);
                    if let Some(place) = place {
                        let waiter = loaded.waiters.swap_remove(place);
                        self.finish(waiter);
                    }
                }
            }
        }
    }

    fn session_due(&mut self, user: &UserId, name: &SessionId, moment: Moment) {
        let Some(loaded) = self.loaded_mut(user) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        if session.scheduled.is_some_and(|scheduled| scheduled > moment.now) {
            return;
        }
        session.scheduled = None;
        if session.look_at.is_some_and(|look_at| look_at <= moment.now) {
            session.look_at = None;
        } else if session.due_at().is_none_or(|due_at| due_at > moment.now) {
            self.schedule(user, name);
            return;
        }
        match (session.link.is_some(), session.policy) {
            (true, _) => self.redeliver(user, name, moment),
            (false, OfflinePolicy::FullSync) => self.did_not_come_back(user, name),
            (false, OfflinePolicy::Replay) => session.window.rewind(),
        }
        self.schedule(user, name);
    }

    /// Sends again what is overdue, or gives up.
    fn redeliver(&mut self, user: &UserId, name: &SessionId, moment: Moment) {
        let retry = self.limits.retry;
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        let Some(connection) = session.connection() else { return };
        let overdue = session.window.redeliver(moment.now, retry.ack_wait, retry.redeliveries_max);
        if let Some(event) = overdue.exhausted {
            self.counts.gave_up += 1;
            self.notice_gave_up(user, name, event);
            log::warn!(connection_id:% = connection; "gave up on {name:?} of {user:?}: events unacked");
            self.forget(user, name, CloseCode::GaveUp, DropReason::GaveUp);
            return;
        }
        let mut again = Vec::with_capacity(overdue.again.len());
        for entry in overdue.again {
            let is_expired = entry.content.is_expired(moment.wall);
            if is_expired || !session.is_for(&entry.content) {
                session.window.settle(entry.seq);
                if is_expired {
                    self.traces.dropped(
                        entry.content.id,
                        entry.trace,
                        DropReason::Expired,
                        self.wall,
                    );
                }
                super::mark_dirty(&mut self.dirty, user, session);
                continue;
            }
            self.traces.sent(entry.content.id, entry.trace, moment.wall);
            again.push(Event::at(entry.seq, entry.content));
        }
        for event in again {
            let frames = EventFrames::new(event);
            self.fan_out(user, frames, None, vec![connection], SendKind::Redelivery);
        }
        self.pump(user, name, moment);
    }

    /// A session that asks for a full sync lost its connection and something it was owed.
    fn did_not_come_back(&mut self, user: &UserId, name: &SessionId) {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let last_seq = loaded.last_seq;
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        if session.need_full_sync {
            // It was told already and did not confirm: the sync it will do covers these too.
            session.window.abandon(last_seq);
            return;
        }
        if session.owed(last_seq) == 0 {
            return;
        }
        self.counts.full_syncs_lost += 1;
        session.need_full_sync = true;
        for entry in session.window.abandon(last_seq) {
            self.traces.dropped(
                entry.content.id,
                entry.trace,
                DropReason::ConnectionLost,
                self.wall,
            );
        }
        let (user, record) = (user.clone(), session.record());
        self.outputs.push(Output::SaveSession { user, record });
    }
}
