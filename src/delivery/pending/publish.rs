//! Publishing: who is concerned, what is marked with the append, and fanning out once durable.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Due, Entry, Moment, PendingTable, Waiting, mark_dirty};
use crate::delivery::messages::{DropReason, PublishError, Receipt, Submission, WaitOutcome};
use crate::delivery::output::{Answer, Output};
use crate::delivery::session::Session;
use crate::delivery::trace::Owed;
use crate::delivery::user::{Tenant, User, Waiter};
use crate::dialect::EventFrames;
use crate::persistence::messages::{AppendEvent, AppendOutcome, StoreError, Ticket};
use crate::protocol::{
    Audience, CloseCode, ConnectionId, Epoch, Event, EventContent, NoteId, OfflinePolicy, Seq,
    SessionId, UserId,
};
use crate::registry::messages::SendKind;

/// An append that is not answered yet.
#[derive(Debug)]
pub(super) struct PendingAppend {
    user: UserId,
    content: Arc<EventContent>,
    live: u32,
    offline: u32,
    need_full_sync: Vec<SessionId>,
    wait_acked: Option<Duration>,
    audience: Audience,
}

/// What becomes of one event for one session.
enum Fate {
    Send,
    Wait,
    Nothing,
    NotForIt,
    TooManyOwed,
}

impl PendingTable {
    /// Takes an event: asks for it to be appended, or fans it out at once if it is ephemeral.
    pub fn publish(&mut self, ticket: Ticket, submission: Submission, moment: Moment) {
        let user = submission.user.clone();
        if !matches!(self.users.get(&user), Some(Entry::Loaded(_))) {
            self.wait(&user, Waiting::Publish(ticket, submission));
            return;
        }
        let Some(loaded) = self.loaded_mut(&user) else { return };
        loaded.touched = Some(moment.now);
        let (live, offline, need_full_sync) = count(loaded, &submission.content);
        if submission.ephemeral {
            self.fan_out_ephemeral(ticket, submission, (live, offline));
            return;
        }
        loaded.asked += 1;
        self.outputs.push(Output::Append(AppendEvent {
            ticket,
            user: user.clone(),
            content: Arc::clone(&submission.content),
            duplicate: submission.duplicate,
            live,
            offline,
            need_full_sync: need_full_sync.clone(),
            epoch: Epoch::default(),
        }));
        let append = PendingAppend {
            user,
            content: submission.content,
            live,
            offline,
            need_full_sync,
            wait_acked: submission.wait_acked,
            audience: submission.audience,
        };
        self.appends.insert(ticket, append);
    }

    /// Takes the result of an append; a stored event is fanned out.
    pub fn appended(
        &mut self,
        ticket: Ticket,
        result: Result<AppendOutcome, StoreError>,
        moment: Moment,
    ) {
        self.wall = moment.wall;
        let Some(append) = self.appends.remove(&ticket) else { return };
        if let Some(loaded) = self.loaded_mut(&append.user) {
            loaded.asked -= 1;
        }
        let answer = match result {
            Ok(AppendOutcome::Stored(seq)) => {
                self.counts.published += 1;
                let receipt = Receipt {
                    event_id: append.content.id,
                    seq: Some(seq),
                    live: append.live,
                    offline: append.offline,
                    duplicate: false,
                    acked: None,
                };
                self.catch_up(&append.user, seq.previous(), moment);
                self.deliver(&append, seq, moment);
                self.answer_or_wait(ticket, &append, receipt, moment);
                return;
            }
            Ok(AppendOutcome::Duplicate { id, seq, live, offline }) => {
                self.catch_up(&append.user, seq, moment);
                let receipt = Receipt {
                    event_id: id,
                    seq: Some(seq),
                    live,
                    offline,
                    duplicate: true,
                    acked: None,
                };
                self.answer_or_wait(ticket, &append, receipt, moment);
                return;
            }
            Ok(AppendOutcome::Conflict) => Err(PublishError::Conflict),
            Err(StoreError::Overloaded) => Err(PublishError::Overloaded),
            Err(StoreError::Moved) => Err(PublishError::Moved),
            Err(error) => {
                log::warn!("an event for {:?} was not stored: {error}", append.user);
                Err(PublishError::Unavailable)
            }
        };
        self.outputs.push(Output::Answer(ticket, Answer::Published(answer)));
    }

