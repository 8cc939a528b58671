//! The store by its messages, on SQLite and on Postgres.

mod dead_letters;
mod fence;
mod gathering;
mod notes;
mod places;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Recipient};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use proptest::prelude::*;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::messages::*;
use super::*;
use crate::config::{DatabaseConfig, RetentionConfig};
use crate::metrics::Metrics;
use crate::protocol::{
    Epoch, EventContent, EventId, NewEvent, OfflinePolicy, Seq, SessionId, SessionRecord,
    Timestamp, UserId,
};

/// Hands every answer on to the test.
struct Probe(mpsc::UnboundedSender<Appended>);

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<Appended> for Probe {
    type Result = ();

    fn handle(&mut self, appended: Appended, _ctx: &mut Self::Context) {
        self.0.send(appended).unwrap();
    }
}

struct Loads(mpsc::UnboundedSender<UserLoaded>);

impl Actor for Loads {
    type Context = Context<Self>;
}

impl Handler<UserLoaded> for Loads {
    type Result = ();

    fn handle(&mut self, loaded: UserLoaded, _ctx: &mut Self::Context) {
        self.0.send(loaded).unwrap();
    }
}

struct Fixture {
    config: DatabaseConfig,
    handle: PersistenceHandle,
    metrics: Metrics,
    reply: Recipient<Appended>,
    answers: mpsc::UnboundedReceiver<Appended>,
    next_ticket: u64,
    folder: Option<tempfile::TempDir>,
    postgres: Option<(String, String)>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some((admin, name)) = self.postgres.take() {
            let mut connection = PgConnection::establish(&admin).unwrap();
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            connection.batch_execute(&drop).unwrap();
        }
        drop(self.folder.take());
    }
}

/// A database, and what holds it: a folder, or a server and a name on it.
type Fresh = (DatabaseConfig, Option<tempfile::TempDir>, Option<(String, String)>);

fn databases() -> Vec<Fresh> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("hub.db").display());
    let mut all = vec![(DatabaseConfig { url, ..DatabaseConfig::default() }, Some(folder), None)];
    match std::env::var("STAFFETTA_TEST_POSTGRES") {
        Ok(admin) => {
            let name = format!("store_{}", Uuid::new_v4().simple());
            let mut connection = PgConnection::establish(&admin).unwrap();
            connection.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
            let url = format!("{}/{name}", admin.rsplit_once('/').unwrap().0);
            let config = DatabaseConfig { url, ..DatabaseConfig::default() };
            all.push((config, None, Some((admin, name))));
        }
        Err(_) => println!("left out on Postgres: STAFFETTA_TEST_POSTGRES is not set"),
    }
    all
}

/// Running stores. Their mailboxes have their size: a first question was answered.
async fn fixtures() -> Vec<Fixture> {
    fixtures_with(&RetentionConfig::default(), 100).await
}

async fn fixtures_with(retention: &RetentionConfig, dead_letters_max: u64) -> Vec<Fixture> {
    let start = |(config, folder, postgres): (DatabaseConfig, _, _)| {
        let metrics = Metrics::new();
        let handle =
            Persistence::start(&config, retention, dead_letters_max, None, metrics.clone())
                .unwrap();
        let (sender, answers) = mpsc::unbounded_channel();
        let reply = Probe(sender).start().recipient();
        Fixture { config, handle, metrics, reply, answers, next_ticket: 0, folder, postgres }
    };
    let fixtures: Vec<Fixture> = databases().into_iter().map(start).collect();
    for fixture in &fixtures {
        fixture.load("nobody").await;
    }
    fixtures
}

