//! Acks come in, and what waits in the log goes out as the window opens.

use std::sync::Arc;

use super::{Due, Entry, Moment, PendingTable, mark_dirty};
use crate::delivery::messages::DropReason;
use crate::delivery::output::Output;
use crate::delivery::session::Session;
use crate::delivery::trace::Owed;
use crate::delivery::user::Tenant;
use crate::delivery::window::InFlight;
use crate::dialect::EventFrames;
use crate::persistence::messages::{StoreError, Ticket};
use crate::protocol::{Ack, ConnectionId, Event, Seq, SessionId, UserId};
use crate::registry::messages::SendKind;

/// Users the end of whose log is kept in memory, each up to four windows of events and the bytes of one.
const TAILS_MAX: usize = 64;

impl PendingTable {
    /// Settles deliveries. Late, repeated and unknown acks change nothing.
    pub fn ack(&mut self, user: &UserId, connection: ConnectionId, ack: &Ack, moment: Moment) {
        self.wall = moment.wall;
        let mut settled = std::mem::take(&mut self.settled);
        self.settle(user, connection, ack, moment, &mut settled);
        settled.clear();
        self.settled = settled;
    }

    fn settle(
        &mut self,
        user: &UserId,
        connection: ConnectionId,
        ack: &Ack,
        moment: Moment,
        settled: &mut Vec<InFlight>,
    ) {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let Some(Tenant::Reliable(name)) = loaded.connections.get(&connection) else { return };
        let Some(session) = loaded.sessions.get_mut(name) else { return };
        let before = session.window.next();
        settle(session, ack, loaded.last_seq, settled);
        if settled.is_empty() && session.window.next() == before {
            return;
        }
        for entry in settled.iter() {
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
        self.notice_settled(user, &name, settled);
        if is_behind {
            self.pump(user, &name, moment);
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
            let frames = EventFrames::new(event);
            self.fan_out(user, frames, None, vec![connection], SendKind::First);
        }
        self.pump(user, name, moment);
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
            session.look_for(look_at);
            names.push(session.id.clone());
        }
        for name in names {
            self.pump(user, &name, moment);
            self.schedule(user, &name);
        }
    }

    /// Gives the session more of the log if it can take it: from memory, or by asking the store.
    pub(super) fn pump(&mut self, user: &UserId, name: &SessionId, moment: Moment) {
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
        let events_max = limits.events_max - session.window.in_flight();
        let (next, connection) = (session.window.next(), session.connection());
        let at_hand = loaded.tail.from(next, events_max.max(1));
        if let (false, Some(connection)) = (at_hand.is_empty(), connection) {
            self.send_more(user, name, at_hand, connection, moment);
            return;
        }
        session.reading = Some(ticket);
        let after = next.previous();
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
                if error != StoreError::Closed {
                    log::warn!("the log of {user:?} cannot be read: {error}");
                }
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
        let events = events.into_iter().map(EventFrames::new).collect();
        self.send_more(user, name, events, connection, moment);
    }

    /// Sends what may be put in flight of the next events, and goes on with those after them.
    fn send_more(
        &mut self,
        user: &UserId,
        name: &SessionId,
        events: Vec<Arc<EventFrames>>,
        connection: ConnectionId,
        moment: Moment,
    ) {
        let next = |table: &mut Self| {
            let session = table.loaded_mut(user)?.sessions.get(name)?;
            Some(session.window.next())
        };
        let before = next(self);
        for frames in self.take_events(user, name, events, moment) {
            self.fan_out(user, frames, None, vec![connection], SendKind::First);
        }
        // An event too large for what is free waits for an ack, not for another look at the log.
        if next(self) > before {
            self.pump(user, name, moment);
        }
        self.schedule(user, name);
    }

    /// Keeps the last event of a log in memory: a live session is not ready for it yet.
    pub(super) fn keep_tail(&mut self, user: &UserId, seq: Seq, frames: &Arc<EventFrames>) {
        let limits = self.limits.window;
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        if loaded.tail.is_empty() {
            if self.tails.len() >= TAILS_MAX {
                return;
            }
            self.tails.insert(user.clone());
        }
        loaded.tail.push(seq, Arc::clone(frames), limits);
    }

    /// Lets go of the ends of logs that nobody is behind any more.
    pub(super) fn drop_tails(&mut self) {
        let users = &mut self.users;
        self.tails.retain(|user| {
            let Some(Entry::Loaded(loaded)) = users.get_mut(user) else { return false };
            if !loaded.is_anyone_behind() {
                loaded.tail.clear();
            }
            !loaded.tail.is_empty()
        });
    }

    /// Puts events in flight while there is room, and settles those that are not for this
    /// session; says which are to be sent.
    fn take_events(
        &mut self,
        user: &UserId,
        name: &SessionId,
        events: Vec<Arc<EventFrames>>,
        moment: Moment,
    ) -> Vec<Arc<EventFrames>> {
        let (limits, ack_wait) = (self.limits.window, self.limits.retry.ack_wait);
        let mut taken = Vec::with_capacity(events.len());
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return taken };
        let Some(session) = loaded.sessions.get_mut(name) else { return taken };
        for frames in events {
            let event = frames.event();
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
            taken.push(frames);
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

fn settle(session: &mut Session, ack: &Ack, last_seq: Seq, settled: &mut Vec<InFlight>) {
    match ack {
        Ack::Event(event) => settled.extend(session.window.ack(*event)),
        Ack::Events(events) => {
            settled.extend(events.iter().filter_map(|event| session.window.ack(*event)));
        }
        Ack::At(seq) => settled.extend(session.window.settle(*seq)),
        Ack::UpTo(seq) => *settled = session.window.ack_up_to((*seq).min(last_seq)),
    }
}
