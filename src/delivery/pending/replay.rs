//! Acks come in, and what waits in the log goes out as the window opens.

use std::sync::Arc;

use super::{Due, Entry, Moment, PendingTable, mark_dirty};
use crate::delivery::messages::DropReason;
use crate::delivery::output::Output;
use crate::delivery::session::Session;
use crate::delivery::trace::Owed;
use crate::delivery::user::Tenant;
use crate::delivery::window::InFlight;
use crate::persistence::messages::{StoreError, Ticket};
use crate::protocol::{Ack, ConnectionId, Event, OfflinePolicy, Seq, SessionId, UserId};
use crate::registry::messages::SendKind;

impl PendingTable {
    /// Settles deliveries. Late, repeated and unknown acks change nothing.
    pub fn ack(&mut self, user: &UserId, connection: ConnectionId, ack: &Ack, moment: Moment) {
        self.wall = moment.wall;
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let Some(Tenant::Reliable(name)) = loaded.connections.get(&connection) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        let before = session.window.next();
        let settled = settle(session, ack, loaded.last_seq);
        if settled.is_empty() && session.window.next() == before {
            return;
        }
        for entry in &settled {
            self.traces.acked(entry.content.id, entry.trace, moment.wall);
            let took_ms = moment.wall.0.saturating_sub(entry.content.published_at.0);
            self.counts.acked_within.note(took_ms);
        }
        self.counts.acked += settled.len() as u64;
        session.acked_at = Some(moment.wall);
        mark_dirty(&mut self.dirty, user, session);
        let is_behind = session.window.next() <= loaded.last_seq;
        let (is_waited_for, name) = (!loaded.waiters.is_empty(), name.clone());
        if is_waited_for {
            for waiter in loaded.settle_waiters(&name) {
                self.finish(waiter);
            }
        }
        self.notice_settled(user, &name, &settled);
        if is_behind {
            self.pump(user, &name);
        }
    }

    /// Sends again what was in flight when the connection before this one was lost, then what
    /// waits in the log.
    pub(super) fn resume(&mut self, user: &UserId, name: &SessionId, moment: Moment) {
        let ack_wait = self.limits.retry.ack_wait;
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        let Some(connection) = session.connection() else { return };
        let mut events = Vec::new();
        for entry in session.window.resume(moment.now, ack_wait) {
            events.push((entry.trace, Event::at(entry.seq, entry.content.clone())));
        }
        events.retain(|(trace, event)| {
            let is_expired = event.content.is_expired(moment.wall);
            // The token of this connection may be limited to other accounts than the last one's.
            let is_due = !is_expired && session.is_for(&event.content);
            match event.seq {
                Some(seq) if !is_due => {
                    session.window.settle(seq);
                    if is_expired {
                        self.traces.dropped(event.id(), *trace, DropReason::Expired, self.wall);
                    }
                    mark_dirty(&mut self.dirty, user, session);
                }
                Some(_) | None => self.traces.sent(event.id(), *trace, moment.wall),
            }
            is_due
        });
        for (_, event) in events {
            self.fan_out(user, event, None, vec![connection], SendKind::First);
        }
        self.pump(user, name);
        self.schedule(user, name);
    }

    /// Takes note that the log reaches to `seq`, which it may not have known: a commit can succeed
    /// without its answer coming through. Every session is owed what is there.
    pub(super) fn catch_up(&mut self, user: &UserId, seq: Seq, moment: Moment) {
        let look_at = moment.now + self.limits.retry.ack_wait;
        let Some(loaded) = self.loaded_mut(user) else { return };
        if seq <= loaded.last_seq {
            return;
        }
        loaded.last_seq = seq;
        let mut names = Vec::with_capacity(loaded.sessions.len());
        for session in loaded.sessions.values_mut() {
            let is_lost = session.link.is_none() && session.policy == OfflinePolicy::FullSync;
            if is_lost && session.due_at().is_none() {
                session.look_at = Some(look_at);
            }
            names.push(session.id.clone());
        }
        for name in names {
            self.pump(user, &name);
            self.schedule(user, &name);
        }
    }

