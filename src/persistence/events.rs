//! The log: appending in order without gaps, recognising repetitions, and reading.
//!
//! There is one writer. It gives every event its place inside the transaction that stores it, so
//! a log is dense whatever fails.

mod read;

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

pub(super) use self::read::{Span, find, read, read_page};
use super::connection::{StoreConnection, on_backend};
use super::many;
use super::messages::{AppendEvent, AppendOutcome, DuplicateKey};
use super::places::{Places, Recent, Row};
use super::rows::{InsertEvent, NewEventRow, marks, name, parse_name};
use super::schema::{event_places, events, sessions, users};
use crate::protocol::{Epoch, EventId, Seq, SessionId, Timestamp, UserId};

/// Users whose last place is remembered; beyond, all are forgotten and read anew when needed.
const LAST_SEQS_MAX: usize = 100_000;

/// The last place of recently used logs, and the epochs of their slots, where there are any.
#[derive(Default)]
pub(super) struct LastSeqs(HashMap<UserId, Seq>, Option<Box<[Epoch; 256]>>);

impl LastSeqs {
    /// Forgets everything a failed transaction may have moved.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Forgets the logs of slots that were elsewhere since they were last held.
    pub(super) fn compare(&mut self, held: &[Option<Epoch>; 256]) {
        let epochs = self.1.get_or_insert_with(|| Box::new([Epoch(0); 256]));
        let mut moved = [false; 256];
        for ((known, held), moved) in epochs.iter_mut().zip(held).zip(&mut moved) {
            *moved = held.is_some_and(|epoch| epoch != *known);
            *known = held.unwrap_or(*known);
        }
        if moved.contains(&true) {
            let has_moved = |user: &UserId| moved.get(usize::from(user.slot().0)) == Some(&true);
            self.0.retain(|user, _| !has_moved(user));
        }
    }

    /// Forgets everything, where that is much. Not within a transaction: what it appended is known
    /// nowhere else.
    pub(super) fn trim(&mut self) {
        if self.0.len() > LAST_SEQS_MAX {
            self.0.clear();
        }
    }

    fn fill<'a>(
        &mut self,
        wanted: impl Iterator<Item = &'a UserId>,
        recent: &Recent,
        connection: &mut StoreConnection,
    ) -> QueryResult<()> {
        let missing: HashSet<&UserId> = wanted.filter(|user| !self.0.contains_key(*user)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<_> = missing.into_iter().collect();
        for (user, bounds) in missing.iter().zip(many::bounds(&missing, recent, connection)?) {
            self.0.insert((*user).clone(), bounds.last);
        }
        Ok(())
    }
}

/// What is known of an event that was stored before.
struct Known {
    id: EventId,
    seq: Seq,
    live: u32,
    offline: u32,
    fingerprint: Option<String>,
}

impl Known {
    fn outcome(&self, fingerprint: &str) -> AppendOutcome {
        if self.fingerprint.as_deref() != Some(fingerprint) {
            return AppendOutcome::Conflict;
        }
        AppendOutcome::Duplicate {
            id: self.id,
            seq: self.seq,
            live: self.live,
            offline: self.offline,
        }
    }
}

