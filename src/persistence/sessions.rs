//! Sessions at rest: floors only rise, and a name belongs to whoever had it first.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::connection::{StoreConnection, on_backend};
use super::messages::Claim;
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
