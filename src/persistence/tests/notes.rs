//! Notes in the hub's own store, on SQLite and on Postgres.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::config::NotesConfig;
use crate::notes::{
    Access, Author, NewNote, NoteChange, NoteCursor, NoteEdit, NoteError, NoteFields, NotePage,
    NoteQuery, NoteStore, Role, Standing,
};
use crate::protocol::{Epoch, NoteId};

impl Fixture {
    fn notes(&self) -> StoredNotes {
        StoredNotes::new(self.handle.port(), &NotesConfig::default())
    }

    /// The same database under another store, as after a crash.
    async fn start_again(&mut self) {
        self.handle.stop().await;
        let retention = RetentionConfig::default();
        self.handle =
            Persistence::start(&self.config, &retention, 100, None, Metrics::new()).unwrap();
        self.load("nobody").await;
    }

    fn count(&self, table: &str) -> i64 {
        use diesel::prelude::*;
        use diesel::sql_types::BigInt;
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let query = diesel::sql_query(format!("SELECT COUNT(*) AS count FROM {table}"));
        let found: Count = match self.config.url.strip_prefix("sqlite://") {
            Some(path) => {
                query.get_result(&mut diesel::SqliteConnection::establish(path).unwrap()).unwrap()
            }
            None => {
                query.get_result(&mut PgConnection::establish(&self.config.url).unwrap()).unwrap()
            }
        };
        found.count
    }
}

fn note(name: &str) -> NoteId {
    NoteId::new(name).unwrap()
}

fn by(name: &str) -> Author {
    Author { user: user(name), session: Some(SessionId::new(&format!("{name}-tab")).unwrap()) }
}

fn fields(json: Value) -> NoteFields {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn new(id: &str, name: &str, json: Value, now: i64) -> NewNote {
    NewNote { id: note(id), by: by(name), fields: fields(json), now: Timestamp(now) }
}

fn edit(id: &str, name: &str, json: Value, base_version: Option<i64>, now: i64) -> NoteEdit {
    let (id, changes) = (note(id), fields(json));
    NoteEdit { id, by: by(name), changes, base_version, now: Timestamp(now) }
}

fn query(name: &str) -> NoteQuery {
    NoteQuery { user: user(name), updated_since: None, after: None, limit: 100 }
}

fn names(page: &NotePage) -> Vec<&str> {
    page.notes.iter().map(|shared| shared.note.id.as_str()).collect()
}

fn event_of(change: &NoteChange) -> EventId {
    change.event.as_ref().unwrap().id
}

#[actix::test]
async fn two_edits_of_different_fields_from_one_base_both_survive() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        let created = notes.create(new("n", "alice", json!({"a": 1, "b": 1}), 10));
        assert_eq!(created.await.unwrap().note.fields, fields(json!({"a": 1, "b": 1})));
        // Asked at once, so that they may share a transaction.
        let a = notes.update(edit("n", "alice", json!({"a": 2}), Some(1), 11));
        let b = notes.update(edit("n", "alice", json!({"b": [3]}), Some(1), 12));
        let again = notes.update(edit("n", "alice", json!({"a": 4}), Some(1), 13));
        let (a, b, again) = tokio::join!(a, b, again);
        let (a, b, again) = (a.unwrap(), b.unwrap(), again.unwrap());
        assert!(a.conflicts.is_empty() && b.conflicts.is_empty());
        let conflict = &again.conflicts["a"];
        assert_eq!((conflict.yours.get(), conflict.theirs.get()), ("4", "2"));
        let found = notes.read(note("n"), user("alice")).await.unwrap();
        assert_eq!(found.access, Access::Owner);
        assert_eq!(found.note, again.note);
        assert_eq!(found.note.fields, fields(json!({"a": 4, "b": [3]})));
        assert_eq!((found.note.version, found.note.updated_at), (4, Timestamp(13)));
    }
}

