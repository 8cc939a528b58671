//! Devices to be woken, at rest.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use super::connection::{StoreConnection, on_backend};
use super::messages::{PushChange, Sleeper, WritePush};
use super::places::Recent;
use super::schema::{pushes, sessions};
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

#[derive(QueryableByName)]
struct DeviceRow {
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Text)]
    session_id: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
}

/// Devices for which something published at or before `before` waits, and which were not woken
/// since they were last seen, in the order of their sessions, those up to `after` left out.
pub(super) fn sleepers(
    before: Timestamp,
    after: Option<&SessionId>,
    devices_max: usize,
    recent: &Recent,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<Sleeper>> {
    let (last_unplaced, waits) = match connection {
        StoreConnection::Postgres(_) => (
            String::new(),
            "EXISTS (SELECT 1 FROM events AS e
                     WHERE e.user_id = s.user_id AND e.seq > s.floor AND e.published_at <= $1)",
        ),
        // The last event of each user that is in no place yet is looked up once for all.
        StoreConnection::Sqlite(_) => (
            format!(
                "LEFT JOIN (SELECT user_id, MAX(seq) AS seq FROM events
                            WHERE id >= {} AND published_at <= $1 GROUP BY user_id) AS r
                     ON r.user_id = p.user_id",
                recent.lowest_id().unwrap_or(i64::MAX)
            ),
            "(r.seq > s.floor OR EXISTS
                 (SELECT 1 FROM event_places AS l JOIN events AS e
                      ON e.id = l.id AND e.user_id = l.user_id AND e.seq = l.seq
                  WHERE l.user_id = s.user_id AND l.seq > s.floor AND e.published_at <= $1))",
        ),
    };
    // SQLite numbers these as they first come, Postgres as they are called: the same here.
    let statement = sql_query(format!(
        "SELECT p.user_id, p.session_id, p.endpoint FROM pushes AS p
         JOIN sessions AS s ON s.session_id = p.session_id AND s.user_id = p.user_id
         {last_unplaced}
         WHERE p.session_id > $2
             AND (p.woken_at IS NULL OR p.woken_at < s.seen_at OR p.woken_at < s.acked_at)
             AND {waits}
         ORDER BY p.session_id LIMIT $3"
    ))
    .bind::<BigInt, _>(before.0)
    .bind::<Text, _>(after.map_or("", SessionId::as_str))
    .bind::<BigInt, _>(i64::try_from(devices_max).unwrap_or(i64::MAX));
    let rows: Vec<DeviceRow> = on_backend!(connection, inner => statement.load(inner))?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let (user, session) = (UserId::new(&row.user_id), SessionId::new(&row.session_id));
            Some(Sleeper { user: user.ok()?, session: session.ok()?, endpoint: row.endpoint })
        })
        .collect())
}
