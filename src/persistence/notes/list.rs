//! Pages of the notes a user may see.
//!
//! First the places on the page and what the notes there hold, so that the page can be cut
//! before it is read; then the notes.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::rows::NoteRow;
use crate::notes::{Access, NoteCursor, NotePage, NoteQuery, Role, SharedNote};
use crate::persistence::connection::{StoreConnection, on_backend};
use crate::persistence::schema::notes;
use crate::protocol::{NoteId, Timestamp};

/// A place on a page.
#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = Text)]
    note_id: String,
    #[diesel(sql_type = BigInt)]
    updated_at: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    /// None for the user's own.
    #[diesel(sql_type = Nullable<Text>)]
    role: Option<String>,
}

/// Which notes `n` come after the place, tombstones only when asked for. Both databases know `$n`; they
/// must first stand in rising order, because SQLite numbers them as they come.
const WANTED: &str = "n.updated_at >= $2 AND (n.updated_at > $2 OR n.note_id > $3)
                      AND (n.deleted_at IS NULL OR $4 = 1)";

/// Own notes and shared notes each by their own index, then both in one order.
fn places_sql() -> String {
    format!(
        "SELECT note_id, updated_at, bytes, role FROM (
             SELECT * FROM (
                 SELECT n.note_id, n.updated_at, n.bytes, NULL AS role FROM notes n
                 WHERE n.owner_id = $1 AND {WANTED} AND n.updated_at >= $5
                 ORDER BY n.updated_at, n.note_id LIMIT $6
             ) AS own
             UNION ALL
             SELECT * FROM (
                 SELECT n.note_id, n.updated_at, n.bytes, m.role FROM note_members m
                 JOIN notes n ON n.note_id = m.note_id
                 WHERE m.user_id = $1 AND {WANTED} AND (n.updated_at >= $5 OR m.added_at >= $5)
                 ORDER BY n.updated_at, n.note_id LIMIT $6
             ) AS shared
         ) AS mine ORDER BY updated_at, note_id LIMIT $6"
    )
}

fn places(query: &NoteQuery, connection: &mut StoreConnection) -> QueryResult<Vec<Place>> {
    let limit = i64::try_from(query.limit.max(1)).unwrap_or(i64::MAX).saturating_add(1);
    let after = query.after.as_ref();
    on_backend!(connection, inner => diesel::sql_query(places_sql())
        .bind::<Text, _>(query.user.as_str())
        .bind::<BigInt, _>(after.map_or(i64::MIN, |after| after.updated_at.0))
        .bind::<Text, _>(after.map_or("", |after| after.id.as_str()))
        .bind::<BigInt, _>(i64::from(query.updated_since.is_some()))
        .bind::<BigInt, _>(query.updated_since.map_or(i64::MIN, |since| since.0))
        .bind::<BigInt, _>(limit)
        .load(inner))
}

/// Reads a page of at most `query.limit` notes; it stops after the note that passes `bytes_max`.
pub(in crate::persistence) fn page(
    query: &NoteQuery,
    bytes_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<NotePage> {
    let mut places = places(query, connection)?;
    let found = places.len();
    let mut bytes = 0usize;
    let is_before_bound = |place: &Place| {
        let is_before = bytes <= bytes_max;
        bytes = bytes.saturating_add(usize::try_from(place.bytes).unwrap_or(0));
        is_before
    };
    let fitting = places.iter().take(query.limit.max(1)).map(is_before_bound);
    let taken = fitting.take_while(|fits| *fits).count();
    places.truncate(taken);
    let next = match places.last() {
        Some(last) if taken < found => cursor(last),
        Some(_) | None => None,
    };
    let ids: Vec<&str> = places.iter().map(|place| place.note_id.as_str()).collect();
    let rows: Vec<NoteRow> = on_backend!(connection, inner => notes::table
        .filter(notes::note_id.eq_any(ids))
        .select(NoteRow::as_select())
        .load(inner))?;
    let mut rows: HashMap<String, NoteRow> =
        rows.into_iter().map(|row| (row.note_id.clone(), row)).collect();
    let notes = places.iter().filter_map(|place| {
        let access = match &place.role {
            None => Access::Owner,
            Some(role) => Access::Member(Role::from_name(role)?),
        };
        let note = rows.remove(&place.note_id)?.note()?;
        // It may have been deleted since its place was read.
        let is_wanted = query.updated_since.is_some() || !note.is_tombstone();
        is_wanted.then_some(SharedNote { note, access })
    });
    Ok(NotePage { notes: notes.collect(), next })
}

fn cursor(place: &Place) -> Option<NoteCursor> {
    let id = NoteId::new(&place.note_id).ok()?;
    Some(NoteCursor { updated_at: Timestamp(place.updated_at), id })
}
