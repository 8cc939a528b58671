//! A model of the store: writes wait in order, are committed in groups, and are lost in a crash.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use staffetta::persistence::messages::{
    AppendEvent, AppendOutcome, Claim, DuplicateKey, StoreError, Ticket, UserSnapshot,
};
use staffetta::protocol::{Event, EventContent, EventId, Seq, SessionId, SessionRecord, UserId};

/// What waits to be written, or to be read after what was written before.
#[derive(Debug)]
pub(crate) enum Job {
    Append(AppendEvent),
    Save(UserId, SessionRecord),
    Floor(SessionId, Seq),
    Delete(SessionId),
    Claim(Ticket, UserId, SessionRecord),
    Load(UserId),
    Read(UserId, SessionId, Ticket, Seq, usize),
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Answer {
    Appended(Ticket, Result<AppendOutcome, StoreError>),
    Claimed(Ticket, Result<Claim, StoreError>),
    Loaded(UserId, Result<UserSnapshot, StoreError>),
    Read(UserId, SessionId, Ticket, Result<Vec<Event>, StoreError>),
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: BTreeMap<i64, Arc<EventContent>>,
    pub(crate) pruned: i64,
    marks: HashMap<EventId, (i64, u32, u32, Option<String>)>,
}

impl Log {
    pub(crate) fn last(&self) -> i64 {
        self.events.keys().next_back().copied().unwrap_or(0).max(self.pruned)
    }

    /// Where an event is, or was before it was pruned.
    pub(crate) fn place(&self, event: EventId) -> Option<i64> {
        self.marks.get(&event).map(|(seq, ..)| *seq)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) logs: HashMap<UserId, Log>,
    pub(crate) sessions: HashMap<SessionId, (UserId, SessionRecord)>,
    pub(crate) waiting: VecDeque<Job>,
}

impl Store {
    /// Commits up to `count` of what waits, as one group, or fails it whole.
    pub(crate) fn commit(&mut self, count: usize, fails: bool) -> Vec<Answer> {
        let count = count.min(self.waiting.len());
        let group: Vec<_> = self.waiting.drain(..count).collect();
        let mut answers = Vec::new();
        let mut kept = Vec::new();
        for job in group {
            match job {
                // What nobody waits for is tried again with the next group.
                Job::Save(..) | Job::Floor(..) | Job::Delete(_) if fails => kept.push(job),
                job => answers.extend(self.apply(job, fails)),
            }
        }
        for job in kept.into_iter().rev() {
            self.waiting.push_front(job);
        }
        answers
    }

    /// Everything that was not committed is gone.
    pub(crate) fn crash(&mut self) {
        self.waiting.clear();
    }

    /// Removes what is oldest in a log.
    pub(crate) fn prune(&mut self, user: &UserId, count: usize) -> Option<Seq> {
        let log = self.logs.get_mut(user)?;
        for _ in 0..count {
            let (seq, _) = log.events.pop_first()?;
            log.pruned = seq;
        }
        Some(Seq(log.pruned))
    }

    fn apply(&mut self, job: Job, fails: bool) -> Option<Answer> {
        let down = || StoreError::Database("down".to_owned());
        match job {
            Job::Append(event) => {
                let ticket = event.ticket;
                let result = if fails { Err(down()) } else { Ok(self.append(&event)) };
                Some(Answer::Appended(ticket, result))
            }
            Job::Save(user, record) => {
                self.sessions.insert(record.id.clone(), (user, record));
                None
            }
            Job::Floor(session, floor) => {
                if let Some((_, record)) = self.sessions.get_mut(&session) {
                    record.floor = record.floor.max(floor);
                }
                None
            }
            Job::Delete(session) => {
                self.sessions.remove(&session);
                None
            }
            Job::Claim(ticket, ..) if fails => Some(Answer::Claimed(ticket, Err(down()))),
            Job::Claim(ticket, user, record) => {
                let claim = if self.sessions.contains_key(&record.id) {
                    Claim::Taken
                } else {
                    self.sessions.insert(record.id.clone(), (user, record));
                    Claim::Created
                };
                Some(Answer::Claimed(ticket, Ok(claim)))
            }
            Job::Load(user) => {
                let result = if fails { Err(down()) } else { Ok(self.snapshot(&user)) };
                Some(Answer::Loaded(user, result))
            }
            Job::Read(user, session, ticket, after, events_max) => {
                let result =
                    if fails { Err(down()) } else { Ok(self.read(&user, after, events_max)) };
                Some(Answer::Read(user, session, ticket, result))
            }
        }
    }

    fn append(&mut self, event: &AppendEvent) -> AppendOutcome {
        let log = self.logs.entry(event.user.clone()).or_default();
        let id = event.content.id;
        let fingerprint = match &event.duplicate {
            DuplicateKey::Fresh => None,
            DuplicateKey::EventId { fingerprint } | DuplicateKey::Key { fingerprint, .. } => {
                Some(fingerprint.clone())
            }
        };
        if let Some((seq, live, offline, known)) = log.marks.get(&id) {
            if *known != fingerprint {
                return AppendOutcome::Conflict;
            }
            let (seq, live, offline) = (Seq(*seq), *live, *offline);
            return AppendOutcome::Duplicate { id, seq, live, offline };
        }
        let seq = log.last() + 1;
        log.events.insert(seq, Arc::clone(&event.content));
        log.marks.insert(id, (seq, event.live, event.offline, fingerprint));
        for session in &event.need_full_sync {
            if let Some((_, record)) = self.sessions.get_mut(session) {
                record.need_full_sync = true;
            }
        }
        AppendOutcome::Stored(Seq(seq))
    }

    fn snapshot(&self, user: &UserId) -> UserSnapshot {
        let log = self.logs.get(user);
        let sessions = self.sessions.values().filter(|(owner, _)| owner == user);
        UserSnapshot {
            last_seq: Seq(log.map_or(0, Log::last)),
            pruned: Seq(log.map_or(0, |log| log.pruned)),
            sessions: sessions.map(|(_, record)| record.clone()).collect(),
        }
    }

    fn read(&self, user: &UserId, after: Seq, events_max: usize) -> Vec<Event> {
        let Some(log) = self.logs.get(user) else { return Vec::new() };
        log.events
            .range(after.0 + 1..)
            .take(events_max)
            .map(|(seq, content)| Event::at(Seq(*seq), Arc::clone(content)))
            .collect()
    }
}
