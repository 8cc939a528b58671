//! The way in for events: checks what a publisher said, names it, and takes it to the
//! ReliableDelivery of each user's slot.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::messages::{DeliveryPorts, PublishError, Receipt, Submission};
use super::submit::{hand_out, hand_out_until_taken, set};
use crate::clock;
use crate::config::PublishConfig;
use crate::dialect::socketio::events;
use crate::dialect::socketio::packet::is_reserved;
use crate::persistence::messages::{
    BroadcastOutcome, DuplicateKey, PersistencePort, StartBroadcast, StoreError,
};
use crate::protocol::{Audience, EventContent, EventError, EventId, NewEvent, UserId};

/// Publishes events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    ports: DeliveryPorts,
    persistence: PersistencePort,
    config: Arc<PublishConfig>,
    broadcast_started: Arc<Notify>,
}

/// Whether a publish answers as soon as the event is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does.
    Durable,
    /// It waits until every live session acked, at most this long.
    Acked(Duration),
}

/// What a broadcast's publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastReceipt {
    /// The event's name, the same in every user's log.
    pub event_id: EventId,
    /// How many users it is for.
    pub users: u64,
    /// Whether it was published before.
    pub duplicate: bool,
}

impl Publisher {
    /// A publisher on these actors.
    pub fn new(
        ports: DeliveryPorts,
        persistence: PersistencePort,
        config: Arc<PublishConfig>,
    ) -> Self {
        Self { ports, persistence, config, broadcast_started: Arc::default() }
    }

    /// Notified by every broadcast that was taken.
    pub fn broadcast_started(&self) -> Arc<Notify> {
        Arc::clone(&self.broadcast_started)
    }

    /// Whether there are other nodes.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.ports.is_cluster()
    }

    /// Publishes one event to one user; answers once it is durable, or acked as `wait` says.
    ///
    /// # Errors
    /// Why it was not taken; see [`PublishError`] for what may be tried again.
    pub async fn publish(
        &self,
        user: UserId,
        event: NewEvent,
        wait: Wait,
    ) -> Result<Receipt, PublishError> {
        let submission = self.submission(user, event, wait)?;
        let mut results = self.submit(vec![Ok(submission)]).await;
        results.pop().unwrap_or(Err(PublishError::Unavailable))
    }

    /// Publishes one event to several users, each with its own audience; answers in order once
    /// all are durable or refused. The event has one name in all their logs. It is one that was
    /// checked, or of the hub's own making and as large as what it tells of.
    pub async fn tell(
        &self,
        users: Vec<(UserId, Audience)>,
        event: NewEvent,
    ) -> Vec<Result<Receipt, PublishError>> {
        let ephemeral = event.ephemeral;
        let (content, duplicate) = fix(event);
        let submissions = users
            .into_iter()
            .map(|(user, audience)| {
                Ok(Submission {
                    user,
                    content: Arc::clone(&content),
                    duplicate: duplicate.clone(),
                    ephemeral,
                    wait_acked: None,
                    audience,
                })
            })
            .collect();
        self.submit(submissions).await
    }

    /// Publishes many events, for any users; answers in order once all are durable or refused.
    /// Events of one user keep their order. One refused event does not hold up the others.
    pub async fn publish_many(
        &self,
        events: Vec<(UserId, NewEvent)>,
    ) -> Vec<Result<Receipt, PublishError>> {
        let submissions = events
            .into_iter()
            .map(|(user, event)| self.submission(user, event, Wait::Durable))
            .collect();
        self.submit(submissions).await
    }

    /// Publishes one event to every user that has a session; answers once that is durable, and
    /// the users' own logs get it soon after, also across a restart.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn broadcast(&self, event: NewEvent) -> Result<BroadcastReceipt, PublishError> {
        self.check(&event)?;
        let ephemeral = event.ephemeral;
        let (mut content, duplicate) = fix(event);
        let live_only = self.ports.live_users().await;
        let mut receipt = BroadcastReceipt {
            event_id: content.id,
            users: live_only.len() as u64,
            duplicate: false,
        };
        if !ephemeral {
            let outcome = self.start_broadcast(&content, &duplicate, receipt.users).await;
            // One of several databases may have taken it, whatever became of the rest.
            self.broadcast_started.notify_one();
            match outcome? {
                BroadcastOutcome::Started { id, users } => {
                    receipt = BroadcastReceipt { event_id: id, users, ..receipt };
                    content = content.named(id);
                }
                BroadcastOutcome::Duplicate { id, users } => {
                    return Ok(BroadcastReceipt { event_id: id, users, duplicate: true });
                }
                BroadcastOutcome::Conflict => return Err(PublishError::Conflict),
            }
        }
        // Users without a durable session hear of it now or not at all.
        let submissions = live_only
            .into_iter()
            .map(|user| {
                Ok(Submission {
                    user,
                    content: Arc::clone(&content),
                    duplicate: broadcast_key(&content),
                    ephemeral,
                    wait_acked: None,
                    audience: Audience::default(),
                })
            })
            .collect();
        self.submit(submissions).await;
        Ok(receipt)
    }

    /// Publishes a part of a broadcast to these users. The event's name keeps anyone from
    /// getting it twice.
    pub async fn publish_broadcast(
        &self,
        content: &Arc<EventContent>,
        users: &[UserId],
    ) -> Vec<Result<Receipt, PublishError>> {
        let submissions = users
            .iter()
            .map(|user| {
                Ok(Submission {
                    user: user.clone(),
                    content: Arc::clone(content),
                    duplicate: broadcast_key(content),
                    ephemeral: false,
                    wait_acked: None,
                    audience: Audience::default(),
                })
            })
            .collect();
        self.submit(submissions).await
    }

    fn submission(
        &self,
        user: UserId,
        event: NewEvent,
        wait: Wait,
    ) -> Result<Submission, PublishError> {
        self.check(&event)?;
        let ephemeral = event.ephemeral;
        let (content, duplicate) = fix(event);
        let wait_acked = match wait {
            Wait::Durable => None,
            Wait::Acked(at_most) => {
                Some(at_most.min(Duration::from_millis(self.config.wait_ms_max)))
            }
        };
        let audience = Audience::default();
        Ok(Submission { user, content, duplicate, ephemeral, wait_acked, audience })
    }

    /// Whether an event keeps the contract, and fits what clients know by its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, event: &NewEvent) -> Result<(), EventError> {
        event.check(self.config.data_bytes_max)?;
        if is_reserved(&event.kind) {
            return Err(EventError::ReservedType(event.kind.clone()));
        }
        let (args, data) = (event.args.as_deref(), event.data.as_deref());
        events::check(&event.kind, args.map(RawValue::get), data.map(RawValue::get))
            .map_err(|(kind, expected)| EventError::Arguments { kind, expected })
    }

    /// Hands submissions to the groups they belong to and puts the answers back in order.
    async fn submit(
        &self,
        submissions: Vec<Result<Submission, PublishError>>,
    ) -> Vec<Result<Receipt, PublishError>> {
        let mut results = vec![Err(PublishError::Unavailable); submissions.len()];
        let mut taken = Vec::with_capacity(submissions.len());
        for (index, submission) in submissions.into_iter().enumerate() {
            match submission {
                Ok(submission) => taken.push((index, submission)),
                Err(error) => set(&mut results, index, Err(error)),
            }
        }
        if self.ports.is_cluster() {
            hand_out_until_taken(&self.ports, taken, &mut results).await;
        } else {
            hand_out(&self.ports, taken, &mut results).await;
        }
        results
    }

    async fn start_broadcast(
        &self,
        content: &Arc<EventContent>,
        duplicate: &DuplicateKey,
        others: u64,
    ) -> Result<BroadcastOutcome, PublishError> {
        let (reply, answer) = oneshot::channel();
        let (content, duplicate) = (Arc::clone(content), duplicate.clone());
        let start = StartBroadcast { content, duplicate, others, reply };
        self.persistence
            .start_broadcast
            .send(start)
            .await
            .map_err(|_| PublishError::Unavailable)?;
        match answer.await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(StoreError::Overloaded)) => Err(PublishError::Overloaded),
            Ok(Err(_)) | Err(_) => Err(PublishError::Unavailable),
        }
    }
}

