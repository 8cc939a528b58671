//! Who may write, on a real Postgres: the node that has the slot, at the epoch it has it at.

use super::*;
use crate::persistence::{Beat, Sharing, SlotStore, slots};
use crate::protocol::{NodeNumber, Slot};

const A: NodeNumber = NodeNumber(1);
const B: NodeNumber = NodeNumber(2);

/// A database of two nodes; none where there is no Postgres.
struct Shared {
    config: DatabaseConfig,
    admin: String,
    name: String,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut connection = PgConnection::establish(&self.admin).unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        connection.batch_execute(&drop).unwrap();
    }
}

impl Shared {
    fn new() -> Option<Self> {
        let (config, _, postgres) = databases().pop().unwrap();
        let (admin, name) = postgres?;
        migrate(&config).unwrap();
        Some(Self { config, admin, name })
    }

    fn slots(&self) -> SlotStore {
        SlotStore::new(&self.config, (0..=255).map(Slot), 5_000).unwrap()
    }

    fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.config.url).unwrap()
    }

    /// The store of a node, as it writes beside others.
    fn store(&self, here: NodeNumber) -> Fixture {
        let (config, metrics) = (self.config.clone(), Metrics::new());
        let sharing = Sharing { here, gives_up_ms: 5_000, waiting: Waiting::new(100) };
        let retention = RetentionConfig::default();
        let handle =
            Persistence::start(&config, &retention, 100, Some(sharing), metrics.clone()).unwrap();
        let (sender, answers) = mpsc::unbounded_channel();
        let reply = Probe(sender).start().recipient();
        let (folder, postgres) = (None, None);
        Fixture { config, handle, metrics, reply, answers, next_ticket: 0, folder, postgres }
    }

    /// Everything that a fence protects.
    fn content(&self) -> Vec<String> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            text: String,
        }
        let tables = "SELECT e::TEXT AS text FROM events e UNION ALL SELECT s::TEXT FROM sessions s
                      ORDER BY text";
        let rows: Vec<Row> =
            diesel::RunQueryDsl::load(diesel::sql_query(tables), &mut self.connect()).unwrap();
        rows.into_iter().map(|row| row.text).collect()
    }
}

/// Renews a node's lease, or has it run out.
fn beat(store: &mut SlotStore, number: NodeNumber, lease_ms: u64) {
    let name = format!("node-{}", number.0);
    store.beat(&Beat { number, name, lease_ms, is_leaving: false, is_on_bus: true }).unwrap();
}

/// Takes the slot of a user that is at `known`, once its owner's lease has run out; says its new
/// epoch.
fn take(store: &mut SlotStore, here: NodeNumber, name: &str, known: Epoch) -> Epoch {
    beat(store, here, 60_000);
    loop {
        let taken = store.take(here, &[(user(name).slot(), known)]).unwrap();
        if let [(slot, epoch)] = taken[..] {
            assert_eq!(slot, user(name).slot());
            return epoch;
        }
    }
}

fn at(epoch: Epoch, event: AppendEvent) -> AppendEvent {
    AppendEvent { epoch, ..event }
}

struct Claims(mpsc::UnboundedSender<Result<Claim, StoreError>>);

impl Actor for Claims {
    type Context = Context<Self>;
}

impl Handler<SessionClaimed> for Claims {
    type Result = ();

    fn handle(&mut self, claimed: SessionClaimed, _ctx: &mut Self::Context) {
        self.0.send(claimed.result).unwrap();
    }
}

async fn claim(fixture: &Fixture, session: &str, epoch: Epoch) -> Result<Claim, StoreError> {
    let (sender, mut claims) = mpsc::unbounded_channel();
    let reply = Claims(sender).start().recipient();
    let (ticket, record) = (Ticket(1), record(session, 0));
    let claim = ClaimSession { ticket, user: user("u"), record, epoch, reply };
    fixture.handle.port().claim_session.send(claim).await.unwrap();
    claims.recv().await.unwrap()
}

/// Asks for every write of sessions that nobody is told about, and waits until it is over.
async fn write_sessions(fixture: &Fixture, epoch: Epoch) {
    let port = fixture.handle.port();
    let (known, unknown) = (SessionId::new("s").unwrap(), SessionRecord { ..record("new", 1) });
    let floor = Floor {
        user: user("u"),
        session: known.clone(),
        floor: Seq(9),
        acked_at: Timestamp(9),
        epoch,
    };
    let saved = vec![(user("u"), unknown, epoch), (user("u"), record("s", 8), epoch)];
    port.save_sessions.send(SaveSessions(saved)).await.unwrap();
    port.save_floors.send(SaveFloors(vec![floor])).await.unwrap();
    port.delete_sessions.send(DeleteSessions(vec![(user("u"), known, epoch)])).await.unwrap();
    let (reply, done) = oneshot::channel();
    port.flush.send(Flush(reply)).await.unwrap();
    done.await.unwrap();
}