/// Appends events in order, inside the caller's transaction, and says what became of each.
pub(super) fn append(
    new: &[&AppendEvent],
    last: &mut LastSeqs,
    places: &mut Places,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<AppendOutcome>> {
    last.fill(new.iter().map(|event| &event.user), places.recent(), connection)?;
    // Repetitions may stand in one group too: the first of them is known to the others.
    let mut by_name: HashMap<(&UserId, EventId), Known> = HashMap::new();
    let mut by_key: HashMap<(&UserId, &str), Known> = HashMap::new();
    let mut outcomes = Vec::with_capacity(new.len());
    let mut rows = Vec::with_capacity(new.len());
    let mut marked: Vec<&SessionId> = Vec::new();
    for event in new {
        let (user, id) = (&event.user, event.content.id);
        let known = match &event.duplicate {
            DuplicateKey::Fresh => None,
            DuplicateKey::EventId { fingerprint } => match by_name.get(&(user, id)) {
                Some(known) => Some(known.outcome(fingerprint)),
                None => find_by_name(user, id, connection)?.map(|k| k.outcome(fingerprint)),
            },
            DuplicateKey::Key { key, fingerprint } => match by_key.get(&(user, key.as_str())) {
                Some(known) => Some(known.outcome(fingerprint)),
                None => find_by_key(user, key, connection)?.map(|k| k.outcome(fingerprint)),
            },
        };
        if let Some(outcome) = known {
            outcomes.push(outcome);
            continue;
        }
        let place = last.0.entry(user.clone()).or_default();
        *place = place.next();
        let seq = *place;
        let (fingerprint, key) = marks(&event.duplicate);
        if fingerprint.is_some() {
            let known = || Known {
                id,
                seq,
                live: event.live,
                offline: event.offline,
                fingerprint: fingerprint.map(str::to_owned),
            };
            if let Some(key) = key {
                by_key.insert((user, key), known());
            }
            by_name.insert((user, id), known());
        }
        rows.push(NewEventRow::new(event, seq));
        marked.extend(&event.need_full_sync);
        outcomes.push(AppendOutcome::Stored(seq));
    }
    insert(&rows, connection)?;
    if let StoreConnection::Sqlite(connection) = connection
        && !rows.is_empty()
    {
        // One after the other, for nobody else writes.
        let last: i64 = diesel::select(last_insert_rowid()).get_result(connection)?;
        let first = last + 1 - rows.len() as i64;
        let stored = new.iter().zip(&outcomes).filter_map(|(event, outcome)| match outcome {
            AppendOutcome::Stored(seq) => Some((&event.user, *seq)),
            AppendOutcome::Duplicate { .. } | AppendOutcome::Conflict => None,
        });
        for ((user, seq), id) in stored.zip(first..) {
            places.appended(user, Row { seq, id });
        }
    }
    mark_full_sync(&marked, connection)?;
    Ok(outcomes)
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The row that was inserted last, by this connection.
    fn last_insert_rowid() -> BigInt;
}

fn insert(rows: &[NewEventRow<'_>], connection: &mut StoreConnection) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match connection {
        StoreConnection::Postgres(inner) => {
            // 16 values a row; a statement takes 65,535.
            for chunk in rows.chunks(4_000) {
                diesel::insert_into(events::table).values(chunk).execute(inner)?;
            }
        }
        // One prepared statement, run once per row: faster than preparing one for all.
        StoreConnection::Sqlite(inner) => {
            for row in rows {
                InsertEvent(row).execute(inner)?;
            }
        }
    }
    Ok(())
}

fn mark_full_sync(marked: &[&SessionId], connection: &mut StoreConnection) -> QueryResult<()> {
    for session in marked {
        diesel::update(sessions::table.filter(sessions::session_id.eq(session.as_str())))
            .set(sessions::need_full_sync.eq(1))
            .execute(connection)?;
    }
    Ok(())
}

type KnownColumns =
    (events::event_id, events::seq, events::live, events::offline, events::fingerprint);
const KNOWN: KnownColumns =
    (events::event_id, events::seq, events::live, events::offline, events::fingerprint);
type KnownRow = (String, i64, i32, i32, Option<String>);

fn find_by_name(
    user: &UserId,
    id: EventId,
    connection: &mut StoreConnection,
) -> QueryResult<Option<Known>> {
    let row: Option<KnownRow> = events::table
        .filter(events::event_id.eq(name(id)))
        .filter(events::user_id.eq(user.as_str()))
        .select(KNOWN)
        .first(connection)
        .optional()?;
    Ok(row.and_then(known))
}

fn find_by_key(
    user: &UserId,
    key: &str,
    connection: &mut StoreConnection,
) -> QueryResult<Option<Known>> {
    let row: Option<KnownRow> = events::table
        .filter(events::user_id.eq(user.as_str()))
        .filter(events::idempotency_key.eq(key))
        .select(KNOWN)
        .first(connection)
        .optional()?;
    Ok(row.and_then(known))
}

fn known((event_id, seq, live, offline, fingerprint): KnownRow) -> Option<Known> {
    Some(Known {
        id: parse_name(&event_id)?,
        seq: Seq(seq),
        live: u32::try_from(live).unwrap_or(0),
        offline: u32::try_from(offline).unwrap_or(0),
        fingerprint,
    })
}

/// Removes up to about `step_max` events published before `cutoff`, from the bottom of their
/// logs, inside the caller's transaction. Says how many went, and up to where in each log.
///
/// Places rise with time, but a clock may jump: everything below a removed place goes too, so a
/// log never has a hole.
pub(super) fn prune(
    cutoff: Timestamp,
    step_max: u32,
    places: &mut Places,
    connection: &mut StoreConnection,
) -> QueryResult<(usize, Vec<(UserId, Seq)>)> {
    let oldest: Vec<(String, i64)> = events::table
        .filter(events::published_at.lt(cutoff.0))
        .order(events::published_at.asc())
        .limit(i64::from(step_max))
        .select((events::user_id, events::seq))
        .load(connection)?;
    let mut up_to: HashMap<String, i64> = HashMap::new();
    for (user, seq) in oldest {
        let place = up_to.entry(user).or_default();
        *place = seq.max(*place);
    }
    let known = |(user, seq): (&String, &i64)| Some((UserId::new(user).ok()?, Seq(*seq)));
    let pruned: Vec<(UserId, Seq)> = up_to.iter().filter_map(known).collect();
    places.place_below(&pruned, connection)?;
    let mut removed = 0;
    for (user, seq) in up_to {
        removed += delete_below(&user, seq, connection)?;
        let row = (users::user_id.eq(&user), users::pruned_seq.eq(seq));
        on_backend!(connection, inner => diesel::insert_into(users::table)
            .values(row)
            .on_conflict(users::user_id)
            .do_update()
            .set(users::pruned_seq.eq(seq))
            .execute(inner))?;
    }
    Ok((removed, pruned))
}

/// Removes what is at or below a place. All of it has a place.
fn delete_below(user: &str, seq: i64, connection: &mut StoreConnection) -> QueryResult<usize> {
    match connection {
        StoreConnection::Postgres(connection) => {
            let below = events::table.filter(events::user_id.eq(user)).filter(events::seq.le(seq));
            diesel::delete(below).execute(connection)
        }
        StoreConnection::Sqlite(connection) => {
            let below = event_places::table
                .filter(event_places::user_id.eq(user))
                .filter(event_places::seq.le(seq));
            let rows = events::table
                .filter(events::user_id.eq(user))
                .filter(events::id.eq_any(below.select(event_places::id)));
            let removed = diesel::delete(rows).execute(connection)?;
            diesel::delete(below).execute(connection)?;
            Ok(removed)
        }
    }
}

/// Asks the database for nothing, to see whether it answers.
pub(super) fn check(connection: &mut StoreConnection) -> QueryResult<()> {
    users::table.select(users::pruned_seq).limit(1).load::<i64>(connection).map(drop)
}