    fn fan_out_ephemeral(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        (live, offline): (u32, u32),
    ) {
        let Submission { user, content, audience, .. } = submission;
        let receipt = Receipt {
            event_id: content.id,
            seq: None,
            live,
            offline,
            duplicate: false,
            acked: None,
        };
        self.counts.published += 1;
        if let Some(loaded) = self.loaded_mut(&user) {
            let plain = plain_targets(loaded, &content, &audience);
            let sessions = loaded.sessions.values().filter(|session| session.is_for(&content));
            let sessions: Vec<_> = sessions.filter_map(|session| session.connection()).collect();
            let frames = EventFrames::new(Event::ephemeral(content));
            self.fan_out_to(&user, frames, &audience, (plain, sessions));
        }
        self.outputs.push(Output::Answer(ticket, Answer::Published(Ok(receipt))));
    }

    /// Hands an event to plain connections, of which a room may keep some out, and to those of
    /// sessions, which it does not concern.
    fn fan_out_to(
        &mut self,
        user: &UserId,
        frames: Arc<EventFrames>,
        audience: &Audience,
        (mut plain, mut sessions): (Vec<ConnectionId>, Vec<ConnectionId>),
    ) {
        if let Some(room) = &audience.room {
            let plain = std::mem::take(&mut plain);
            self.fan_out(user, frames.clone(), Some(room.clone()), plain, SendKind::First);
        }
        sessions.append(&mut plain);
        self.fan_out(user, frames, None, sessions, SendKind::First);
    }

    pub(super) fn fan_out(
        &mut self,
        user: &UserId,
        frames: Arc<EventFrames>,
        room: Option<NoteId>,
        targets: Vec<ConnectionId>,
        kind: SendKind,
    ) {
        if targets.is_empty() {
            return;
        }
        match kind {
            SendKind::First => self.counts.delivered += targets.len() as u64,
            SendKind::Redelivery => self.counts.redelivered += targets.len() as u64,
        }
        self.outputs.push(Output::FanOut { user: user.clone(), frames, room, targets, kind });
    }

    /// Puts a durable event in flight for every session that can take it now.
    fn deliver(&mut self, append: &PendingAppend, seq: Seq, moment: Moment) {
        let user = &append.user;
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        loaded.last_seq = loaded.last_seq.max(seq);
        let ack_wait = self.limits.retry.ack_wait;
        let plain = plain_targets(loaded, &append.content, &append.audience);
        let mut targets = Vec::with_capacity(loaded.sessions.len() + plain.len());
        let mut overflowed = Vec::new();
        let mut is_anyone_behind = false;
        for session in loaded.sessions.values_mut() {
            let is_marked = append.need_full_sync.contains(&session.id);
            if is_marked && session.link.is_some() {
                // It came back while the mark was being written; the event is simply owed.
                let (user, record) = (user.clone(), session.record());
                self.outputs.push(Output::SaveSession { user, record });
            } else if is_marked && !session.need_full_sync {
                session.need_full_sync = true;
                session.look_at = None;
                self.counts.full_syncs_offline += 1;
                for entry in session.window.abandon(seq) {
                    self.traces.dropped(
                        entry.content.id,
                        entry.trace,
                        DropReason::Offline,
                        self.wall,
                    );
                }
            }
            match fate(session, &append.content, seq, &self.limits) {
                Fate::Send => {
                    let trace = self.traces.queued(
                        &append.content,
                        user,
                        &session.id,
                        seq,
                        Owed::Appended(moment.wall),
                    );
                    self.traces.sent(append.content.id, trace, moment.wall);
                    let content = Arc::clone(&append.content);
                    session.window.offer(seq, content, moment.now + ack_wait, trace);
                    targets.extend(session.connection());
                }
                Fate::Wait => {
                    is_anyone_behind |= session.link.is_some();
                    session.look_for(moment.now + ack_wait);
                }
                Fate::Nothing => {}
                // Settled at once if it is up to there, else when the log is read up to it.
                Fate::NotForIt => {
                    if session.window.next() == seq {
                        session.window.skip(seq);
                        mark_dirty(&mut self.dirty, user, session);
                    }
                }
                Fate::TooManyOwed => overflowed.push(session.id.clone()),
            }
            if session.scheduled.is_none()
                && let Some(due_at) = session.due_at()
            {
                session.scheduled = Some(due_at);
                self.due.push(due_at, Due::Session(user.clone(), session.id.clone()));
            }
        }
        let frames = EventFrames::new(Event::at(seq, Arc::clone(&append.content)));
        if is_anyone_behind {
            self.keep_tail(user, seq, &frames);
        }
        self.fan_out_to(user, frames, &append.audience, (plain, targets));
        for session in overflowed {
            self.overflow(user, &session);
        }
    }