/// How many groups of events were committed.
fn groups(metrics: &Metrics) -> usize {
    let text = metrics.text();
    let line = text.lines().find(|l| l.starts_with("staffetta_group_commit_events_count"));
    line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn content(kind: &str, id: EventId) -> Arc<EventContent> {
    let event = NewEvent::new(kind).data(&serde_json::json!({"a": 1})).unwrap();
    Arc::new(EventContent::fix(event, id, Timestamp(1)))
}

fn fresh(kind: &str, name: &str) -> AppendEvent {
    let id = EventId(Uuid::now_v7());
    AppendEvent {
        ticket: Ticket(0),
        user: user(name),
        content: content(kind, id),
        duplicate: DuplicateKey::Fresh,
        live: 1,
        offline: 2,
        need_full_sync: Vec::new(),
        epoch: Epoch(0),
    }
}

fn named(id: EventId, fingerprint: &str, name: &str) -> AppendEvent {
    AppendEvent {
        content: content("added", id),
        duplicate: DuplicateKey::EventId { fingerprint: fingerprint.to_owned() },
        ..fresh("added", name)
    }
}

impl Fixture {
    fn ask(&mut self, mut events: Vec<AppendEvent>) {
        for event in &mut events {
            self.next_ticket += 1;
            event.ticket = Ticket(self.next_ticket);
        }
        let port = self.handle.port();
        assert!(port.waiting.enter(events.len()));
        let append = Append { group: 0, events, reply: self.reply.clone() };
        port.append.try_send(append).map_err(|error| error.to_string()).unwrap();
    }

    async fn answers(&mut self, count: usize) -> Vec<Result<AppendOutcome, StoreError>> {
        let mut all = Vec::new();
        while all.len() < count {
            let answer = tokio::time::timeout(Duration::from_secs(10), self.answers.recv()).await;
            all.extend(answer.unwrap().unwrap().0.into_iter().map(|(_, result)| result));
        }
        all
    }

    async fn append(&mut self, event: AppendEvent) -> Result<AppendOutcome, StoreError> {
        self.ask(vec![event]);
        self.answers(1).await.pop().unwrap()
    }

    async fn load(&self, name: &str) -> UserSnapshot {
        let (sender, mut loads) = mpsc::unbounded_channel();
        let reply = Loads(sender).start().recipient();
        let load = LoadUser { user: user(name), reply };
        self.handle.port().load_user.send(load).await.unwrap();
        loads.recv().await.unwrap().result.unwrap()
    }

    fn execute(&self, sqlite: &str, postgres: &str) {
        match self.config.url.strip_prefix("sqlite://") {
            Some(path) => {
                let mut connection = diesel::SqliteConnection::establish(path).unwrap();
                connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
                connection.batch_execute(sqlite).unwrap();
            }
            None => {
                let mut connection = PgConnection::establish(&self.config.url).unwrap();
                connection.batch_execute(postgres).unwrap();
            }
        }
    }
}

#[actix::test]
async fn appends_are_dense_per_user_and_share_transactions() {
    for mut fixture in fixtures().await {
        for n in 0..300 {
            fixture.ask(vec![fresh("added", &format!("user-{}", n % 3))]);
        }
        let answers = fixture.answers(300).await;
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer, Ok(AppendOutcome::Stored(Seq(n as i64 / 3 + 1))));
        }
        let groups = groups(&fixture.metrics);
        assert!(groups < 150, "{groups} transactions for 300 appends");
    }
}

#[actix::test]
async fn a_repetition_is_recognised_within_a_group_and_across_groups() {
    for mut fixture in fixtures().await {
        let id = EventId(Uuid::now_v7());
        let first = named(id, "body", "alice");
        let other = named(id, "other", "alice");
        let duplicate = AppendOutcome::Duplicate { id, seq: Seq(1), live: 1, offline: 2 };
        fixture.ask(vec![first.clone(), first.clone(), other.clone(), fresh("b", "alice")]);
        let expected = [
            Ok(AppendOutcome::Stored(Seq(1))),
            Ok(duplicate.clone()),
            Ok(AppendOutcome::Conflict),
            Ok(AppendOutcome::Stored(Seq(2))),
        ];
        assert_eq!(fixture.answers(4).await, expected);
        assert_eq!(fixture.append(first).await, Ok(duplicate));
        assert_eq!(fixture.append(other).await, Ok(AppendOutcome::Conflict));
        // The same name in another user's log is another event.
        let stored = Ok(AppendOutcome::Stored(Seq(1)));
        assert_eq!(fixture.append(named(id, "body", "bob")).await, stored);
    }
}

