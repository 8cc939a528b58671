//! Notes at rest. A change and the event that tells of it are written in one transaction, so
//! that neither is there without the other.

mod list;
mod rows;

use diesel::prelude::*;
use diesel::upsert::excluded;

pub(super) use self::list::page;
use self::rows::{EventRow, MemberRow, NoteRow};
use super::connection::{StoreConnection, on_backend};
use super::messages::{NoteWrite, ShareNote, WriteNote};
use super::rows::name;
use super::schema::{note_events, note_members, notes};
use crate::notes::{
    self as rules, Access, Members, Note, NoteChange, NoteError, NoteEvent, Role, Shared,
    SharedNote, Standing,
};
use crate::protocol::{EventId, NoteId, Timestamp, UserId};

/// Changes a note as its rules say, inside the caller's transaction.
pub(super) fn write(
    message: &WriteNote,
    connection: &mut StoreConnection,
) -> QueryResult<Result<NoteChange, NoteError>> {
    let WriteNote { write, event, bytes_max, .. } = message;
    let Ok(standing) = standing(write.note(), connection)? else {
        return Ok(Err(NoteError::Unavailable));
    };
    let standing = standing.as_ref();
    let change = match write {
        NoteWrite::Create(new) => rules::create(standing, new, *event, *bytes_max),
        NoteWrite::Update(edit) => rules::update(standing, edit, *event, *bytes_max),
        NoteWrite::Delete { by, now, .. } => rules::delete(standing, by, *event, *now),
    };
    if let Ok(NoteChange { note, event: Some(event), .. }) = &change {
        let row = NoteRow::new(note);
        // Merged with what was read: if that is not what stands there now, nothing is written.
        let read = standing.map_or(0, |standing| standing.note.version);
        let is_as_read = notes::version.eq(read);
        let written = on_backend!(connection, inner => {
            let put = diesel::insert_into(notes::table)
                .values(&row)
                .on_conflict(notes::note_id)
                .do_update()
                .set(&row);
            diesel::query_dsl::methods::FilterDsl::filter(put, is_as_read).execute(inner)
        })?;
        if written == 0 {
            return Ok(Err(NoteError::Unavailable));
        }
        let row = EventRow::new(event, note);
        on_backend!(connection, inner => diesel::insert_into(note_events::table)
            .values(&row)
            .execute(inner))?;
    }
    Ok(change)
}

/// A note as it stands, if there is one; an error for a row that cannot be read.
fn standing(
    id: &NoteId,
    connection: &mut StoreConnection,
) -> QueryResult<Result<Option<Standing>, Unreadable>> {
    let Some(row) = find(id, connection)? else { return Ok(Ok(None)) };
    let Some(note) = row.note() else {
        log::error!("note {id} cannot be read from the database");
        return Ok(Err(Unreadable));
    };
    let members = members_of(id, connection)?;
    Ok(Ok(Some(Standing { note, members })))
}

/// A row that something else wrote.
struct Unreadable;

fn find(id: &NoteId, connection: &mut StoreConnection) -> QueryResult<Option<NoteRow>> {
    notes::table
        .filter(notes::note_id.eq(id.as_str()))
        .select(NoteRow::as_select())
        .first(connection)
        .optional()
}

fn members_of(id: &NoteId, connection: &mut StoreConnection) -> QueryResult<Vec<(UserId, Role)>> {
    let rows: Vec<MemberRow> = note_members::table
        .filter(note_members::note_id.eq(id.as_str()))
        .order(note_members::user_id.asc())
        .select(MemberRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().filter_map(MemberRow::member).collect())
}

/// Reads a note that `user` may see.
pub(super) fn read(
    id: &NoteId,
    user: &UserId,
    connection: &mut StoreConnection,
) -> QueryResult<Result<SharedNote, NoteError>> {
    let Some(note) = alive(id, connection)? else { return Ok(Err(NoteError::NotFound)) };
    let access = if note.owner == *user {
        Some(Access::Owner)
    } else {
        role(id, user, connection)?.map(Access::Member)
    };
    Ok(access.map(|access| SharedNote { note, access }).ok_or(NoteError::NotFound))
}

