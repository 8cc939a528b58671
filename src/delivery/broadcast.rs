//! Hands broadcasts out to the users they are for, a part at a time, until none is unfinished.
//!
//! The store remembers how far each one came, so a restart goes on where the last life stopped;
//! the event's name keeps a user from getting it twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::Publisher;
use super::messages::PublishError;
use crate::persistence::messages::{
    BroadcastPart, BroadcastProgress, NextBroadcast, PersistencePort, StoreError,
};

/// Users per part: one group commit's worth.
const PART_USERS: usize = 256;

/// How long to wait before a part that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often a node of several looks for broadcasts of nodes that are gone. Whoever takes over slots
/// looks at once, but not every node that ends had some.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Runs until the store is closed. `started` is notified by every new broadcast.
pub async fn run(publisher: Publisher, persistence: PersistencePort, started: Arc<Notify>) {
    loop {
        match next_part(&persistence).await {
            Ok(Some(part)) => {
                if let Err(error) = hand_out(&publisher, &persistence, part).await {
                    log::warn!("a broadcast pauses: {error}");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
            Ok(None) if publisher.is_one_of_several() => {
                // Notified or not, it looks.
                let _ = tokio::time::timeout(LOOK_EVERY, started.notified()).await;
            }
            Ok(None) => started.notified().await,
            Err(StoreError::Closed) => return,
            Err(error) => {
                log::warn!("broadcasts pause: {error}");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

async fn next_part(persistence: &PersistencePort) -> Result<Option<BroadcastPart>, StoreError> {
    let (reply, answer) = oneshot::channel();
    let next = NextBroadcast { users_max: PART_USERS, reply };
    persistence.next_broadcast.send(next).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

async fn hand_out(
    publisher: &Publisher,
    persistence: &PersistencePort,
    part: BroadcastPart,
) -> Result<(), PublishError> {
    for result in publisher.publish_broadcast(&part.content, &part.users).await {
        match result {
            Ok(_) => {}
            Err(PublishError::Conflict) => {
                // The user's log has another event of this name: theirs stands.
                log::warn!("broadcast {} met another event of its name", part.content.id);
            }
            Err(error) => return Err(error),
        }
    }
    let (reply, answer) = oneshot::channel();
    let done = part.users.last().cloned();
    if done.is_none() {
        log::info!("broadcast {} reached everyone", part.content.id);
    }
    let progress = BroadcastProgress { event: part.content.id, done, reply };
    let sent = persistence.broadcast_progress.send(progress).await;
    match (sent, answer.await) {
        (Ok(()), Ok(Ok(()))) => Ok(()),
        _ => Err(PublishError::Unavailable),
    }
}
