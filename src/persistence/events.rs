//! The log: appending in order without gaps, recognising repetitions, and reading.
//!
//! There is one writer. It gives every event its place inside the transaction that stores it, so
//! a log is dense whatever fails.

use std::collections::{HashMap, HashSet};

use diesel::dsl::max;
use diesel::prelude::*;

use super::connection::{StoreConnection, on_backend};
use super::many;
use super::messages::{AppendEvent, AppendOutcome, DuplicateKey, LogPage, StoredEvent};
use super::rows::{EventRow, NewEventRow, SessionRow, marks, name, parse_name};
use super::schema::{events, sessions, users};
use crate::protocol::{Epoch, Event, EventId, Seq, SessionId, Timestamp, UserId};

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

    fn fill<'a>(
        &mut self,
        wanted: impl Iterator<Item = &'a UserId>,
        connection: &mut StoreConnection,
    ) -> QueryResult<()> {
        if self.0.len() > LAST_SEQS_MAX {
            self.0.clear();
        }
        let missing: HashSet<&UserId> = wanted.filter(|user| !self.0.contains_key(*user)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<_> = missing.into_iter().collect();
        for (user, bounds) in missing.iter().zip(many::bounds(&missing, connection)?) {
            self.0.insert((*user).clone(), bounds.last);
        }
        Ok(())
    }
}

fn pruned(user: &UserId, connection: &mut StoreConnection) -> QueryResult<Seq> {
    let pruned: Option<i64> = users::table
        .filter(users::user_id.eq(user.as_str()))
        .select(users::pruned_seq)
        .first(connection)
        .optional()?;
    Ok(Seq(pruned.unwrap_or(0)))
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
    connection: &mut StoreConnection,
) -> QueryResult<Vec<AppendOutcome>> {
    last.fill(new.iter().map(|event| &event.user), connection)?;
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
    mark_full_sync(&marked, connection)?;
    Ok(outcomes)
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
                diesel::insert_into(events::table).values(row).execute(inner)?;
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

/// Reads up to `events_max` events after a place, in order; stops after the event that passes
/// `bytes_max`.
pub(super) fn read(
    user: &UserId,
    after: Seq,
    events_max: usize,
    bytes_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<Event>> {
    let rows: Vec<EventRow> = events::table
        .filter(events::user_id.eq(user.as_str()))
        .filter(events::seq.gt(after.0))
        .order(events::seq.asc())
        .limit(i64::try_from(events_max).unwrap_or(i64::MAX))
        .select(EventRow::as_select())
        .load(connection)?;
    let mut bytes = 0;
    let mut taken = Vec::with_capacity(rows.len());
    for event in rows.into_iter().filter_map(EventRow::event) {
        bytes += event.content.bytes();
        taken.push(event);
        if bytes > bytes_max {
            break;
        }
    }
    Ok(taken)
}

/// Reads a page for `GET /sync`.
pub(super) fn read_page(
    user: &UserId,
    after: Seq,
    now: Timestamp,
    events_max: usize,
    bytes_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<LogPage> {
    let pruned = pruned(user, connection)?;
    let events = read(user, after, events_max, bytes_max, connection)?;
    let cursor = events.last().and_then(|event| event.seq).unwrap_or(after);
    let last: Option<i64> = events::table
        .filter(events::user_id.eq(user.as_str()))
        .select(max(events::seq))
        .first(connection)?;
    let more = last.is_some_and(|last| last > cursor.0);
    let events = events.into_iter().filter(|event| !event.content.is_expired(now)).collect();
    Ok(LogPage { events, cursor, more, pruned })
}

/// Finds an event in every log that holds it.
pub(super) fn find(
    event: EventId,
    users_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<StoredEvent>> {
    let rows: Vec<EventRow> = events::table
        .filter(events::event_id.eq(name(event)))
        .order(events::user_id.asc())
        .limit(i64::try_from(users_max).unwrap_or(i64::MAX))
        .select(EventRow::as_select())
        .load(connection)?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let Ok(user) = UserId::new(&row.user_id) else { continue };
        let sessions: Vec<SessionRow> = sessions::table
            .filter(sessions::user_id.eq(user.as_str()))
            .select(SessionRow::as_select())
            .load(connection)?;
        let (live, offline) = (row.live, row.offline);
        let Some(event) = row.event() else { continue };
        found.push(StoredEvent {
            user,
            event,
            live: u32::try_from(live).unwrap_or(0),
            offline: u32::try_from(offline).unwrap_or(0),
            sessions: sessions.into_iter().filter_map(SessionRow::record).collect(),
        });
    }
    Ok(found)
}

/// Removes up to about `step_max` events published before `cutoff`, from the bottom of their
/// logs, inside the caller's transaction. Says how many went, and up to where in each log.
///
/// Places rise with time, but a clock may jump: everything below a removed place goes too, so a
/// log never has a hole.
pub(super) fn prune(
    cutoff: Timestamp,
    step_max: u32,
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
    let mut removed = 0;
    let mut pruned = Vec::with_capacity(up_to.len());
    for (user, seq) in up_to {
        let below = events::table.filter(events::user_id.eq(&user)).filter(events::seq.le(seq));
        removed += diesel::delete(below).execute(connection)?;
        let row = (users::user_id.eq(&user), users::pruned_seq.eq(seq));
        on_backend!(connection, inner => diesel::insert_into(users::table)
            .values(row)
            .on_conflict(users::user_id)
            .do_update()
            .set(users::pruned_seq.eq(seq))
            .execute(inner))?;
        if let Ok(user) = UserId::new(&user) {
            pruned.push((user, Seq(seq)));
        }
    }
    Ok((removed, pruned))
}

/// Asks the database for nothing, to see whether it answers.
pub(super) fn check(connection: &mut StoreConnection) -> QueryResult<()> {
    users::table.select(users::pruned_seq).limit(1).load::<i64>(connection).map(drop)
}