/// Reads who may see a note.
pub(super) fn members(
    id: &NoteId,
    connection: &mut StoreConnection,
) -> QueryResult<Result<Members, NoteError>> {
    let Some(note) = alive(id, connection)? else { return Ok(Err(NoteError::NotFound)) };
    Ok(Ok(Members { owner: note.owner, members: members_of(id, connection)? }))
}

fn alive(id: &NoteId, connection: &mut StoreConnection) -> QueryResult<Option<Note>> {
    let note = find(id, connection)?.and_then(NoteRow::note);
    Ok(note.filter(|note| !note.is_tombstone()))
}

fn role(id: &NoteId, user: &UserId, connection: &mut StoreConnection) -> QueryResult<Option<Role>> {
    let name: Option<String> = note_members::table
        .filter(note_members::note_id.eq(id.as_str()))
        .filter(note_members::user_id.eq(user.as_str()))
        .select(note_members::role)
        .first(connection)
        .optional()?;
    Ok(name.as_deref().and_then(Role::from_name))
}

/// Gives a user access to a note, inside the caller's transaction. The owner has it already.
pub(super) fn share(
    message: &ShareNote,
    connection: &mut StoreConnection,
) -> QueryResult<Result<Shared, NoteError>> {
    let ShareNote { id, member, role: wanted, now, .. } = message;
    let Some(note) = alive(id, connection)? else { return Ok(Err(NoteError::NotFound)) };
    if note.owner == *member {
        return Ok(Ok(Shared { is_new: false, note }));
    }
    let is_new = role(id, member, connection)?.is_none();
    let row = MemberRow::new(id, member, *wanted, *now);
    on_backend!(connection, inner => diesel::insert_into(note_members::table)
        .values(&row)
        .on_conflict((note_members::note_id, note_members::user_id))
        .do_update()
        .set(note_members::role.eq(excluded(note_members::role)))
        .execute(inner))?;
    Ok(Ok(Shared { is_new, note }))
}

/// Takes a member's access away, and says whether there was any.
pub(super) fn unshare(
    id: &NoteId,
    member: &UserId,
    connection: &mut StoreConnection,
) -> QueryResult<bool> {
    let member = note_members::table
        .filter(note_members::note_id.eq(id.as_str()))
        .filter(note_members::user_id.eq(member.as_str()));
    Ok(diesel::delete(member).execute(connection)? > 0)
}

/// Forgets events that are in every log.
pub(super) fn settle(events: &[EventId], connection: &mut StoreConnection) -> QueryResult<()> {
    for event in events {
        diesel::delete(note_events::table.filter(note_events::event_id.eq(name(*event))))
            .execute(connection)?;
    }
    Ok(())
}

/// The oldest events that nobody settled; those of one note in the order of its versions.
pub(super) fn unsettled(
    limit: usize,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<NoteEvent>> {
    let rows: Vec<EventRow> = note_events::table
        .order((
            note_events::created_at.asc(),
            note_events::version.asc(),
            note_events::event_id.asc(),
        ))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(EventRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().filter_map(EventRow::event).collect())
}

/// Forgets up to `step_max` tombstones from before `tombstones_before`, with their members, and
/// as many unsettled events from before `events_before`: they would be too old for any log.
pub(super) fn prune(
    tombstones_before: Timestamp,
    events_before: Timestamp,
    step_max: u32,
    connection: &mut StoreConnection,
) -> QueryResult<usize> {
    let tombstones: Vec<String> = notes::table
        .filter(notes::deleted_at.lt(tombstones_before.0))
        .order(notes::deleted_at.asc())
        .limit(i64::from(step_max))
        .select(notes::note_id)
        .load(connection)?;
    for id in &tombstones {
        diesel::delete(note_members::table.filter(note_members::note_id.eq(id)))
            .execute(connection)?;
        diesel::delete(notes::table.filter(notes::note_id.eq(id))).execute(connection)?;
    }
    let events: Vec<String> = note_events::table
        .filter(note_events::created_at.lt(events_before.0))
        .order(note_events::created_at.asc())
        .limit(i64::from(step_max))
        .select(note_events::event_id)
        .load(connection)?;
    for event in &events {
        diesel::delete(note_events::table.filter(note_events::event_id.eq(event)))
            .execute(connection)?;
    }
    if !events.is_empty() {
        log::error!("{} events of notes grew too old before they were published", events.len());
    }
    Ok(tombstones.len() + events.len())
}
