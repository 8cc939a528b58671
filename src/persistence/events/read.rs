//! Reading the log: a user's, from a place on, or an event by its name.

use diesel::prelude::*;

use crate::persistence::connection::StoreConnection;
use crate::persistence::many::{self, Bounds};
use crate::persistence::messages::{LogPage, StoredEvent};
use crate::persistence::places::{Recent, Row};
use crate::persistence::rows::{EventRow, SessionRow, name};
use crate::persistence::schema::{event_places, events, sessions};
use crate::protocol::{Event, EventId, Seq, Timestamp, UserId};

/// What is read of a log: up to `events_max` events after a place; it ends with the one that passes
/// `bytes_max`.
#[derive(Clone, Copy, Debug)]
pub(in crate::persistence) struct Span {
    pub(in crate::persistence) after: Seq,
    pub(in crate::persistence) events_max: usize,
    pub(in crate::persistence) bytes_max: usize,
}

/// Reads a part of a log, in order.
pub(in crate::persistence) fn read(
    user: &UserId,
    span: Span,
    recent: &Recent,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<Event>> {
    let rows = match connection {
        StoreConnection::Postgres(connection) => events::table
            .filter(events::user_id.eq(user.as_str()))
            .filter(events::seq.gt(span.after.0))
            .order(events::seq.asc())
            .limit(i64::try_from(span.events_max).unwrap_or(i64::MAX))
            .select(EventRow::as_select())
            .load(connection)?,
        StoreConnection::Sqlite(connection) => rows_of_sqlite(user, span, recent, connection)?,
    };
    let mut bytes = 0;
    let mut taken = Vec::with_capacity(rows.len());
    for event in rows.into_iter().filter_map(EventRow::event) {
        bytes += event.content.bytes();
        taken.push(event);
        if bytes > span.bytes_max {
            break;
        }
    }
    Ok(taken)
}

/// What has a place, and above that what has none yet.
fn rows_of_sqlite(
    user: &UserId,
    span: Span,
    recent: &Recent,
    connection: &mut SqliteConnection,
) -> QueryResult<Vec<EventRow>> {
    // Before the index: what is placed meanwhile is in both, and in none if it were asked after it.
    let unplaced = recent.after(user, span.after, span.events_max);
    let is_of_place = events::id
        .eq(event_places::id)
        .and(events::user_id.eq(event_places::user_id))
        .and(events::seq.eq(event_places::seq));
    let mut rows: Vec<EventRow> = event_places::table
        .inner_join(events::table.on(is_of_place))
        .filter(event_places::user_id.eq(user.as_str()))
        .filter(event_places::seq.gt(span.after.0))
        .order(event_places::seq.asc())
        .limit(i64::try_from(span.events_max).unwrap_or(i64::MAX))
        .select(EventRow::as_select())
        .load(connection)?;
    let placed = rows.last().map_or(span.after, |row| Seq(row.seq));
    let left = span.events_max - rows.len();
    for Row { seq, id } in unplaced.into_iter().filter(|row| row.seq > placed).take(left) {
        // A row that was pruned leaves its number to another.
        let row: Option<EventRow> = events::table
            .filter(events::id.eq(id))
            .filter(events::user_id.eq(user.as_str()))
            .filter(events::seq.eq(seq.0))
            .select(EventRow::as_select())
            .first(connection)
            .optional()?;
        match row {
            Some(row) => rows.push(row),
            // Pruned meanwhile, and everything below it: a log that is read has no hole.
            None => rows.clear(),
        }
    }
    Ok(rows)
}

/// Reads a page for `GET /sync`.
pub(in crate::persistence) fn read_page(
    user: &UserId,
    span: Span,
    now: Timestamp,
    recent: &Recent,
    connection: &mut StoreConnection,
) -> QueryResult<LogPage> {
    let events = read(user, span, recent, connection)?;
    let cursor = events.last().and_then(|event| event.seq).unwrap_or(span.after);
    // After the events: what was pruned before they were read is told.
    let bounds = many::bounds(&[user], recent, connection)?;
    let Bounds { last, pruned } = bounds.into_iter().next().unwrap_or_default();
    let events = events.into_iter().filter(|event| !event.content.is_expired(now)).collect();
    Ok(LogPage { events, cursor, more: last > cursor, pruned })
}

/// Finds an event in every log that holds it.
pub(in crate::persistence) fn find(
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
