//! The log of SQLite is found by user whatever has a place in the index already, and what is lost of
//! that when a hub is killed is found again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel::prelude::*;

use super::*;
use crate::config::Synchronous;
use crate::persistence::connection::{Opener, StoreConnection};
use crate::persistence::events::{self, LastSeqs, Span};
use crate::persistence::many;
use crate::persistence::places::Places;
use crate::protocol::{EventContent, NewEvent};

/// Small, so that a few events are several rounds, and a round is several steps.
const ROUND_MIN: usize = 24;
const STEP_MIN: usize = 2;
const BEHIND_MAX: i64 = 80;

struct Store {
    opener: Opener,
    connection: StoreConnection,
    last: LastSeqs,
    places: Places,
    now: i64,
    folder: tempfile::TempDir,
}

fn rows(connection: &mut StoreConnection, text: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let StoreConnection::Sqlite(connection) = connection else { panic!() };
    diesel::sql_query(text).get_result::<Count>(connection).unwrap().count
}

const BEHIND: &str = "SELECT COALESCE((SELECT MAX(id) FROM events) - MIN(id), 0) AS count
    FROM events AS e WHERE NOT EXISTS (SELECT 1 FROM event_places AS p WHERE p.id = e.id)";
const PLACED_NOTHING: &str = "SELECT COUNT(*) AS count FROM event_places AS p WHERE NOT EXISTS
    (SELECT 1 FROM events AS e WHERE p.id = e.id AND p.user_id = e.user_id AND p.seq = e.seq)";

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("hub.db").display());
        let synchronous = Synchronous::Normal;
        let config = DatabaseConfig { url, synchronous, ..DatabaseConfig::default() };
        let opener = Opener::new(&config).unwrap();
        opener.migrate().unwrap();
        let connection = opener.open().unwrap();
        let places = Places::sized(ROUND_MIN, STEP_MIN, BEHIND_MAX);
        Self { opener, connection, last: LastSeqs::default(), places, now: 0, folder }
    }

    /// As a hub that was killed and started again.
    fn restart(&mut self) {
        self.connection = self.opener.open().unwrap();
        (self.last, self.places) =
            (LastSeqs::default(), Places::sized(ROUND_MIN, STEP_MIN, BEHIND_MAX));
        self.places.take_over(&mut self.connection).unwrap();
    }

    fn append(&mut self, users: &[u8], fails: bool) -> Vec<(String, EventId)> {
        let new: Vec<AppendEvent> = users
            .iter()
            .map(|user| {
                let (id, at) = (EventId(Uuid::now_v7()), Timestamp(self.now));
                let content = EventContent::fix(NewEvent::new("added"), id, at);
                let content = Arc::new(content);
                AppendEvent { content, ..fresh("added", &format!("user-{user}")) }
            })
            .collect();
        let last = &mut self.last;
        let done = self.places.in_transaction(&mut self.connection, |places, connection| {
            events::append(&new.iter().collect::<Vec<_>>(), last, places, connection)?;
            places.place(connection)?;
            if fails { Err(diesel::result::Error::RollbackTransaction) } else { Ok(()) }
        });
        assert_eq!(done.is_err(), fails);
        if fails {
            last.forget_all();
            return Vec::new();
        }
        new.into_iter().map(|event| (event.user.to_string(), event.content.id)).collect()
    }

    fn read(&mut self, name: &str, after: i64, events_max: usize) -> Vec<(i64, EventId)> {
        let span = Span { after: Seq(after), events_max, bytes_max: usize::MAX };
        let read =
            events::read(&user(name), span, self.places.recent(), &mut self.connection).unwrap();
        read.iter().map(|event| (event.seq.unwrap().0, event.content.id)).collect()
    }

    fn prune(&mut self, cutoff: i64) -> Vec<(UserId, Seq)> {
        let prune = |places: &mut Places, connection: &mut StoreConnection| {
            events::prune(Timestamp(cutoff), 8, places, connection)
        };
        let (_, pruned) = self.places.in_transaction(&mut self.connection, prune).unwrap();
        pruned
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Fail(Vec<u8>),
    Prune(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let users = || proptest::collection::vec(0..5_u8, 1..9);
    let step = prop_oneof![
        8 => users().prop_map(Step::Append),
        1 => proptest::collection::vec(0..5_u8, 40..100).prop_map(Step::Append),
        2 => users().prop_map(Step::Fail),
        1 => (0..20_i64).prop_map(Step::Prune),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_whole_whatever_has_a_place(steps in steps()) {
        let mut store = Store::new();
        // Of each user what there is, and up to where it was pruned.
        let mut logs: BTreeMap<String, (i64, Vec<EventId>)> = BTreeMap::new();
        for step in steps {
            store.now += 1;
            match step {
                Step::Append(users) => {
                    for (user, id) in store.append(&users, false) {
                        logs.entry(user).or_default().1.push(id);
                    }
                }
                Step::Fail(users) => drop(store.append(&users, true)),
                Step::Prune(age) => {
                    for (user, up_to) in store.prune(store.now - age) {
                        let (pruned, events) = logs.get_mut(user.as_str()).unwrap();
                        events.drain(..(up_to.0 - *pruned) as usize);
                        *pruned = up_to.0;
                    }
                }
                Step::Restart => store.restart(),
            }
            prop_assert_eq!(rows(&mut store.connection, PLACED_NOTHING), 0);
            prop_assert!(rows(&mut store.connection, BEHIND) < BEHIND_MAX);
            for (name, (pruned, events)) in &logs {
                let seqs = *pruned + 1..;
                let expected: Vec<_> = seqs.zip(events.iter().copied()).collect();
                prop_assert_eq!(&store.read(name, 0, 1_000), &expected);
                let middle = expected.len() / 2;
                let after = *pruned + middle as i64;
                let some: Vec<_> = expected[middle..].iter().take(3).copied().collect();
                prop_assert_eq!(store.read(name, after, 3), some);
                let recent = store.places.recent();
                let bounds = many::bounds(&[&user(name)], recent, &mut store.connection).unwrap();
                prop_assert_eq!(bounds[0].last.0, *pruned + events.len() as i64);
            }
        }
    }
}

#[test]
fn whoever_reads_while_events_are_placed_misses_none() {
    const APPENDS: i64 = 300;
    let mut store = Store::new();
    let (opener, recent) = (store.opener.clone(), store.places.recent().clone());
    let durable = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let durable = &durable;
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (opener, recent) = (opener.clone(), recent.clone());
                scope.spawn(move || {
                    let mut connection = opener.open().unwrap();
                    let (mut after, mut reads) = (0, 0);
                    while after < 2 * APPENDS {
                        let least = durable.load(Ordering::SeqCst);
                        // From far below the end, so that much of it has a place.
                        let from = (after - 30).max(0);
                        let span =
                            Span { after: Seq(from), events_max: 5_000, bytes_max: usize::MAX };
                        let read =
                            events::read(&user("user-1"), span, &recent, &mut connection).unwrap();
                        for (place, event) in (from + 1..).zip(&read) {
                            assert_eq!(event.seq, Some(Seq(place)));
                        }
                        after = from + read.len() as i64;
                        assert!(after >= least, "{after} of {least}");
                        let span = Span { events_max: 10, ..span };
                        let (user, now) = (user("user-1"), Timestamp(0));
                        let page =
                            events::read_page(&user, span, now, &recent, &mut connection).unwrap();
                        assert!(page.more || page.cursor.0 >= least, "{page:?} of {least}");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for n in 0..APPENDS {
            store.append(&[1, 1, (n % 7) as u8 + 2], false);
            durable.fetch_add(2, Ordering::SeqCst);
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 3);
        }
    });
    drop(store.folder);
}

#[test]
fn a_log_that_loses_its_lower_part_while_it_is_read_is_read_without_a_hole() {
    let mut store = Store::new();
    store.append(&[1, 1, 1], false);
    // As if it were pruned after the first was read, and before the second.
    store.connection.batch_execute("DELETE FROM events WHERE seq = 2").unwrap();
    let read = store.read("user-1", 0, 10);
    assert_eq!(read.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3]);
}

#[test]
fn what_a_hub_that_knows_of_no_places_appended_is_found() {
    const APPENDED: i64 = 70_000;
    let mut store = Store::new();
    store.append(&[1, 2, 1], false);
    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < {APPENDED})
         INSERT INTO events (user_id, seq, event_id, kind, silent, published_at, live, offline)
         SELECT 'user-1', i, printf('01890000-0000-7000-8000-%012d', i), 'added', 0, 1, 0, 0 FROM n"
    );
    store.connection.batch_execute(&insert).unwrap();
    store.restart();
    let read = store.read("user-1", 0, 100_000);
    assert!(read.iter().map(|(seq, _)| *seq).eq(1..=APPENDED), "{} events", read.len());
    assert_eq!(store.read("user-2", 0, 10).len(), 1);
    assert_eq!(store.append(&[1], false).len(), 1);
    assert_eq!(store.read("user-1", APPENDED, 10).len(), 1);
}

