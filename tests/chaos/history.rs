//! What publishers tried and were promised, what devices saw, and whether it all agrees.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use uuid::Uuid;

/// Complaints that are kept; one is enough to fail.
const WRONG_MAX: usize = 50;

/// What a device was sent.
pub(crate) struct Arrival<'a> {
    user: usize,
    name: Uuid,
    id: Uuid,
    seq: i64,
    text: &'a str,
}

impl<'a> Arrival<'a> {
    pub(crate) fn new(user: usize, name: Uuid, id: Uuid, seq: i64, text: &'a str) -> Self {
        Self { user, name, id, seq, text }
    }
}

#[derive(Debug, Default)]
struct Session {
    user: usize,
    /// Everything at or below came with a full sync.
    synced_to: i64,
    full_syncs: usize,
    applied: BTreeMap<i64, (Uuid, String)>,
    highest: i64,
    redeliveries: usize,
    /// Events that came although a full sync had covered them.
    covered: usize,
}

#[derive(Debug)]
struct Promise {
    user: usize,
    name: Uuid,
    sessions: Vec<String>,
}

/// One thing that a publisher wants known, by the name that is in its data.
#[derive(Debug, Default)]
struct Attempt {
    users: Vec<usize>,
    id: Option<Uuid>,
    seqs: HashMap<usize, i64>,
}

/// One row of the log, as it is in the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    pub(crate) user: usize,
    pub(crate) name: Uuid,
    pub(crate) id: Uuid,
    pub(crate) seq: i64,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    attempts: HashMap<Uuid, Attempt>,
    places: HashMap<(usize, i64), Uuid>,
    promises: Vec<Promise>,
    refused: usize,
    unheard: usize,
    broadcasts: usize,
    to_plain: usize,
    closes: BTreeMap<u16, usize>,
    wrong: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Inner>);

impl Inner {
    fn complain(&mut self, what: String) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push(what);
        }
    }

    fn promised(&mut self, user: usize, name: Uuid, sessions: Vec<String>) {
        self.promises.push(Promise { user, name, sessions });
    }

    /// Compares what is known of an event with what is known of it from elsewhere.
    fn seen(&mut self, who: &str, user: usize, name: Uuid, id: Uuid, seq: i64) {
        let Some(attempt) = self.attempts.get_mut(&name) else {
            return self.complain(format!("{who}: nobody published {name} (seq {seq})"));
        };
        let is_theirs = attempt.users.contains(&user);
        let stored = (*attempt.id.get_or_insert(id), *attempt.seqs.entry(user).or_insert(seq));
        if !is_theirs {
            self.complain(format!("{who}: {name} was not for user {user}"));
        }
        if stored != (id, seq) {
            self.complain(format!("{who}: {name} is {id} at {seq}, and was {stored:?}"));
        }
        let known = *self.places.entry((user, seq)).or_insert(id);
        if known != id {
            self.complain(format!("{who}: user {user} has {id} at {seq}, and {known}"));
        }
    }
}

impl History {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Takes note of what will be published, before it is.
    pub(crate) fn attempted(&self, users: &[usize], name: Uuid) {
        let attempt = Attempt { users: users.to_vec(), ..Attempt::default() };
        self.inner().attempts.insert(name, attempt);
    }

    /// Takes note of a publish that was answered with success; `sessions` were there before it.
    pub(crate) fn promise(&self, user: usize, name: Uuid, id: Uuid, seq: i64, sessions: &[String]) {
        let mut inner = self.inner();
        inner.seen("its publisher", user, name, id, seq);
        inner.promised(user, name, sessions.to_vec());
    }

    /// The same of a broadcast, with the sessions of each user.
    pub(crate) fn promise_all(&self, name: Uuid, id: Uuid, users: Vec<(usize, Vec<String>)>) {
        let mut inner = self.inner();
        let known = inner.attempts.get_mut(&name).map(|known| *known.id.get_or_insert(id));
        if known != Some(id) {
            inner.complain(format!("broadcast {name} is {id}, and was {known:?}"));
        }
        inner.broadcasts += 1;
        for (user, sessions) in users {
            inner.promised(user, name, sessions);
        }
    }

    /// Compares everything with what the logs say in the end; says how many promises are not in
    /// them.
    pub(crate) fn compare(&self, logs: &[Logged]) -> usize {
        let mut inner = self.inner();
        let mut there = HashSet::new();
        for Logged { user, name, id, seq } in logs.iter().copied() {
            inner.seen("the log", user, name, id, seq);
            there.insert((user, name));
        }
        let is_there = |promise: &&Promise| there.contains(&(promise.user, promise.name));
        inner.promises.len() - inner.promises.iter().filter(is_there).count()
    }