/// Names an event and says how its repetition is recognised.
fn fix(event: NewEvent) -> (Arc<EventContent>, DuplicateKey) {
    let duplicate = match (&event.idempotency_key, event.id) {
        (Some(key), _) => DuplicateKey::Key { key: key.clone(), fingerprint: fingerprint(&event) },
        (None, Some(_)) => DuplicateKey::EventId { fingerprint: fingerprint(&event) },
        (None, None) => DuplicateKey::Fresh,
    };
    let id = event.id.unwrap_or_else(|| EventId(Uuid::now_v7()));
    (Arc::new(EventContent::fix(event, id, clock::wall())), duplicate)
}

/// How every part of one broadcast is recognised in a user's log.
fn broadcast_key(content: &EventContent) -> DuplicateKey {
    DuplicateKey::EventId { fingerprint: format!("broadcast-{}", content.id.0.simple()) }
}

/// What a publisher said, apart from its name: 32 hexadecimal characters. A repetition with
/// the same text is the same publish.
fn fingerprint(event: &NewEvent) -> String {
    let mut hash = Sha256::new();
    let mut part = |tag: &str, text: &str| {
        hash.update(tag);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part("type", &event.kind);
    part("event_id", &event.id.map(|id| id.to_string()).unwrap_or_default());
    part("data", event.data.as_ref().map_or("null", |data| data.get()));
    part("account", event.account.as_deref().unwrap_or_default());
    part("action", &format!("{:?}", event.action));
    part("silent", if event.silent { "yes" } else { "" });
    part("ttl_ms", &event.ttl_ms.map(|ttl_ms| ttl_ms.to_string()).unwrap_or_default());
    part("exclude", event.exclude_session.as_ref().map_or("", |session| session.as_str()));
    part("args", event.args.as_ref().map_or("", |args| args.get()));
    hex::encode(hash.finalize().as_slice().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_tells_bodies_apart() {
        let event = NewEvent::new("added").data(&serde_json::json!({"id": 1})).unwrap();
        let again = event.clone();
        let other = NewEvent::new("added").data(&serde_json::json!({"id": 2})).unwrap();
        assert_eq!(fingerprint(&event), fingerprint(&again));
        assert_ne!(fingerprint(&event), fingerprint(&other));
        assert_ne!(fingerprint(&event), fingerprint(&event.clone().ttl_ms(5)));
        assert_eq!(fingerprint(&event).len(), 32);
    }

    #[test]
    fn an_event_without_a_name_gets_a_fresh_uuid_v7() {
        let (content, duplicate) = fix(NewEvent::new("added"));
        assert_eq!(content.id.0.get_version_num(), 7);
        assert_eq!(duplicate, DuplicateKey::Fresh);
    }
}