#[actix::test]
async fn a_device_is_woken_for_what_has_a_place_and_for_what_has_none() {
    for mut fixture in fixtures().await {
        let port = fixture.handle.port().clone();
        let devices = ["phone", "tablet"].map(|name| SessionId::new(name).unwrap());
        let record = |id: &SessionId| SessionRecord {
            id: id.clone(),
            policy: OfflinePolicy::Replay,
            floor: Seq(0),
            need_full_sync: false,
            created_at: Timestamp(1),
            seen_at: Timestamp(1),
            acked_at: None,
            accounts: None,
        };
        let records = devices.iter().map(|id| (user("alice"), record(id), Epoch(0))).collect();
        port.save_sessions.send(SaveSessions(records)).await.unwrap();
        for session in &devices {
            let (reply, registered) = oneshot::channel();
            let endpoint = format!("https://push/{session}");
            let change = PushChange::Register { endpoint, at: Timestamp(1) };
            let register =
                WritePush { user: user("alice"), session: session.clone(), change, reply };
            port.pushes.write.send(register).await.unwrap();
            assert_eq!(registered.await.unwrap(), Ok(true));
        }
        let page = async |after: Option<&SessionId>, devices_max| {
            let (reply, sleepers) = oneshot::channel();
            let after = after.cloned();
            let list = ListPushes { before: Timestamp(1), after, devices_max, reply };
            port.pushes.list.send(list).await.unwrap();
            let sleepers = sleepers.await.unwrap().unwrap();
            sleepers.into_iter().map(|sleeper| sleeper.endpoint).collect::<Vec<_>>()
        };
        let sleepers = async || {
            let all = page(None, 10).await;
            let mut by_one = page(None, 1).await;
            by_one.extend(page(Some(&devices[0]), 1).await);
            by_one.extend(page(Some(&devices[1]), 1).await);
            assert_eq!(by_one, all);
            all
        };
        assert!(sleepers().await.is_empty());
        fixture.append(fresh("added", "alice")).await.unwrap();
        assert_eq!(sleepers().await, ["https://push/phone", "https://push/tablet"]);
        // Two rounds of the index; what goes with each is part of the first.
        for _ in 0..40 {
            fixture.ask((0..1_000).map(|_| fresh("added", "bob")).collect());
            fixture.answers(1_000).await;
        }
        assert_eq!(sleepers().await, ["https://push/phone", "https://push/tablet"]);
        assert_eq!(fixture.load("alice").await.last_seq, Seq(1));
        assert_eq!(fixture.load("bob").await.last_seq, Seq(40_000));
    }
}