#[actix::test]
async fn a_failed_group_leaves_no_hole_and_the_next_one_works() {
    for mut fixture in fixtures().await {
        fixture.execute(
            "CREATE TRIGGER poison BEFORE INSERT ON events WHEN NEW.kind = 'poison'
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
            "CREATE FUNCTION poison() RETURNS trigger AS $$ BEGIN RAISE 'poisoned'; END $$
             LANGUAGE plpgsql;
             CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW
             WHEN (NEW.kind = 'poison') EXECUTE FUNCTION poison()",
        );
        assert_eq!(fixture.append(fresh("a", "u")).await, Ok(AppendOutcome::Stored(Seq(1))));
        fixture.ask(vec![fresh("b", "u"), fresh("poison", "u"), fresh("c", "u")]);
        for answer in fixture.answers(3).await {
            let Err(StoreError::Database(why)) = answer else { panic!("{answer:?}") };
            assert!(why.contains("poisoned"), "{why}");
        }
        assert_eq!(fixture.append(fresh("d", "u")).await, Ok(AppendOutcome::Stored(Seq(2))));
    }
}

#[actix::test]
async fn sessions_of_a_failed_group_are_written_with_the_next() {
    for mut fixture in fixtures().await {
        let poison =
            "CREATE TRIGGER poison BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'x'); END";
        let poison_pg = "CREATE FUNCTION poison() RETURNS trigger AS $$ BEGIN RAISE 'x'; END $$
            LANGUAGE plpgsql;
            CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION poison()";
        fixture.execute(poison, poison_pg);
        let port = fixture.handle.port().clone();
        let save = SaveSessions(vec![(user("u"), record("s", 3), Epoch(0))]);
        port.save_sessions.try_send(save).map_err(|error| error.to_string()).unwrap();
        fixture.ask(vec![fresh("a", "u")]);
        assert!(fixture.answers(1).await[0].is_err());
        fixture.execute("DROP TRIGGER poison", "DROP TRIGGER poison ON events");
        assert!(fixture.append(fresh("a", "u")).await.is_ok());
        assert_eq!(fixture.load("u").await.sessions.len(), 1);
    }
}

fn record(session: &str, floor: i64) -> SessionRecord {
    SessionRecord {
        id: SessionId::new(session).unwrap(),
        floor: Seq(floor),
        need_full_sync: false,
        policy: OfflinePolicy::Replay,
        created_at: Timestamp(1),
        seen_at: Timestamp(2),
        acked_at: None,
        accounts: Some(["personal".into()].into()),
    }
}

#[actix::test]
async fn floors_only_rise_marks_are_written_and_names_are_not_taken_over() {
    for mut fixture in fixtures().await {
        let port = fixture.handle.port().clone();
        let save = SaveSessions(vec![(user("alice"), record("s", 5), Epoch(0))]);
        port.save_sessions.send(save).await.unwrap();
        let session = SessionId::new("s").unwrap();
        for floor in [7, 6] {
            let floor = Floor {
                user: user("alice"),
                session: session.clone(),
                floor: Seq(floor),
                acked_at: Timestamp(9),
                epoch: Epoch(0),
            };
            port.save_floors.send(SaveFloors(vec![floor])).await.unwrap();
        }
        let stolen = SaveSessions(vec![(user("mallory"), record("s", 0), Epoch(0))]);
        port.save_sessions.send(stolen).await.unwrap();
        let marking = AppendEvent { need_full_sync: vec![session.clone()], ..fresh("a", "alice") };
        fixture.append(marking).await.unwrap();
        let snapshot = fixture.load("alice").await;
        assert_eq!(snapshot.last_seq, Seq(1));
        let expected =
            SessionRecord { need_full_sync: true, acked_at: Some(Timestamp(9)), ..record("s", 7) };
        assert_eq!(snapshot.sessions, [expected]);
        assert_eq!(fixture.load("mallory").await.sessions, []);
    }
}

