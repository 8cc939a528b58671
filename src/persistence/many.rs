//! What is durable of many users, and the floors of many sessions, with one statement for all: after a
//! restart everybody comes back at once, and under load everybody acks.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
use diesel::sqlite::Sqlite;
use serde::Serialize;

use super::connection::StoreConnection;
use super::messages::{Floor, UserSnapshot};
use super::places::Recent;
use super::rows::SessionRow;
use super::schema::sessions;
use crate::protocol::{Seq, SessionRecord, UserId};

/// Users asked for with one statement.
const ASKED_MAX: usize = 512;

/// The end of a log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// The last place.
    pub(super) last: Seq,
    /// Everything at or below is no longer there.
    pub(super) pruned: Seq,
}

/// Where these logs end, in this order.
pub(super) fn bounds(
    users: &[&UserId],
    recent: &Recent,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<Bounds>> {
    // Before the index, which may have it the next moment.
    let unplaced: Vec<_> = users.iter().map(|user| recent.last(user)).collect();
    let mut found = HashMap::with_capacity(users.len());
    for users in users.chunks(ASKED_MAX) {
        let rows: Vec<BoundsRow> = match connection {
            StoreConnection::Postgres(inner) => diesel::sql_query(
                "SELECT w.user_id,
                        (SELECT e.seq FROM events e WHERE e.user_id = w.user_id
                         ORDER BY e.seq DESC LIMIT 1) AS last_seq,
                        (SELECT u.pruned_seq FROM users u WHERE u.user_id = w.user_id)
                            AS pruned_seq
                 FROM UNNEST($1) AS w (user_id)",
            )
            .bind::<Array<Text>, _>(names(users))
            .load(inner)?,
            StoreConnection::Sqlite(inner) => BoundsOf(json(&names(users))?).load(inner)?,
        };
        found.extend(rows.into_iter().map(|row| {
            let pruned = Seq(row.pruned_seq.unwrap_or(0));
            let last = Seq(row.last_seq.unwrap_or(0)).max(pruned);
            (row.user_id, Bounds { last, pruned })
        }));
    }
    let of_user = |(user, unplaced): (&&UserId, Option<Seq>)| {
        let Bounds { last, pruned } = found.get(user.as_str()).copied().unwrap_or_default();
        Bounds { last: last.max(unplaced.unwrap_or_default()), pruned }
    };
    Ok(users.iter().zip(unplaced).map(of_user).collect())
}

/// What is durable of these users, in this order.
pub(super) fn load(
    users: &[&UserId],
    recent: &Recent,
    connection: &mut StoreConnection,
) -> QueryResult<Vec<UserSnapshot>> {
    let bounds = bounds(users, recent, connection)?;
    let mut found: HashMap<String, Vec<SessionRecord>> = HashMap::new();
    for users in users.chunks(ASKED_MAX) {
        let rows: Vec<SessionRow> = match connection {
            StoreConnection::Postgres(inner) => sessions::table
                .filter(sessions::user_id.eq_any(names(users)))
                .select(SessionRow::as_select())
                .load(inner)?,
            StoreConnection::Sqlite(inner) => SessionsOf(json(&names(users))?).load(inner)?,
        };
        for (user, record) in rows.into_iter().filter_map(SessionRow::of_user) {
            found.entry(user).or_default().push(record);
        }
    }
    // A user may be asked for twice.
    let sessions = users.iter().map(|user| found.get(user.as_str()).cloned().unwrap_or_default());
    let snapshots = bounds.into_iter().zip(sessions).map(|(Bounds { last, pruned }, sessions)| {
        UserSnapshot { last_seq: last, pruned, sessions }
    });
    Ok(snapshots.collect())
}

/// Moves floors up; one that is already higher, or whose session is gone, stays.
pub(super) fn raise_floors(floors: &[&Floor], connection: &mut StoreConnection) -> QueryResult<()> {
    for floors in floors.chunks(ASKED_MAX) {
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
                let row = |floor: &&Floor| (floor.session.clone(), floor.floor.0, floor.acked_at.0);
                RaiseFloors(json(&floors.iter().map(row).collect::<Vec<_>>())?).execute(inner)?;
            }
        }
    }
    Ok(())
}

fn names<'a>(users: &[&'a UserId]) -> Vec<&'a str> {
    users.iter().map(|user| user.as_str()).collect()
}

fn json(rows: &impl Serialize) -> QueryResult<String> {
    serde_json::to_string(rows)
        .map_err(|error| diesel::result::Error::SerializationError(error.into()))
}

#[derive(Queryable, QueryableByName)]
struct BoundsRow {
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_seq: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pruned_seq: Option<i64>,
}

/// SQLite has no arrays: the names come as JSON. The statement is the same for any number of them,
/// and so prepared once, which `IN (?, ?, …)` and `sql_query` are not.
#[derive(QueryId)]
struct BoundsOf(String);

impl Query for BoundsOf {
    type SqlType = (Text, Nullable<BigInt>, Nullable<BigInt>);
}

impl RunQueryDsl<SqliteConnection> for BoundsOf {}

impl QueryFragment<Sqlite> for BoundsOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "SELECT w.value, \
             (SELECT seq FROM event_places WHERE user_id = w.value ORDER BY seq DESC LIMIT 1), \
             (SELECT pruned_seq FROM users WHERE user_id = w.value) FROM json_each(",
        );
        out.push_bind_param::<Text, _>(&self.0)?;
        out.push_sql(") AS w");
        Ok(())
    }
}

/// The sessions of the users in a JSON array.
#[derive(QueryId)]
struct SessionsOf(String);

impl Query for SessionsOf {
    type SqlType =
        (Text, Text, Text, BigInt, Integer, BigInt, BigInt, Nullable<BigInt>, Nullable<Text>);
}

impl RunQueryDsl<SqliteConnection> for SessionsOf {}

impl QueryFragment<Sqlite> for SessionsOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "SELECT session_id, user_id, policy, floor, need_full_sync, created_at, seen_at, \
             acked_at, accounts FROM sessions WHERE user_id IN (SELECT value FROM json_each(",
        );
        out.push_bind_param::<Text, _>(&self.0)?;
        out.push_sql("))");
        Ok(())
    }
}

/// The floors in a JSON array of session, floor and time of the last ack.
#[derive(QueryId)]
struct RaiseFloors(String);

impl RunQueryDsl<SqliteConnection> for RaiseFloors {}

impl QueryFragment<Sqlite> for RaiseFloors {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE sessions SET floor = v.floor, acked_at = v.acked_at \
             FROM (SELECT value ->> 0 AS session_id, MAX(value ->> 1) AS floor, \
             MAX(value ->> 2) AS acked_at FROM json_each(",
        );
        out.push_bind_param::<Text, _>(&self.0)?;
        out.push_sql(
            ") GROUP BY 1) AS v \
             WHERE sessions.session_id = v.session_id AND sessions.floor < v.floor",
        );
        Ok(())
    }
}
