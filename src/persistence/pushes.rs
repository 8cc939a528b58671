//! Devices to be woken, at rest.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::connection::{StoreConnection, on_backend};
use super::messages::{PushChange, Sleeper, WritePush};
use super::schema::{events, pushes, sessions};
use crate::protocol::{SessionId, Timestamp, UserId};

/// Changes a device; says whether there is such a session, or for other changes such a device.
pub(super) fn write(write: &WritePush, connection: &mut StoreConnection) -> QueryResult<bool> {
    let WritePush { user, session, change, .. } = write;
    let own = pushes::table
        .filter(pushes::session_id.eq(session.as_str()))
        .filter(pushes::user_id.eq(user.as_str()));
    let rows = match change {
        PushChange::Register { endpoint, at } => {
            return register(user, session, endpoint, *at, connection);
        }
        PushChange::Forget => diesel::delete(own).execute(connection)?,
        PushChange::Woken(at) => {
            diesel::update(own).set(pushes::woken_at.eq(at.map(|at| at.0))).execute(connection)?
        }
    };
    Ok(rows > 0)
}

fn register(
    user: &UserId,
    session: &SessionId,
    endpoint: &str,
    at: Timestamp,
    connection: &mut StoreConnection,
) -> QueryResult<bool> {
    let known: i64 = sessions::table
        .filter(sessions::session_id.eq(session.as_str()))
        .filter(sessions::user_id.eq(user.as_str()))
        .count()
        .get_result(connection)?;
    if known == 0 {
        return Ok(false);
    }
    let row = (
        pushes::session_id.eq(session.as_str()),
        pushes::user_id.eq(user.as_str()),
        pushes::endpoint.eq(endpoint),
        pushes::created_at.eq(at.0),
        pushes::woken_at.eq(None::<i64>),
    );
    on_backend!(connection, inner => diesel::insert_into(pushes::table)
        .values(row)
        .on_conflict(pushes::session_id)
        .do_update()
        .set(row)
        .execute(inner))?;
    Ok(true)
}

/// Forgets the devices of sessions that are gone.
pub(super) fn prune(connection: &mut StoreConnection) -> QueryResult<usize> {
    let known = sessions::table.select(sessions::session_id);
    diesel::delete(pushes::table.filter(pushes::session_id.ne_all(known))).execute(connection)
}

/// Devices for which something published at or before `before` waits, and which were not woken
/// since they were last seen, in the order of their sessions, those up to `after` left out.
pub(super) fn sleepers(
    before: Timestamp,
    after: Option<&SessionId>,
    devices_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<Sleeper>> {
    let waits = events::table
        .filter(events::user_id.eq(sessions::user_id))
        .filter(events::seq.gt(sessions::floor))
        .filter(events::published_at.le(before.0));
    let was_back = pushes::woken_at
        .is_null()
        .or(pushes::woken_at.lt(sessions::seen_at.nullable()))
        .or(pushes::woken_at.lt(sessions::acked_at));
    let rows: Vec<(String, String, String)> = pushes::table
        .inner_join(sessions::table.on(
            sessions::session_id.eq(pushes::session_id).and(sessions::user_id.eq(pushes::user_id)),
        ))
        .filter(pushes::session_id.gt(after.map_or("", SessionId::as_str)))
        .filter(was_back)
        .filter(exists(waits))
        .order(pushes::session_id)
        .limit(i64::try_from(devices_max).unwrap_or(i64::MAX))
        .select((pushes::user_id, pushes::session_id, pushes::endpoint))
        .load(connection)?;
    Ok(rows
        .into_iter()
        .filter_map(|(user, session, endpoint)| {
            let (user, session) = (UserId::new(&user).ok()?, SessionId::new(&session).ok()?);
            Some(Sleeper { user, session, endpoint })
        })
        .collect())
}