#[actix::test]
async fn an_event_is_kept_until_it_is_settled_whatever_happens_between() {
    for mut fixture in fixtures().await {
        let notes = fixture.notes();
        let created = notes.create(new("n", "alice", json!({"a": "\u{0}é"}), 10)).await.unwrap();
        notes.share(note("n"), user("bob"), Role::Write, Timestamp(11)).await.unwrap();
        // The clock goes back: the order of the note's events does not.
        let updated = notes.update(edit("n", "bob", json!({"a": 2}), None, 9)).await.unwrap();
        let deleted = notes.delete(note("n"), by("alice"), Timestamp(12)).await.unwrap();
        let told = [created.event.clone(), updated.event.clone(), deleted.event.clone()];
        let told: Vec<_> = told.into_iter().flatten().collect();
        assert_eq!(told[1].members, [user("bob")]);
        assert_eq!(told[1].exclude_session, by("bob").session);
        fixture.start_again().await;
        let notes = fixture.notes();
        assert_eq!(notes.unsettled(10).await.unwrap(), told);
        assert_eq!(notes.unsettled(1).await.unwrap(), told[..1]);
        notes.settled(vec![event_of(&created), event_of(&deleted)]).await;
        // What is settled is written in order, but not waited for.
        fixture.load("nobody").await;
        assert_eq!(notes.unsettled(10).await.unwrap(), told[1..2]);
    }
}

#[actix::test]
async fn whoever_asks_what_is_unsettled_sees_every_change_asked_for_before() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        for round in 0..20 {
            let created = notes.create(new(&format!("n{round}"), "alice", json!({}), round));
            let (created, unsettled) = tokio::join!(created, notes.unsettled(100));
            let told = unsettled
                .unwrap()
                .into_iter()
                .any(|event| event.id == event_of(created.as_ref().unwrap()));
            assert!(told, "round {round}");
        }
    }
}

#[actix::test]
async fn a_change_that_is_not_written_leaves_no_event() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        fixture.execute(
            "CREATE TRIGGER poison BEFORE INSERT ON note_events
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
            "CREATE FUNCTION poison() RETURNS trigger AS $$ BEGIN RAISE 'poisoned'; END $$
             LANGUAGE plpgsql;
             CREATE TRIGGER poison BEFORE INSERT ON note_events FOR EACH ROW
             EXECUTE FUNCTION poison()",
        );
        let refused = notes.create(new("n", "alice", json!({"a": 1}), 10)).await;
        assert_eq!(refused, Err(NoteError::Unavailable));
        assert_eq!((fixture.count("notes"), fixture.count("note_events")), (0, 0));
        fixture.execute("DROP TRIGGER poison", "DROP TRIGGER poison ON note_events");
        assert!(notes.create(new("n", "alice", json!({"a": 1}), 10)).await.is_ok());
    }
}

#[actix::test]
async fn a_note_is_hidden_from_everyone_it_is_not_shared_with() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        notes.create(new("n", "alice", json!({"a": 1}), 10)).await.unwrap();
        let hidden = Err(NoteError::NotFound);
        assert_eq!(notes.read(note("n"), user("bob")).await, Err(NoteError::NotFound));
        assert_eq!(notes.create(new("n", "bob", json!({"a": 2}), 11)).await, hidden);
        assert_eq!(notes.update(edit("n", "bob", json!({"a": 2}), None, 11)).await, hidden);
        assert_eq!(notes.delete(note("n"), by("bob"), Timestamp(11)).await, hidden);
        assert_eq!(notes.list(query("bob")).await.unwrap(), NotePage::default());
        assert_eq!(notes.members(note("none")).await, Err(NoteError::NotFound));

        let share = |role| notes.share(note("n"), user("bob"), role, Timestamp(12));
        assert!(share(Role::Read).await.unwrap().is_new);
        let found = notes.read(note("n"), user("bob")).await.unwrap();
        assert_eq!(found.access, Access::Member(Role::Read));
        assert_eq!(notes.update(edit("n", "bob", json!({"a": 2}), None, 13)).await, hidden);
        assert!(!share(Role::Write).await.unwrap().is_new);
        assert!(notes.update(edit("n", "bob", json!({"a": 2}), None, 13)).await.is_ok());
        let page = notes.list(query("bob")).await.unwrap();
        assert_eq!((names(&page), page.notes[0].access), (vec!["n"], Access::Member(Role::Write)));
        let members = notes.members(note("n")).await.unwrap();
        assert_eq!(
            (members.owner, members.members),
            (user("alice"), vec![(user("bob"), Role::Write)])
        );
        let own = notes.share(note("n"), user("alice"), Role::Read, Timestamp(14)).await.unwrap();
        assert!(!own.is_new);

        assert!(notes.unshare(note("n"), user("bob")).await.unwrap());
        assert!(!notes.unshare(note("n"), user("bob")).await.unwrap());
        assert_eq!(notes.read(note("n"), user("bob")).await, Err(NoteError::NotFound));
        assert_eq!(notes.list(query("bob")).await.unwrap(), NotePage::default());
    }
}

