//! What was promised, what was applied, and whether the two agree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use uuid::Uuid;

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
    id: Uuid,
    seq: i64,
    sessions: Vec<String>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    promises: Vec<Promise>,
}

#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Inner>);

impl History {
    pub(crate) fn attached(&self, user: usize, session: &str, need_full_sync: bool, cursor: i64) {
        let mut inner = self.0.lock().unwrap();
        let known = inner.sessions.entry(session.to_owned()).or_default();
        known.user = user;
        if need_full_sync {
            known.full_syncs += 1;
            known.synced_to = known.synced_to.max(cursor);
            known.highest = known.highest.max(cursor);
        }
    }

    pub(crate) fn applied(&self, user: usize, session: &str, id: Uuid, seq: i64, text: &str) {
        let mut inner = self.0.lock().unwrap();
        let known = inner.sessions.get_mut(session).unwrap();
        assert_eq!(known.user, user);
        if let Some((first, told)) = known.applied.get(&seq) {
            assert_eq!((first, told.as_str()), (&id, text), "a redelivery that differs");
            known.redeliveries += 1;
            return;
        }
        if seq <= known.synced_to {
            // The floor that the sync moved was not written yet when the hub was killed.
            known.covered += 1;
            return;
        }
        assert!(seq > known.highest, "{session}: {seq} arrives first after {}", known.highest);
        known.highest = seq;
        known.applied.insert(seq, (id, text.to_owned()));
    }

    pub(crate) fn promise(&self, user: usize, id: Uuid, seq: i64, sessions: &[String]) {
        let sessions = sessions.to_vec();
        self.0.lock().unwrap().promises.push(Promise { user, id, seq, sessions });
    }

    pub(crate) fn sessions_of(&self, user: usize) -> Vec<String> {
        let inner = self.0.lock().unwrap();
        let sessions = inner.sessions.iter().filter(|(_, session)| session.user == user);
        sessions.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn promised(&self) -> usize {
        self.0.lock().unwrap().promises.len()
    }

    /// What some session neither applied nor covered by a full sync.
    pub(crate) fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        self.each_lost(|promise, name, session| {
            let (seq, id) = (promise.seq, promise.id);
            lost.push(format!("{name} lacks {seq} ({id}), synced to {}", session.synced_to));
        });
        lost
    }

    fn count_lost(&self) -> usize {
        let mut count = 0;
        self.each_lost(|_, _, _| count += 1);
        count
    }

    fn each_lost(&self, mut tell: impl FnMut(&Promise, &str, &Session)) {
        let inner = self.0.lock().unwrap();
        for promise in &inner.promises {
            for name in &promise.sessions {
                let session = &inner.sessions[name];
                assert_eq!(session.user, promise.user, "another user's session");
                let has =
                    session.applied.get(&promise.seq).is_some_and(|(id, _)| *id == promise.id);
                if !has && promise.seq > session.synced_to {
                    tell(promise, name, session);
                }
            }
        }
    }

    pub(crate) async fn wait_for_sessions(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.0.lock().unwrap().sessions.len() < count {
            assert!(tokio::time::Instant::now() < deadline, "the devices do not attach");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until nothing is missing, or nothing more has come for this long.
    pub(crate) async fn settle(&self, patience: Duration) {
        let mut deadline = tokio::time::Instant::now() + patience;
        let mut missing = self.count_lost();
        while missing > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now_missing = self.count_lost();
            if now_missing < missing {
                deadline = tokio::time::Instant::now() + patience;
            }
            missing = now_missing;
        }
    }

    pub(crate) fn check(&self) {
        let lost = self.lost();
        assert!(lost.is_empty(), "{} lost:\n{}", lost.len(), lost.join("\n"));
        let inner = self.0.lock().unwrap();
        let mut places: HashMap<(usize, i64), Uuid> = HashMap::new();
        for promise in &inner.promises {
            let known = places.insert((promise.user, promise.seq), promise.id);
            assert!(known.is_none(), "two events at one place: {promise:?}");
        }
    }

    pub(crate) fn summary(&self) -> String {
        let inner = self.0.lock().unwrap();
        let sum = |of: fn(&Session) -> usize| inner.sessions.values().map(of).sum::<usize>();
        format!(
            "{} events promised, {} applied, {} redelivered, {} full syncs, {} covered by one, 0 lost",
            inner.promises.len(),
            sum(|session| session.applied.len()),
            sum(|session| session.redeliveries),
            sum(|session| session.full_syncs),
            sum(|session| session.covered),
        )
    }
}