    /// More is owed than is kept: the session must do a full sync, and a live one must come
    /// back to be told.
    pub(super) fn overflow(&mut self, user: &UserId, session: &SessionId) {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let last_seq = loaded.last_seq;
        let Some(known) = loaded.sessions.get_mut(session) else { return };
        self.counts.full_syncs_owed += 1;
        known.need_full_sync = true;
        known.look_at = None;
        for entry in known.window.abandon(last_seq) {
            self.traces.dropped(entry.content.id, entry.trace, DropReason::TooManyOwed, self.wall);
        }
        let record = known.record();
        let connection = known.connection();
        log::info!("{session:?} of {user:?} is owed more than is kept: full sync");
        self.outputs.push(Output::SaveSession { user: user.clone(), record });
        if let Some(connection) = connection {
            self.disconnect(user, connection, CloseCode::TooSlow);
        }
    }

    fn answer_or_wait(
        &mut self,
        ticket: Ticket,
        append: &PendingAppend,
        receipt: Receipt,
        moment: Moment,
    ) {
        let (Some(wait), Some(seq)) = (append.wait_acked, receipt.seq) else {
            self.outputs.push(Output::Answer(ticket, Answer::Published(Ok(receipt))));
            return;
        };
        let mut remaining = HashSet::new();
        let mut outcome = WaitOutcome::default();
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(&append.user) else {
            // Its slot was dropped meanwhile; the event is durable all the same.
            self.outputs.push(Output::Answer(ticket, Answer::Published(Ok(receipt))));
            return;
        };
        for session in loaded.sessions.values() {
            if session.link.is_none() || !session.is_for(&append.content) {
                continue;
            }
            if session.window.is_settled(seq) {
                outcome.acked.push(session.id.clone());
            } else {
                remaining.insert(session.id.clone());
            }
        }
        let waiter = Waiter { ticket, seq, remaining, receipt, outcome };
        if waiter.remaining.is_empty() {
            self.finish(waiter);
            return;
        }
        loaded.waiters.push(waiter);
        self.due.push(moment.now + wait, Due::Waiter(append.user.clone(), ticket));
    }

    pub(super) fn finish(&mut self, waiter: Waiter) {
        let (ticket, receipt) = waiter.finish();
        self.outputs.push(Output::Answer(ticket, Answer::Published(Ok(receipt))));
    }
}

/// Who is live and who is not, and which of those must be marked with the append.
fn count(user: &User, content: &EventContent) -> (u32, u32, Vec<SessionId>) {
    let mut live = 0;
    let mut offline = 0;
    let mut need_full_sync = Vec::new();
    for session in user.sessions.values().filter(|session| session.is_for(content)) {
        if session.link.is_some() {
            live += 1;
            continue;
        }
        offline += 1;
        if session.policy == OfflinePolicy::FullSync && !session.need_full_sync {
            need_full_sync.push(session.id.clone());
        }
    }
    let plain = user.connections.values().filter(|tenant| takes(tenant, content));
    (live + plain.count() as u32, offline, need_full_sync)
}

/// Whether it is a plain connection that an event concerns.
fn takes(tenant: &Tenant, content: &EventContent) -> bool {
    match tenant {
        Tenant::Plain { accounts, .. } => accounts.take(content),
        Tenant::Reliable(_) => false,
    }
}

/// The plain connections an event is for, apart from who is in its room.
fn plain_targets(user: &User, content: &EventContent, audience: &Audience) -> Vec<ConnectionId> {
    user.connections
        .iter()
        .filter(|(connection, tenant)| {
            takes(tenant, content) && audience.except != Some(**connection)
        })
        .map(|(connection, _)| *connection)
        .collect()
}

fn fate(session: &Session, content: &EventContent, seq: Seq, limits: &super::Limits) -> Fate {
    if session.link.is_none() && session.need_full_sync {
        return Fate::Nothing;
    }
    if !session.is_for(content) {
        return Fate::NotForIt;
    }
    let can_take = session.link.is_some()
        && session.reading.is_none()
        && session.window.next() == seq
        && session.window.has_room_for(content.bytes(), limits.window);
    if can_take {
        return Fate::Send;
    }
    if session.owed(seq) > limits.owed_max {
        return Fate::TooManyOwed;
    }
    Fate::Wait
}