#[actix::test]
async fn a_list_is_read_page_by_page_without_gaps_or_repetitions() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        // Every third is bob's and shared with alice; five at a time changed at once.
        for n in 0..25 {
            let owner = if n % 3 == 0 { "bob" } else { "alice" };
            let id = format!("n{n:02}");
            notes.create(new(&id, owner, json!({"n": n}), 10 + n / 5)).await.unwrap();
            if n % 3 == 0 {
                let shared = notes.share(note(&id), user("alice"), Role::Read, Timestamp(1));
                shared.await.unwrap();
            }
        }
        notes.create(new("zz", "mallory", json!({"n": 0}), 12)).await.unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        for pages in 1.. {
            let page = notes.list(NoteQuery { after, limit: 4, ..query("alice") }).await.unwrap();
            found.extend(names(&page).into_iter().map(str::to_owned));
            after = page.next;
            if after.is_none() {
                assert_eq!(pages, 7);
                break;
            }
        }
        assert_eq!(found, (0..25).map(|n| format!("n{n:02}")).collect::<Vec<_>>());
        let since = NoteQuery { updated_since: Some(Timestamp(14)), ..query("alice") };
        assert_eq!(names(&notes.list(since).await.unwrap()), ["n20", "n21", "n22", "n23", "n24"]);
        let exact = notes.list(NoteQuery { limit: 25, ..query("alice") }).await.unwrap();
        assert_eq!(exact.next, None, "nothing follows a page that holds the rest");
    }
}

#[actix::test]
async fn a_page_is_cut_before_it_grows_too_large() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        for n in 0..3 {
            let text = "x".repeat(1_000);
            notes.create(new(&format!("n{n}"), "alice", json!({"t": text}), n)).await.unwrap();
        }
        let (reply, page) = oneshot::channel();
        let list = ListNotes { query: query("alice"), bytes_max: 1_500, reply };
        fixture.handle.port().notes.list.send(list).await.unwrap();
        let page = page.await.unwrap().unwrap();
        assert_eq!(names(&page), ["n0", "n1"]);
        assert_eq!(page.next, Some(NoteCursor { updated_at: Timestamp(1), id: note("n1") }));
    }
}

#[actix::test]
async fn a_tombstone_shows_only_to_who_asks_what_changed() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        for id in ["kept", "gone"] {
            notes.create(new(id, "alice", json!({"a": 1}), 10)).await.unwrap();
            notes.share(note(id), user("bob"), Role::Write, Timestamp(10)).await.unwrap();
        }
        assert!(
            notes.delete(note("gone"), by("alice"), Timestamp(20)).await.unwrap().event.is_some()
        );
        assert!(
            notes.delete(note("gone"), by("alice"), Timestamp(30)).await.unwrap().event.is_none()
        );
        let gone = Err(NoteError::NotFound);
        assert_eq!(notes.update(edit("gone", "bob", json!({"a": 2}), None, 21)).await, gone);
        assert_eq!(notes.read(note("gone"), user("alice")).await, Err(NoteError::NotFound));
        assert_eq!(notes.members(note("gone")).await, Err(NoteError::NotFound));
        let shared = notes.share(note("gone"), user("carol"), Role::Read, Timestamp(21)).await;
        assert_eq!(shared, Err(NoteError::NotFound));
        for name in ["alice", "bob"] {
            assert_eq!(names(&notes.list(query(name)).await.unwrap()), ["kept"]);
            let since = NoteQuery { updated_since: Some(Timestamp(20)), ..query(name) };
            let page = notes.list(since).await.unwrap();
            assert_eq!(names(&page), ["gone"]);
            assert_eq!(page.notes[0].note.deleted_at, Some(Timestamp(20)));
        }
        let alive = notes.create(new("gone", "bob", json!({"a": 3}), 31)).await.unwrap();
        assert_eq!((alive.note.owner, alive.note.version), (user("alice"), 3));
        assert_eq!(alive.event.unwrap().members, [user("bob")]);
    }
}

#[actix::test]
async fn a_note_shared_lately_counts_as_changed_for_its_member() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        notes.create(new("n", "alice", json!({"a": 1}), 10)).await.unwrap();
        notes.share(note("n"), user("bob"), Role::Read, Timestamp(50)).await.unwrap();
        let since = |name| NoteQuery { updated_since: Some(Timestamp(40)), ..query(name) };
        assert_eq!(names(&notes.list(since("bob")).await.unwrap()), ["n"]);
        assert_eq!(names(&notes.list(since("alice")).await.unwrap()), [""; 0]);
    }
}

