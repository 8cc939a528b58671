//! Events for everyone: taken once, handed out a part at a time, never forgotten half way.

use std::sync::Arc;

use actix::Recipient;
use diesel::dsl::count;
use diesel::prelude::*;
use tokio::sync::oneshot;

use super::connection::StoreConnection;
use super::messages::{BroadcastOutcome, BroadcastPart, DuplicateKey, StartBroadcast, StoreError};
use super::rows::{BroadcastRow, name, parse_name};
use super::schema::{broadcasts, sessions};
use crate::protocol::{EventContent, EventId, Timestamp, UserId};

/// Takes a broadcast, inside the caller's transaction.
pub(super) fn start(
    content: &EventContent,
    duplicate: &DuplicateKey,
    others: u64,
    connection: &mut StoreConnection,
) -> QueryResult<BroadcastOutcome> {
    if let Some(known) = find(content, duplicate, connection)? {
        return Ok(known);
    }
    let users: i64 =
        sessions::table.select(count(sessions::user_id).aggregate_distinct()).first(connection)?;
    let users = users + i64::try_from(others).unwrap_or(0);
    let row = BroadcastRow::new(content, duplicate, users);
    super::connection::on_backend!(connection, inner => diesel::insert_into(broadcasts::table)
        .values(&row)
        .execute(inner))?;
    let users = u64::try_from(users).unwrap_or(0);
    Ok(BroadcastOutcome::Started { id: content.id, users })
}

fn find(
    content: &EventContent,
    duplicate: &DuplicateKey,
    connection: &mut StoreConnection,
) -> QueryResult<Option<BroadcastOutcome>> {
    let (row, wanted) = match duplicate {
        DuplicateKey::Fresh => return Ok(None),
        DuplicateKey::EventId { fingerprint } => (
            broadcasts::table
                .filter(broadcasts::event_id.eq(name(content.id)))
                .select(BroadcastRow::as_select())
                .first(connection)
                .optional()?,
            fingerprint,
        ),
        DuplicateKey::Key { key, fingerprint } => (
            broadcasts::table
                .filter(broadcasts::idempotency_key.eq(key))
                .select(BroadcastRow::as_select())
                .first(connection)
                .optional()?,
            fingerprint,
        ),
    };
    let Some(row) = row else { return Ok(None) };
    let id = parse_name(&row.event_id).filter(|_| row.fingerprint.as_ref() == Some(wanted));
    Ok(Some(match id {
        None => BroadcastOutcome::Conflict,
        Some(id) => {
            BroadcastOutcome::Duplicate { id, users: u64::try_from(row.users).unwrap_or(0) }
        }
    }))
}

/// Takes one broadcast in every store, the first of which is the same each time. One that fails
/// fails it all; the same publish again is known where it was taken, and keeps its name.
///
/// # Errors
/// When a store does not take it.
pub async fn start_everywhere<S>(
    stores: Vec<S>,
    mut content: Arc<EventContent>,
    duplicate: DuplicateKey,
    others: u64,
    start: impl AsyncFn(S, Arc<EventContent>, DuplicateKey) -> Result<BroadcastOutcome, StoreError>,
) -> Result<BroadcastOutcome, StoreError> {
    let (mut total, mut is_known) = (others, true);
    for store in stores {
        match start(store, Arc::clone(&content), duplicate.clone()).await? {
            BroadcastOutcome::Started { users, .. } => {
                total += users;
                is_known = false;
            }
            BroadcastOutcome::Duplicate { id, users } => {
                total += users;
                content = content.named(id);
            }
            BroadcastOutcome::Conflict => return Ok(BroadcastOutcome::Conflict),
        }
    }
    let (id, users) = (content.id, total);
    if is_known {
        return Ok(BroadcastOutcome::Duplicate { id, users });
    }
    Ok(BroadcastOutcome::Started { id, users })
}

