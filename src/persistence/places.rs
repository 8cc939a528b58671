//! SQLite's index of the log by user, which is written later than the log, many rows at a time.
//!
//! An index that is written with each event costs a page for every user there is something for: several
//! times what the events themselves take. Here an event is in the log first, and where it is is
//! remembered. When enough have gathered they are placed, user by user, some with each group: what
//! gathered for a user is then one page.
//!
//! Whoever reads asks what is remembered first and the index then: what is placed in between is found in
//! both. Within a log what is placed lies below what is not. A hub that starts remembers what the one
//! before left without a place.
//!
//! Postgres, to which several nodes write, has an ordinary index.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;

use super::connection::{StoreConnection, in_transaction};
use super::schema::events;
use crate::protocol::{Seq, UserId};

/// So many gather before they are placed. With what is appended until they are, and groups of up to 3,276
/// events, that stays below `BEHIND_MAX`; with larger groups everything is placed at once now and then.
const ROUND_MIN: usize = 16_384;

/// So many are placed with a group at least, and at least twice as many as it has events: a round is
/// over before the next is due.
const STEP_MIN: usize = 32;

/// No row without a place is this far below the last one: so far down does a hub look that starts. A
/// later version may have more here, not less.
const BEHIND_MAX: i64 = 32_768;

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) seq: Seq,
    /// Its row in the log.
    pub(super) id: i64,
}

/// Durable events that have no place yet, of each user in order. Readers share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Arc<Mutex<HashMap<UserId, VecDeque<Row>>>>);

impl Recent {
    /// What is above a place, in order, at most so many.
    pub(super) fn after(&self, user: &UserId, after: Seq, rows_max: usize) -> Vec<Row> {
        let users = self.lock();
        let Some(rows) = users.get(user) else { return Vec::new() };
        let start = rows.partition_point(|row| row.seq <= after);
        rows.range(start..).take(rows_max).copied().collect()
    }

    /// The last of a user.
    pub(super) fn last(&self, user: &UserId) -> Option<Seq> {
        self.lock().get(user)?.back().map(|row| row.seq)
    }

    /// The lowest row; none when all have places.
    pub(super) fn lowest_id(&self) -> Option<i64> {
        self.lock().values().filter_map(|rows| rows.front()).map(|row| row.id).min()
    }