#[actix::test]
async fn a_broadcast_goes_on_where_it_stopped() {
    for fixture in fixtures().await {
        let port = fixture.handle.port().clone();
        let sessions =
            (0..5).map(|n| (user(&format!("u{n}")), record(&format!("s{n}"), 0), Epoch(0)));
        port.save_sessions.send(SaveSessions(sessions.collect())).await.unwrap();
        let id = EventId(Uuid::now_v7());
        let (reply, started) = oneshot::channel();
        let (content, duplicate) = (content("release", id), DuplicateKey::Fresh);
        let start = StartBroadcast { content, duplicate, others: 2, reply };
        port.start_broadcast.send(start).await.unwrap();
        assert_eq!(started.await.unwrap(), Ok(BroadcastOutcome::Started { id, users: 7 }));
        let next = || async {
            let (reply, part) = oneshot::channel();
            port.next_broadcast.send(NextBroadcast { users_max: 3, reply }).await.unwrap();
            part.await.unwrap().unwrap()
        };
        let progress = |done: Option<UserId>| async {
            let (reply, written) = oneshot::channel();
            let progress = BroadcastProgress { event: id, done, reply };
            port.broadcast_progress.send(progress).await.unwrap();
            written.await.unwrap().unwrap();
        };
        let names =
            |part: &BroadcastPart| part.users.iter().map(ToString::to_string).collect::<Vec<_>>();
        for _ in 0..2 {
            let part = next().await.unwrap();
            assert_eq!(names(&part), ["u0", "u1", "u2"], "the same again until it is done");
            assert_eq!(part.content.data.as_ref().unwrap().get(), r#"{"a":1}"#);
        }
        progress(Some(user("u2"))).await;
        assert_eq!(names(&next().await.unwrap()), ["u3", "u4"]);
        progress(Some(user("u4"))).await;
        assert_eq!(names(&next().await.unwrap()), [""; 0]);
        progress(None).await;
        assert!(next().await.is_none());
    }
}

#[test]
fn migrations_go_up_and_down_and_up_again() {
    for (config, folder, postgres) in databases() {
        let all = migrate(&config).unwrap().len();
        assert!(all >= 2, "{all} migrations");
        assert_eq!(migrate(&config).unwrap().len(), 0);
        assert_eq!(migrate_down(&config).unwrap().len(), all);
        assert_eq!(migrate(&config).unwrap().len(), all);
        drop(folder);
        if let Some((admin, name)) = postgres {
            let mut connection = PgConnection::establish(&admin).unwrap();
            connection.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any script of publishes, some of them repeated, against a model.
    #[test]
    fn any_script_of_appends_matches_a_model(script in prop::collection::vec((0..3u8, 0..6u8, 0..2u8), 1..40)) {
        actix_web::rt::System::new().block_on(async {
            for mut fixture in fixtures().await {
                let mut stored: std::collections::HashMap<(u8, u8), (i64, u8)> = Default::default();
                let mut last = [0i64; 3];
                let mut expected = Vec::new();
                let mut events = Vec::new();
                for (who, name, body) in &script {
                    let id = EventId(Uuid::from_u128(u128::from(*name) + 1));
                    events.push(named(id, &format!("body-{body}"), &format!("u{who}")));
                    expected.push(match stored.get(&(*who, *name)) {
                        Some((seq, known)) if known == body => {
                            AppendOutcome::Duplicate { id, seq: Seq(*seq), live: 1, offline: 2 }
                        }
                        Some(_) => AppendOutcome::Conflict,
                        None => {
                            last[usize::from(*who)] += 1;
                            stored.insert((*who, *name), (last[usize::from(*who)], *body));
                            AppendOutcome::Stored(Seq(last[usize::from(*who)]))
                        }
                    });
                }
                let count = events.len();
                for chunk in events.chunks(3) {
                    fixture.ask(chunk.to_vec());
                }
                let answers: Vec<_> = fixture.answers(count).await.into_iter().map(Result::unwrap).collect();
                assert_eq!(answers, expected);
                fixture.handle.stop().await;
            }
        });
    }
}
