//! A store in memory: what the table asked to be written, and what it may read of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::world::{Mode, WINDOW, World};
use crate::delivery::output::Output;
use crate::persistence::messages::{
    AppendEvent, AppendOutcome, Claim, DuplicateKey, Floor, StoreError, UserSnapshot,
};
use crate::protocol::{Event, EventContent, EventId, Seq, SessionId, SessionRecord, UserId};

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) events: BTreeMap<i64, Arc<EventContent>>,
    pub(super) pruned: i64,
    first: HashMap<EventId, (DuplicateKey, AppendOutcome)>,
}

impl Log {
    fn last(&self) -> i64 {
        self.events.keys().next_back().copied().unwrap_or(self.pruned)
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    logs: HashMap<UserId, Log>,
    pub(super) sessions: HashMap<SessionId, (UserId, SessionRecord)>,
    pub(super) floors: Vec<Floor>,
}

impl Store {
    pub(super) fn append(&mut self, event: AppendEvent) -> AppendOutcome {
        for session in &event.need_full_sync {
            if let Some((_, record)) = self.sessions.get_mut(session) {
                record.need_full_sync = true;
            }
        }
        let log = self.logs.entry(event.user).or_default();
        let id = event.content.id;
        if let Some((key, outcome)) = log.first.get(&id) {
            let is_same = *key == event.duplicate;
            return if is_same { outcome.clone() } else { AppendOutcome::Conflict };
        }
        let seq = Seq(log.last() + 1);
        log.events.insert(seq.0, event.content);
        let (live, offline) = (event.live, event.offline);
        let again = AppendOutcome::Duplicate { id, seq, live, offline };
        log.first.insert(id, (event.duplicate, again));
        AppendOutcome::Stored(seq)
    }

    pub(super) fn claim(&mut self, user: UserId, record: SessionRecord) -> Claim {
        if self.sessions.contains_key(&record.id) {
            return Claim::Taken;
        }
        self.sessions.insert(record.id.clone(), (user, record));
        Claim::Created
    }

    pub(super) fn save_floor(&mut self, floor: Floor) {
        if let Some((_, record)) = self.sessions.get_mut(&floor.session) {
            record.floor = record.floor.max(floor.floor);
            record.acked_at = Some(floor.acked_at);
        }
        self.floors.push(floor);
    }

    /// Removes what is at or below `up_to`.
    pub(super) fn prune(&mut self, user: &UserId, up_to: i64) {
        let log = self.logs.entry(user.clone()).or_default();
        log.events.retain(|seq, _| *seq > up_to);
        log.pruned = up_to;
    }

    pub(super) fn snapshot(&self, user: &UserId) -> UserSnapshot {
        let log = self.logs.get(user);
        let sessions = self.sessions.values().filter(|(owner, _)| owner == user);
        UserSnapshot {
            last_seq: Seq(log.map_or(0, Log::last)),
            pruned: Seq(log.map_or(0, |log| log.pruned)),
            sessions: sessions.map(|(_, record)| record.clone()).collect(),
        }
    }

    pub(super) fn read(&self, user: &UserId, after: Seq, events_max: usize) -> Vec<Event> {
        let events =
            self.logs.get(user).into_iter().flat_map(|log| log.events.range(after.0 + 1..));
        events.take(events_max).map(|(seq, at)| Event::at(Seq(*seq), Arc::clone(at))).collect()
    }
}

impl World {
    /// Does what the table asks of its store, and tells it what came of it.
    pub(super) fn ask_store(&mut self, output: Output) {
        let moment = self.moment();
        let away = || StoreError::Database("away".to_owned());
        let is_away = self.mode == Mode::Away;
        match output {
            Output::Append(event) => {
                let ticket = event.ticket;
                let stored = (!is_away).then(|| self.store.append(event));
                let is_told = self.mode != Mode::Silent;
                let result = stored.filter(|_| is_told).ok_or_else(away);
                self.table.appended(ticket, result, moment);
            }
            Output::Claim { ticket, user, record } => {
                let result = if is_away { Err(away()) } else { Ok(self.store.claim(user, record)) };
                self.table.claimed(ticket, result, moment);
            }
            Output::SaveSession { user, record } => {
                self.store.sessions.insert(record.id.clone(), (user, record));
            }
            Output::DeleteSession(_, session) => {
                self.store.sessions.remove(&session);
            }
            Output::LoadUser(user) => {
                let result = if is_away { Err(away()) } else { Ok(self.store.snapshot(&user)) };
                self.table.loaded(&user, result, moment);
            }
            Output::ReadLog { user, session, ticket, after, events_max, .. } => {
                assert!((1..=WINDOW).contains(&events_max), "{events_max} at once");
                let result = if is_away {
                    Err(away())
                } else {
                    Ok(self.store.read(&user, after, events_max))
                };
                self.table.log_read(&user, &session, ticket, result, moment);
            }
            Output::Notice(_) => {}
            Output::FanOut { .. }
            | Output::Say { .. }
            | Output::Resumed { .. }
            | Output::Close { .. }
            | Output::Answer(..) => {
                unreachable!("the store is not asked to do this")
            }
        }
    }
}