#[actix::test]
async fn what_was_decided_at_another_epoch_writes_nothing() {
    let Some(shared) = Shared::new() else { return };
    let mut slots = shared.slots();
    beat(&mut slots, A, 60_000);
    let first = take(&mut slots, A, "u", Epoch(0));
    let mut a = shared.store(A);
    assert_eq!(a.append(at(first, fresh("a", "u"))).await, Ok(AppendOutcome::Stored(Seq(1))));
    let save = SaveSessions(vec![(user("u"), record("s", 0), first)]);
    a.handle.port().save_sessions.send(save).await.unwrap();
    assert!(claim(&a, "claimed", first).await.is_ok());

    beat(&mut slots, A, 0);
    let second = take(&mut slots, B, "u", first);
    assert!(second > first);
    let before = shared.content();
    assert_eq!(before.len(), 3, "{before:?}");
    let mark = vec![SessionId::new("s").unwrap()];
    // The old owner, at its epoch and at the new one; the new owner, at any but its own.
    let b = shared.store(B);
    let later = Epoch(second.0 + 1);
    let mut stores = [a, b];
    for (place, epoch) in [(0, first), (0, second), (1, first), (1, later)] {
        let store = &mut stores[place];
        let marking = AppendEvent { need_full_sync: mark.clone(), ..fresh("late", "u") };
        assert_eq!(store.append(at(epoch, marking)).await, Err(StoreError::Moved));
        assert_eq!(claim(store, "other", epoch).await.unwrap_err(), StoreError::Moved);
        write_sessions(store, epoch).await;
        assert_eq!(shared.content(), before);
    }
    let [_, b] = &mut stores;
    assert_eq!(b.append(at(second, fresh("b", "u"))).await, Ok(AppendOutcome::Stored(Seq(2))));
    write_sessions(b, second).await;
    assert_eq!(shared.content().len(), 4, "an event and a session more, and one session less");
}

#[actix::test]
async fn a_lost_slot_does_not_keep_the_rest_of_a_group_out() {
    let Some(shared) = Shared::new() else { return };
    let mut slots = shared.slots();
    beat(&mut slots, A, 60_000);
    assert_ne!(user("u").slot(), user("v").slot());
    let (u, v) = (take(&mut slots, A, "u", Epoch(0)), take(&mut slots, A, "v", Epoch(0)));
    slots.let_go(A, &[user("u").slot()]).unwrap();
    take(&mut slots, B, "u", u);
    let mut a = shared.store(A);
    a.ask(vec![at(v, fresh("a", "v")), at(u, fresh("b", "u")), at(v, fresh("c", "v"))]);
    let stored = |seq| Ok(AppendOutcome::Stored(Seq(seq)));
    assert_eq!(a.answers(3).await, [stored(1), Err(StoreError::Moved), stored(2)]);
}

#[actix::test]
async fn a_slot_that_was_away_is_read_anew() {
    let Some(shared) = Shared::new() else { return };
    let mut slots = shared.slots();
    let first = take(&mut slots, A, "u", Epoch(0));
    let (mut a, mut b) = (shared.store(A), shared.store(B));
    assert_eq!(a.append(at(first, fresh("a", "u"))).await, Ok(AppendOutcome::Stored(Seq(1))));
    slots.let_go(A, &[user("u").slot()]).unwrap();
    let second = take(&mut slots, B, "u", first);
    assert_eq!(b.append(at(second, fresh("b", "u"))).await, Ok(AppendOutcome::Stored(Seq(2))));
    slots.let_go(B, &[user("u").slot()]).unwrap();
    let third = take(&mut slots, A, "u", second);
    // Not at 2, where its memory would put it.
    assert_eq!(a.append(at(third, fresh("c", "u"))).await, Ok(AppendOutcome::Stored(Seq(3))));
}

/// Holds a user's slot as a transaction of its owner does, without an end.
fn hold(connection: &mut PgConnection, name: &str) {
    let slot = user(name).slot().0;
    connection.batch_execute("BEGIN").unwrap();
    let hold = format!("SELECT slot FROM slots WHERE slot = {slot} FOR SHARE");
    connection.batch_execute(&hold).unwrap();
}

/// Waits until somebody waits for a lock.
fn somebody_waits(shared: &Shared) {
    let waiting = format!(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = '{}' AND wait_event_type = 'Lock'",
        shared.name
    );
    let mut connection = PgConnection::establish(&shared.admin).unwrap();
    let mut count = 0;
    while count == 0 {
        let counted = diesel::sql_query(&waiting);
        count = diesel::RunQueryDsl::execute(counted, &mut connection).unwrap();
    }
}

#[actix::test]
async fn a_slot_is_taken_only_after_what_its_owner_is_writing() {
    let Some(shared) = Shared::new() else { return };
    let mut slots = shared.slots();
    let first = take(&mut slots, A, "u", Epoch(0));
    beat(&mut slots, A, 0);
    let mut writing = shared.connect();
    hold(&mut writing, "u");
    let mut others = shared.slots();
    let taking = std::thread::spawn(move || take(&mut others, B, "u", first));
    somebody_waits(&shared);
    assert!(!taking.is_finished());
    writing.batch_execute("COMMIT").unwrap();
    assert!(taking.join().unwrap() > first);
}

#[actix::test]
async fn a_transaction_that_rests_is_ended_and_writes_nothing() {
    let Some(shared) = Shared::new() else { return };
    let mut slots = shared.slots();
    let first = take(&mut slots, A, "u", Epoch(0));
    beat(&mut slots, A, 0);
    let mut resting = shared.connect();
    slots::give_up_after(300, &mut resting).unwrap();
    hold(&mut resting, "u");
    // Nobody ends the transaction: its node hangs.
    let second = take(&mut slots, B, "u", first);
    assert!(second > first);
    assert!(resting.batch_execute("COMMIT").is_err());
}