    /// Asks for more of the log if the session can take it.
    pub(super) fn pump(&mut self, user: &UserId, name: &SessionId) {
        let limits = self.limits.window;
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let Some(loaded) = self.loaded_mut(user) else { return };
        let last_seq = loaded.last_seq;
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        let is_ready = session.link.is_some()
            && session.reading.is_none()
            && session.window.next() <= last_seq
            && session.window.is_half_free(limits);
        if !is_ready {
            return;
        }
        session.reading = Some(ticket);
        let after = session.window.next().previous();
        let events_max = limits.events_max - session.window.in_flight();
        self.outputs.push(Output::ReadLog {
            user: user.clone(),
            session: name.clone(),
            ticket,
            after,
            events_max: events_max.max(1),
            bytes_max: limits.bytes_max,
        });
    }

    /// Takes a piece of the log and puts it in flight.
    pub fn log_read(
        &mut self,
        user: &UserId,
        name: &SessionId,
        ticket: Ticket,
        result: Result<Vec<Event>, StoreError>,
        moment: Moment,
    ) {
        let ack_wait = self.limits.retry.ack_wait;
        let Some(loaded) = self.loaded_mut(user) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        if session.reading != Some(ticket) {
            return;
        }
        session.reading = None;
        let Some(connection) = session.connection() else { return };
        let events = match result {
            Ok(events) => events,
            Err(error) => {
                log::warn!("the log of {user:?} cannot be read: {error}");
                session.look_at = Some(moment.now + ack_wait);
                self.schedule(user, name);
                return;
            }
        };
        let is_gone = match events.first().and_then(|event| event.seq) {
            Some(first) => first > session.window.next(),
            None => true,
        };
        if is_gone {
            // The log was pruned under it: what is missing can only be had by a full sync.
            self.overflow(user, name);
            return;
        }
        let before = session.window.next();
        let taken = self.take_events(user, name, events, moment);
        for event in taken {
            self.fan_out(user, event, None, vec![connection], SendKind::First);
        }
        // An event too large for what is free waits for an ack, not for another look at the log.
        let has_moved = self
            .loaded_mut(user)
            .and_then(|loaded| loaded.sessions.get(name))
            .is_some_and(|session| session.window.next() > before);
        if has_moved {
            self.pump(user, name);
        }
        self.schedule(user, name);
    }

    /// Puts events in flight while there is room, and settles those that are not for this
    /// session; says which are to be sent.
    fn take_events(
        &mut self,
        user: &UserId,
        name: &SessionId,
        events: Vec<Event>,
        moment: Moment,
    ) -> Vec<Event> {
        let (limits, ack_wait) = (self.limits.window, self.limits.retry.ack_wait);
        let mut taken = Vec::with_capacity(events.len());
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return taken };
        let Some(session) = loaded.sessions.get_mut(name) else { return taken };
        for event in events {
            let Some(seq) = event.seq else { continue };
            if seq < session.window.next() {
                continue;
            }
            let is_expired = event.content.is_expired(moment.wall);
            let is_settled = is_expired
                || !session.is_for(&event.content)
                || session.window.take_acked_ahead(seq);
            if is_settled {
                if is_expired {
                    let trace = self.traces.queued(
                        &event.content,
                        user,
                        name,
                        seq,
                        Owed::Read(moment.wall),
                    );
                    self.traces.dropped(event.id(), trace, DropReason::Expired, self.wall);
                }
                session.window.skip(seq);
                mark_dirty(&mut self.dirty, user, session);
                continue;
            }
            if !session.window.has_room_for(event.content.bytes(), limits) {
                break;
            }
            let trace =
                self.traces.queued(&event.content, user, name, seq, Owed::Read(moment.wall));
            self.traces.sent(event.id(), trace, moment.wall);
            let content = Arc::clone(&event.content);
            session.window.offer(seq, content, moment.now + ack_wait, trace);
            taken.push(event);
        }
        taken
    }

    /// Sees to it that the session comes up when its next deadline is reached.
    pub(super) fn schedule(&mut self, user: &UserId, name: &SessionId) {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        let Some(due_at) = session.due_at() else { return };
        if session.scheduled.is_some_and(|scheduled| scheduled <= due_at) {
            return;
        }
        session.scheduled = Some(due_at);
        self.due.push(due_at, Due::Session(user.clone(), name.clone()));
    }
}

fn settle(session: &mut Session, ack: &Ack, last_seq: Seq) -> Vec<InFlight> {
    match ack {
        Ack::Events(events) => {
            events.iter().filter_map(|event| session.window.ack(*event)).collect()
        }
        Ack::At(seq) => session.window.settle(*seq).into_iter().collect(),
        Ack::UpTo(seq) => session.window.ack_up_to((*seq).min(last_seq)),
    }
}