    fn has_at_or_below(&self, user: &UserId, seq: Seq) -> bool {
        self.lock().get(user).and_then(VecDeque::front).is_some_and(|row| row.seq <= seq)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, VecDeque<Row>>> {
        // Nothing that holds it panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the writer knows of events without a place.
#[derive(Debug)]
pub(super) struct Places {
    recent: Recent,
    /// So many gather before they are placed.
    round_min: usize,
    /// So many are placed with a group at least.
    step_min: usize,
    /// No row without a place is this far below the last one.
    behind_max: i64,
    /// Appended by this transaction.
    appended: Vec<(UserId, Row)>,
    /// Whoever has durable rows for the next round: above the last of this one.
    gathered: BTreeSet<UserId>,
    /// So many these are.
    gathered_rows: usize,
    /// The lowest of them.
    gathered_from: i64,
    /// Whoever has rows in this round that have no place yet.
    round: BTreeSet<UserId>,
    /// The lowest row of this round.
    round_from: i64,
    /// The last one.
    round_to: i64,
    /// The last that is durable.
    newest: i64,
    placed: Placed,
}

/// What this transaction placed.
#[derive(Debug)]
enum Placed {
    /// These of the round, user by user.
    OfRound(Vec<(UserId, Row)>),
    /// Everything there is.
    All,
}

impl Default for Placed {
    fn default() -> Self {
        Self::OfRound(Vec::new())
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::sized(ROUND_MIN, STEP_MIN, BEHIND_MAX)
    }
}

impl Places {
    pub(super) fn sized(round_min: usize, step_min: usize, behind_max: i64) -> Self {
        Self {
            recent: Recent::default(),
            round_min,
            step_min,
            behind_max,
            appended: Vec::new(),
            gathered: BTreeSet::new(),
            gathered_rows: 0,
            gathered_from: 0,
            round: BTreeSet::new(),
            round_from: 0,
            round_to: 0,
            newest: 0,
            placed: Placed::default(),
        }
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Remembers an event that was appended, each in the order of its row.
    pub(super) fn appended(&mut self, user: &UserId, row: Row) {
        self.appended.push((user.clone(), row));
    }

    /// Runs `work` in one transaction, and takes note of what became of what it appended and placed.
    pub(super) fn in_transaction<T>(
        &mut self,
        connection: &mut StoreConnection,
        work: impl FnOnce(&mut Self, &mut StoreConnection) -> QueryResult<T>,
    ) -> QueryResult<T> {
        let done = in_transaction(connection, |connection| work(self, connection));
        if done.is_ok() {
            self.committed();
        } else {
            self.rolled_back();
        }
        done
    }

    /// Places what is due, within the transaction that appended.
    pub(super) fn place(&mut self, connection: &mut StoreConnection) -> QueryResult<()> {
        if self.round.is_empty() && self.gathered_rows >= self.round_min {
            self.round = std::mem::take(&mut self.gathered);
            (self.round_from, self.round_to) = (self.gathered_from, self.newest);
            self.gathered_rows = 0;
        }
        let newest = self.appended.last().map_or(0, |(_, row)| row.id);
        if self.lowest().is_some_and(|lowest| newest - lowest >= self.behind_max) {
            return self.place_all(connection);
        }
        let step = self.step(self.step_min.max(2 * self.appended.len()));
        insert(&step, connection)?;
        self.placed = Placed::OfRound(step);
        Ok(())
    }

    /// What is next in this round, at most so many rows.
    fn step(&self, rows_max: usize) -> Vec<(UserId, Row)> {
        let users = self.recent.lock();
        let of_user = |user| {
            let rows = users.get(user).into_iter().flatten();
            rows.take_while(|row| row.id <= self.round_to).map(|row| (user.clone(), *row))
        };
        self.round.iter().flat_map(of_user).take(rows_max).collect()
    }

    /// Places everything before a part of a log goes that has something without a place.
    pub(super) fn place_below(
        &mut self,
        gone: &[(UserId, Seq)],
        connection: &mut StoreConnection,
    ) -> QueryResult<()> {
        if gone.iter().any(|(user, seq)| self.recent.has_at_or_below(user, *seq)) {
            self.place_all(connection)?;
        }
        Ok(())
    }

    /// The transaction is durable.
    fn committed(&mut self) {
        let mut users = self.recent.lock();
        match std::mem::take(&mut self.placed) {
            Placed::OfRound(rows) => {
                for placed in rows.chunk_by(|(user, _), (next, _)| user == next) {
                    let Some((user, _)) = placed.first() else { continue };
                    let Some(rows) = users.get_mut(user) else { continue };
                    rows.drain(..placed.len());
                    if rows.front().is_none_or(|row| row.id > self.round_to) {
                        self.round.remove(user);
                    }
                    if rows.is_empty() {
                        users.remove(user);
                    }
                }
            }
            Placed::All => {
                users.clear();
                self.round.clear();
                self.gathered.clear();
                self.gathered_rows = 0;
                self.appended.clear();
            }
        }
        for (user, row) in self.appended.drain(..) {
            if self.gathered_rows == 0 {
                self.gathered_from = row.id;
            }
            self.gathered_rows += 1;
            self.newest = row.id;
            match users.get_mut(&user) {
                Some(rows) => {
                    if rows.back().is_none_or(|last| last.id <= self.round_to) {
                        self.gathered.insert(user);
                    }
                    rows.push_back(row);
                }
                None => {
                    users.insert(user.clone(), VecDeque::from([row]));
                    self.gathered.insert(user);
                }
            }
        }
    }

    /// Nothing of the transaction is there.
    fn rolled_back(&mut self) {
        self.appended.clear();
        self.placed = Placed::default();
    }

    fn place_all(&mut self, connection: &mut StoreConnection) -> QueryResult<()> {
        let mut all = self.appended.clone();
        for (user, rows) in self.recent.lock().iter() {
            all.extend(rows.iter().map(|row| (user.clone(), *row)));
        }
        all.sort_unstable();
        insert(&all, connection)?;
        self.placed = Placed::All;
        Ok(())
    }

    /// The lowest row without a place.
    fn lowest(&self) -> Option<i64> {
        let of_round = (!self.round.is_empty()).then_some(self.round_from);
        let gathered = (self.gathered_rows > 0).then_some(self.gathered_from);
        of_round.or(gathered).or(self.appended.first().map(|(_, row)| row.id))
    }
}

fn insert(rows: &[(UserId, Row)], connection: &mut StoreConnection) -> QueryResult<()> {
    let StoreConnection::Sqlite(connection) = connection else { return Ok(()) };
    for (user, Row { seq, id }) in rows {
        InsertPlace { user: user.as_str(), seq: seq.0, id: *id }.execute(connection)?;
    }
    Ok(())
}

/// As [`InsertEvent`](super::rows::InsertEvent).
struct InsertPlace<'a> {
    user: &'a str,
    seq: i64,
    id: i64,
}

impl QueryId for InsertPlace<'_> {
    type QueryId = InsertPlace<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for InsertPlace<'_> {}

impl QueryFragment<Sqlite> for InsertPlace<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO event_places (user_id, seq, id) VALUES (");
        out.push_bind_param::<Text, _>(self.user)?;
        for number in [&self.seq, &self.id] {
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(number)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

/// The rows without a place above one row, up to another.
const UNPLACED: &str = "SELECT user_id, seq, id FROM events AS e WHERE e.id > $1 AND e.id <= $2
     AND NOT EXISTS (SELECT 1 FROM event_places AS p
                     WHERE p.user_id = e.user_id AND p.seq = e.seq AND p.id = e.id)";

#[derive(QueryableByName)]
struct UnplacedRow {
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Places {
    /// What whoever had the database before left without a place is remembered: nothing is written, so
    /// that a full disk keeps no hub from starting. Only what a hub left that knows of no places, which
    /// may be much, is placed at once.
    pub(super) fn take_over(&mut self, connection: &mut StoreConnection) -> QueryResult<()> {
        let StoreConnection::Sqlite(connection) = connection else { return Ok(()) };
        let newest: Option<i64> = events::table.select(max(events::id)).first(connection)?;
        let newest = newest.unwrap_or(0);
        let mut up_to = newest - BEHIND_MAX;
        while up_to > 0 {
            let left = sql_query(format!(
                "INSERT INTO event_places (user_id, seq, id) {UNPLACED} ORDER BY user_id, seq"
            ))
            .bind::<BigInt, _>(up_to - BEHIND_MAX)
            .bind::<BigInt, _>(up_to)
            .execute(connection)?;
            if left == 0 {
                break;
            }
            log::info!("{left} events of an earlier release are found by user again");
            up_to -= BEHIND_MAX;
        }
        let rows: Vec<UnplacedRow> = sql_query(format!("{UNPLACED} ORDER BY id"))
            .bind::<BigInt, _>(newest - BEHIND_MAX)
            .bind::<BigInt, _>(newest)
            .load(connection)?;
        for UnplacedRow { user_id, seq, id } in rows {
            if let Ok(user) = UserId::new(&user_id) {
                self.appended(&user, Row { seq: Seq(seq), id });
            }
        }
        self.committed();
        Ok(())
    }
}