/// Takes a broadcast in one store.
///
/// # Errors
/// When it does not take it.
pub async fn start_in(
    store: &Recipient<StartBroadcast>,
    content: Arc<EventContent>,
    duplicate: DuplicateKey,
) -> Result<BroadcastOutcome, StoreError> {
    let (reply, answer) = oneshot::channel();
    let start = StartBroadcast { content, duplicate, others: 0, reply };
    store.send(start).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

/// The next users of the oldest unfinished broadcast.
pub(super) fn next(
    users_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<Option<BroadcastPart>> {
    let row: Option<BroadcastRow> = broadcasts::table
        .filter(broadcasts::finished.eq(0))
        .order((broadcasts::published_at.asc(), broadcasts::event_id.asc()))
        .select(BroadcastRow::as_select())
        .first(connection)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let names: Vec<String> = sessions::table
        .filter(sessions::user_id.gt(&row.reached))
        .select(sessions::user_id)
        .distinct()
        .order(sessions::user_id.asc())
        .limit(i64::try_from(users_max).unwrap_or(i64::MAX))
        .load(connection)?;
    let users = names.iter().filter_map(|name| UserId::new(name).ok()).collect();
    Ok(row.content().map(|content| BroadcastPart { content: Arc::new(content), users }))
}

/// Notes how far a broadcast came.
pub(super) fn progress(
    event: EventId,
    done: Option<&UserId>,
    connection: &mut StoreConnection,
) -> QueryResult<()> {
    let row = broadcasts::table.filter(broadcasts::event_id.eq(name(event)));
    match done {
        Some(user) => {
            diesel::update(row).set(broadcasts::reached.eq(user.as_str())).execute(connection)?
        }
        None => diesel::update(row).set(broadcasts::finished.eq(1)).execute(connection)?,
    };
    Ok(())
}

/// Forgets finished broadcasts from before `cutoff`.
pub(super) fn prune(cutoff: Timestamp, connection: &mut StoreConnection) -> QueryResult<usize> {
    let old = broadcasts::table
        .filter(broadcasts::finished.eq(1))
        .filter(broadcasts::published_at.lt(cutoff.0));
    diesel::delete(old).execute(connection)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use uuid::Uuid;

    use super::*;
    use crate::protocol::NewEvent;

    #[tokio::test]
    async fn a_broadcast_that_comes_again_keeps_the_name_it_has_where_it_was_taken() {
        let (first, again) = (EventId(Uuid::from_u128(1)), EventId(Uuid::from_u128(2)));
        let content = Arc::new(EventContent::fix(NewEvent::new("x"), again, Timestamp(1)));
        let key = DuplicateKey::Key { key: "k".to_owned(), fingerprint: "f".to_owned() };
        let asked = RefCell::new(Vec::new());
        let start = async |store: u32, content: Arc<EventContent>, _: DuplicateKey| {
            asked.borrow_mut().push((store, content.id));
            match store {
                0 => Ok(BroadcastOutcome::Duplicate { id: first, users: 2 }),
                1 => Ok(BroadcastOutcome::Started { id: content.id, users: 3 }),
                _ => Err(StoreError::Closed),
            }
        };
        let all = start_everywhere(vec![0, 1], Arc::clone(&content), key.clone(), 4, &start).await;
        assert_eq!(all, Ok(BroadcastOutcome::Started { id: first, users: 9 }));
        assert_eq!(asked.take(), [(0, again), (1, first)]);
        let known =
            start_everywhere(vec![0, 0], Arc::clone(&content), key.clone(), 0, &start).await;
        assert_eq!(known, Ok(BroadcastOutcome::Duplicate { id: first, users: 4 }));
        let failed = start_everywhere(vec![9, 1], content, key, 0, &start).await;
        assert_eq!(failed, Err(StoreError::Closed));
        assert_eq!(asked.take().last(), Some(&(9, again)), "the rest is not asked");
    }
}