#[actix::test]
async fn old_tombstones_go_with_their_members_and_so_do_old_events() {
    for mut fixture in fixtures().await {
        let notes = fixture.notes();
        let now = crate::clock::wall();
        for (id, deleted) in [("old", now.minus_ms(91 * 86_400_000)), ("new", now)] {
            notes.create(new(id, "alice", json!({"a": 1}), deleted.0 - 1)).await.unwrap();
            notes.share(note(id), user("bob"), Role::Read, deleted).await.unwrap();
            notes.delete(note(id), by("alice"), deleted).await.unwrap();
        }
        fixture.handle.stop().await;
        let retention = RetentionConfig { prune_interval_ms: 10, ..RetentionConfig::default() };
        fixture.handle =
            Persistence::start(&fixture.config, &retention, 100, None, Metrics::new()).unwrap();
        let left = || {
            (fixture.count("notes"), fixture.count("note_members"), fixture.count("note_events"))
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while left() != (1, 1, 2) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(left(), (1, 1, 2));
    }
}

#[actix::test]
async fn what_is_too_large_or_nothing_is_refused() {
    for fixture in fixtures().await {
        let config = NotesConfig { note_bytes_max: 1_024, ..Default::default() };
        let notes = StoredNotes::new(fixture.handle.port(), &config);
        notes.create(new("n", "alice", json!({"a": 1}), 10)).await.unwrap();
        let nothing = notes.update(edit("n", "alice", json!({}), None, 11)).await;
        assert_eq!(nothing, Err(NoteError::NothingToChange));
        let large = json!({"encryptedContent": "x".repeat(1_024)});
        let large = notes.update(edit("n", "alice", large, None, 11)).await;
        assert_eq!(large, Err(NoteError::TooLarge { bytes_max: 1_024 }));
    }
}

#[actix::test]
async fn a_full_queue_and_a_stopped_store_are_said_so() {
    for fixture in fixtures().await {
        let notes = fixture.notes();
        let waiting = fixture.handle.port().waiting.clone();
        assert!(waiting.enter(fixture.config.queue_max));
        let refused = notes.create(new("n", "alice", json!({"a": 1}), 10)).await;
        assert_eq!(refused, Err(NoteError::Overloaded));
        waiting.leave(fixture.config.queue_max);
        assert!(notes.create(new("n", "alice", json!({"a": 1}), 10)).await.is_ok());
        assert!(waiting.enter(fixture.config.queue_max), "what was answered waits no more");
        waiting.leave(fixture.config.queue_max);
        fixture.handle.stop().await;
        let refused = async {
            // The thread ends a moment later.
            while notes.list(query("alice")).await != Err(NoteError::Unavailable) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    }
}

/// One step of a script: who does what to which of two notes.
#[derive(Clone, Debug)]
enum Step {
    Create(u8, u8, Value),
    Update(u8, u8, Value, Option<i64>),
    Delete(u8, u8),
    Share(u8, u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let fields = || (0..3u8, 0..3u8).prop_map(|(name, value)| json!({format!("f{name}"): value}));
    let who = || (0..2u8, 0..3u8);
    prop_oneof![
        (who(), fields()).prop_map(|((id, user), fields)| Step::Create(id, user, fields)),
        (who(), fields(), prop::option::of(0..5i64))
            .prop_map(|((id, user), fields, base)| Step::Update(id, user, fields, base)),
        who().prop_map(|(id, user)| Step::Delete(id, user)),
        (who(), any::<bool>()).prop_map(|((id, user), writes)| Step::Share(id, user, writes)),
    ]
}

/// What the rules make of a step on notes in memory.
fn expected(
    step: &Step,
    standing: &mut BTreeMap<u8, Standing>,
    event: EventId,
    now: i64,
) -> Result<NoteChange, NoteError> {
    let (id, change) = match step {
        Step::Create(id, who, json) => {
            let new = new(&id.to_string(), &who.to_string(), json.clone(), now);
            (id, crate::notes::create(standing.get(id), &new, event, 1_000))
        }
        Step::Update(id, who, json, base) => {
            let edit = edit(&id.to_string(), &who.to_string(), json.clone(), *base, now);
            (id, crate::notes::update(standing.get(id), &edit, event, 1_000))
        }
        Step::Delete(id, who) => {
            let by = by(&who.to_string());
            (id, crate::notes::delete(standing.get(id), &by, event, Timestamp(now)))
        }
        Step::Share(id, who, writes) => {
            let Some(standing) = standing.get_mut(id) else { return Err(NoteError::NotFound) };
            let member = user(&who.to_string());
            if standing.note.is_tombstone() {
                return Err(NoteError::NotFound);
            }
            if standing.note.owner != member {
                standing.members.retain(|(known, _)| *known != member);
                standing.members.push((member, role(*writes)));
                standing.members.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            let note = standing.note.clone();
            return Ok(NoteChange { note, conflicts: BTreeMap::new(), event: None });
        }
    };
    let change = change?;
    let members = standing.remove(id).map(|standing| standing.members).unwrap_or_default();
    standing.insert(*id, Standing { note: change.note.clone(), members });
    Ok(change)
}

fn role(writes: bool) -> Role {
    if writes { Role::Write } else { Role::Read }
}

async fn done(step: &Step, notes: &StoredNotes, now: i64) -> Result<NoteChange, NoteError> {
    match step {
        Step::Create(id, who, json) => {
            notes.create(new(&id.to_string(), &who.to_string(), json.clone(), now)).await
        }
        Step::Update(id, who, json, base) => {
            let edit = edit(&id.to_string(), &who.to_string(), json.clone(), *base, now);
            notes.update(edit).await
        }
        Step::Delete(id, who) => {
            notes.delete(note(&id.to_string()), by(&who.to_string()), Timestamp(now)).await
        }
        Step::Share(id, who, writes) => {
            let (id, member) = (note(&id.to_string()), user(&who.to_string()));
            let shared = notes.share(id, member, role(*writes), Timestamp(now)).await?;
            Ok(NoteChange { note: shared.note, conflicts: BTreeMap::new(), event: None })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Any script of changes, against the rules on notes in memory.
    #[test]
    fn any_script_of_changes_matches_the_rules(script in prop::collection::vec(step(), 1..30)) {
        actix_web::rt::System::new().block_on(async {
            for fixture in fixtures().await {
                let notes = fixture.notes();
                let mut standing = BTreeMap::new();
                let mut told = Vec::new();
                for (now, step) in script.iter().enumerate() {
                    let now = now as i64;
                    let done = done(step, &notes, now).await;
                    let event = done.as_ref().ok().and_then(|change| change.event.clone());
                    let id = event.as_ref().map_or(EventId(Uuid::nil()), |event| event.id);
                    assert_eq!(done, expected(step, &mut standing, id, now), "{step:?}");
                    told.extend(event);
                }
                assert_eq!(notes.unsettled(100).await.unwrap(), told);
                for (id, standing) in standing {
                    let found = notes.read(note(&id.to_string()), standing.note.owner.clone()).await;
                    let alive = Some(standing.note).filter(|note| !note.is_tombstone());
                    assert_eq!(found.ok().map(|found| found.note), alive);
                }
                fixture.handle.stop().await;
            }
        });
    }
}

#[actix::test]
async fn what_was_decided_before_a_note_changed_homes_is_not_written() {
    for fixture in fixtures().await {
        if fixture.postgres.is_none() {
            // No other node writes there.
            continue;
        }
        let notes = fixture.notes();
        let id = note("n");
        let (before, after) = (notes.at(Epoch(3)).unwrap(), notes.at(Epoch(4)).unwrap());
        let now = Timestamp(5);
        let new = NewNote { id: id.clone(), by: by("alice"), fields: fields(json!({"a": 1})), now };
        before.create(new.clone()).await.unwrap();
        notes.fence(vec![(id.slot(), Epoch(4))]).await.unwrap();
        let edit = |value: i64| NoteEdit {
            id: id.clone(),
            by: by("alice"),
            changes: fields(json!({ "a": value })),
            base_version: None,
            now,
        };
        assert_eq!(before.create(new).await, Err(NoteError::Unavailable));
        assert_eq!(before.update(edit(2)).await, Err(NoteError::Unavailable));
        assert_eq!(before.delete(id.clone(), by("alice"), now).await, Err(NoteError::Unavailable));
        let shared = before.share(id.clone(), user("bob"), Role::Read, now).await;
        assert_eq!(shared, Err(NoteError::Unavailable));
        assert_eq!(before.unshare(id.clone(), user("bob")).await, Err(NoteError::Unavailable));
        assert_eq!((fixture.count("note_events"), fixture.count("note_members")), (1, 0));
        let change = after.update(edit(3)).await.unwrap();
        assert_eq!(change.note.version, 2);
        // A write raises it too.
        let later = notes.at(Epoch(9)).unwrap();
        later.update(edit(4)).await.unwrap();
        assert_eq!(after.update(edit(5)).await, Err(NoteError::Unavailable));
        assert_eq!(notes.read(id, user("alice")).await.unwrap().note.version, 3);
    }
}
