//! Sessions at rest: floors only rise, and a name belongs to whoever had it first.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel::upsert::excluded;

use super::connection::{StoreConnection, on_backend};
use super::events;
use super::messages::{Claim, Floor, UserSnapshot};
use super::rows::SessionRow;
use super::schema::sessions;
use crate::protocol::{SessionId, SessionRecord, Timestamp, UserId};

/// Writes a session whole. A name that is another user's stays theirs.
pub(super) fn save(
    user: &UserId,
    record: &SessionRecord,
    connection: &mut StoreConnection,
) -> QueryResult<()> {
    let row = SessionRow::new(user, record);
    let upsert = diesel::insert_into(sessions::table)
        .values(&row)
        .on_conflict(sessions::session_id)
        .do_update()
        .set((
            sessions::policy.eq(excluded(sessions::policy)),
            sessions::floor.eq(excluded(sessions::floor)),
            sessions::need_full_sync.eq(excluded(sessions::need_full_sync)),
            sessions::seen_at.eq(excluded(sessions::seen_at)),
            sessions::acked_at.eq(excluded(sessions::acked_at)),
            sessions::accounts.eq(excluded(sessions::accounts)),
        ));
    let is_theirs = sessions::user_id.eq(excluded(sessions::user_id));
    let upsert = diesel::query_dsl::methods::FilterDsl::filter(upsert, is_theirs);
    on_backend!(connection, inner => upsert.execute(inner))?;
    Ok(())
}

/// Creates a session unless anyone has its name.
pub(super) fn claim(
    user: &UserId,
    record: &SessionRecord,
    connection: &mut StoreConnection,
) -> QueryResult<Claim> {
    let row = SessionRow::new(user, record);
    let rows = on_backend!(connection, inner => diesel::insert_into(sessions::table)
        .values(&row)
        .on_conflict(sessions::session_id)
        .do_nothing()
        .execute(inner))?;
    Ok(match rows {
        0 => Claim::Taken,
        _ => Claim::Created,
    })
}

/// Forgets a session.
pub(super) fn delete(session: &SessionId, connection: &mut StoreConnection) -> QueryResult<()> {
    diesel::delete(sessions::table.filter(sessions::session_id.eq(session.as_str())))
        .execute(connection)?;
    Ok(())
}

/// Moves floors up; one that is already higher, or whose session is gone, stays.
pub(super) fn raise_floors(floors: &[&Floor], connection: &mut StoreConnection) -> QueryResult<()> {
    if floors.is_empty() {
        return Ok(());
    }
    match connection {
        StoreConnection::Postgres(inner) => {
            let names: Vec<&str> = floors.iter().map(|floor| floor.session.as_str()).collect();
            let places: Vec<i64> = floors.iter().map(|floor| floor.floor.0).collect();
            let acked: Vec<i64> = floors.iter().map(|floor| floor.acked_at.0).collect();
            diesel::sql_query(
                "UPDATE sessions SET floor = v.floor, acked_at = v.acked_at
                 FROM (SELECT session_id, MAX(floor) AS floor, MAX(acked_at) AS acked_at
                       FROM UNNEST($1, $2, $3) AS w (session_id, floor, acked_at)
                       GROUP BY session_id) AS v
                 WHERE sessions.session_id = v.session_id AND sessions.floor < v.floor",
            )
            .bind::<Array<Text>, _>(names)
            .bind::<Array<BigInt>, _>(places)
            .bind::<Array<BigInt>, _>(acked)
            .execute(inner)?;
        }
        StoreConnection::Sqlite(inner) => {
            for floor in floors {
                let lower = sessions::table
                    .filter(sessions::session_id.eq(floor.session.as_str()))
                    .filter(sessions::floor.lt(floor.floor.0));
                diesel::update(lower)
                    .set((
                        sessions::floor.eq(floor.floor.0),
                        sessions::acked_at.eq(floor.acked_at.0),
                    ))
                    .execute(inner)?;
            }
        }
    }
    Ok(())
}

/// Reads what is durable of a user.
pub(super) fn load(user: &UserId, connection: &mut StoreConnection) -> QueryResult<UserSnapshot> {
    let (last_seq, pruned) = events::bounds(user, connection)?;
    let rows: Vec<SessionRow> = sessions::table
        .filter(sessions::user_id.eq(user.as_str()))
        .select(SessionRow::as_select())
        .load(connection)?;
    let sessions = rows.into_iter().filter_map(SessionRow::record).collect();
    Ok(UserSnapshot { last_seq, pruned, sessions })
}

/// Forgets up to `step_max` sessions that gave no sign of life since `cutoff`.
pub(super) fn prune(
    cutoff: Timestamp,
    step_max: u32,
    connection: &mut StoreConnection,
) -> QueryResult<usize> {
    let stale: Vec<String> = sessions::table
        .filter(sessions::seen_at.lt(cutoff.0))
        .filter(sessions::acked_at.is_null().or(sessions::acked_at.lt(cutoff.0)))
        .limit(i64::from(step_max))
        .select(sessions::session_id)
        .load(connection)?;
    for session in &stale {
        diesel::delete(sessions::table.filter(sessions::session_id.eq(session)))
            .execute(connection)?;
    }
    Ok(stale.len())
}