    pub(crate) fn refused(&self) {
        self.inner().refused += 1;
    }

    pub(crate) fn unheard(&self) {
        self.inner().unheard += 1;
    }

    pub(crate) fn closed(&self, code: u16) {
        *self.inner().closes.entry(code).or_default() += 1;
    }

    pub(crate) fn complain(&self, what: String) {
        self.inner().complain(what);
    }

    pub(crate) fn attached(&self, user: usize, session: &str, need_full_sync: bool, cursor: i64) {
        let mut inner = self.inner();
        let known = inner.sessions.entry(session.to_owned()).or_default();
        known.user = user;
        if need_full_sync {
            known.full_syncs += 1;
            known.synced_to = known.synced_to.max(cursor);
            known.highest = known.highest.max(cursor);
        }
    }

    /// Takes note of what a session that acks was sent.
    pub(crate) fn applied(&self, session: &str, arrival: &Arrival<'_>) {
        let Arrival { user, name, id, seq, text } = *arrival;
        let mut inner = self.inner();
        inner.seen(session, user, name, id, seq);
        let known = inner.sessions.get_mut(session).unwrap();
        if let Some((first, told)) = known.applied.get(&seq) {
            known.redeliveries += 1;
            if (first, told.as_str()) != (&id, text) {
                let what = format!("{session}: {seq} was {told}, and is {text}");
                inner.complain(what);
            }
            return;
        }
        if seq <= known.synced_to {
            // What the sync covered may be on its way, or its floor not written when a node ends.
            known.covered += 1;
            return;
        }
        let highest = known.highest;
        known.highest = highest.max(seq);
        known.applied.insert(seq, (id, text.to_owned()));
        if seq <= highest {
            inner.complain(format!("{session}: {seq} comes first after {highest}"));
        }
    }

    /// Takes note of what a plain session was sent after `highest` on this connection.
    pub(crate) fn shown(&self, arrival: &Arrival<'_>, highest: i64) {
        let Arrival { user, name, id, seq, .. } = *arrival;
        let mut inner = self.inner();
        inner.to_plain += 1;
        inner.seen("a plain session", user, name, id, seq);
        if seq <= highest {
            inner.complain(format!("a plain session of user {user}: {seq} after {highest}"));
        }
    }

    pub(crate) fn sessions_of(&self, user: usize) -> Vec<String> {
        let inner = self.inner();
        let sessions = inner.sessions.iter().filter(|(_, session)| session.user == user);
        sessions.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn promised(&self) -> usize {
        self.inner().promises.len()
    }

    /// What some session neither applied nor covered by a full sync.
    pub(crate) fn lost(&self) -> Vec<String> {
        let inner = self.inner();
        let mut lost = Vec::new();
        for promise in &inner.promises {
            for name in &promise.sessions {
                let session = &inner.sessions[name];
                assert_eq!(session.user, promise.user, "another user's session");
                let attempt = &inner.attempts[&promise.name];
                // None: a broadcast that nobody has seen yet.
                let seq = attempt.seqs.get(&promise.user);
                let applied = seq.and_then(|seq| session.applied.get(seq));
                let has = applied.is_some_and(|(id, _)| Some(*id) == attempt.id);
                if !has && seq.is_none_or(|seq| *seq > session.synced_to) {
                    let (id, synced) = (promise.name, session.synced_to);
                    lost.push(format!("{name} lacks {seq:?} ({id}), synced to {synced}"));
                }
            }
        }
        lost
    }

    /// What must not have happened.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.inner().wrong.clone()
    }

    /// Waits until nothing is missing, or nothing more has come for this long.
    pub(crate) async fn settle(&self, patience: Duration) {
        let mut deadline = tokio::time::Instant::now() + patience;
        let mut missing = self.lost().len();
        while missing > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now_missing = self.lost().len();
            if now_missing < missing {
                deadline = tokio::time::Instant::now() + patience;
            }
            missing = now_missing;
        }
    }

    pub(crate) fn summary(&self) -> String {
        let inner = self.inner();
        let sum = |of: fn(&Session) -> usize| inner.sessions.values().map(of).sum::<usize>();
        format!(
            "{} promised, {} broadcasts, {} refused, {} unheard; {} applied, {} redelivered, {} full syncs, \
             {} covered by one, {} to plain sessions; closed by {:?}",
            inner.promises.len(),
            inner.broadcasts,
            inner.refused,
            inner.unheard,
            sum(|session| session.applied.len()),
            sum(|session| session.redeliveries),
            sum(|session| session.full_syncs),
            sum(|session| session.covered),
            inner.to_plain,
            inner.closes,
        )
    }
}
