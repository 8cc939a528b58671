//! [`Webhooks`]: the way in for commands, the way out for the hub's own events, and the end of
//! both.

use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Receiver as Notified;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::attempts::AttemptPolicy;
use super::call::{self, CallError};
use super::events::{EventListener, Feed};
use super::letters::{self, Letters};
use super::post::{Envelope, Post, Receiver};
use super::room::Room;
use super::stage::{Stage, Stages};
use super::target::{Failure, Target};
use crate::auth::{AuthSetupError, Secret};
use crate::clock;
use crate::config::WebhooksConfig;
use crate::delivery::notices::Notice;
use crate::metrics::Metrics;
use crate::persistence::messages::{
    DeadLetter, DeadLetterPort, DeleteDeadLetter, FailDeadLetter, StoreError,
};

/// The names of the two webhooks, in dead letters.
const COMMANDS: &str = "commands";
const EVENTS: &str = "events";

/// How long the end waits for posts to be taken, then for the rest to be given up, then for the
/// last dead letters to be handed to the store.
const FINISH_WAIT: Duration = Duration::from_millis(1_000);
const GIVE_UP_WAIT: Duration = Duration::from_millis(500);
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// What webhooks are made of.
pub struct WebhooksParts {
    /// Where dead letters are kept.
    pub dead_letters: DeadLetterPort,
    /// What happens in the hub, if anybody wants to know.
    pub notices: Option<Notified<Notice>>,
    /// The host's ear for it.
    pub listener: Option<EventListener>,
    /// The counters.
    pub metrics: Metrics,
}

/// The webhooks of a hub. Cheap to clone, and may be used from any thread.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    commands: Option<Arc<Target>>,
    events: Option<Arc<Target>>,
    dead_letters: DeadLetterPort,
    stages: Stages,
    /// Who passes events on.
    feeding: Room,
    /// Who writes dead letters.
    writing: Room,
    /// None if nothing is posted and nobody listens.
    arbiter: Option<Arbiter>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

/// What came of sending a dead letter again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The receiver took it, with this status: it is no dead letter any more.
    Taken(u16),
    /// It did not, for this reason: it stays a dead letter.
    Failed(String),
    /// Nothing was sent: too many are being sent again.
    Overloaded,
    /// The receiver took it, but the store failed to forget it.
    Kept(StoreError),
}

impl Webhooks {
    /// Starts what the configuration asks for, on a thread of its own; with no URL and no
    /// listener, nothing.
    ///
    /// # Errors
    /// When there is a URL but no secret, or a secret too short.
    pub fn start(config: &WebhooksConfig, parts: WebhooksParts) -> Result<Self, AuthSetupError> {
        let WebhooksParts { dead_letters, notices, listener, metrics } = parts;
        let is_used = config.commands_url.is_some() || config.events_url.is_some();
        let secret = if is_used { Some(secret(config)?) } else { None };
        let arbiter = (is_used || notices.is_some()).then(Arbiter::new);
        let stages = Stages::new();
        let (letters, written) = Letters::new(metrics.clone());
        let target = |name, url: &Option<String>| {
            let (url, secret, arbiter) = (url.clone()?, secret.clone()?, arbiter.as_ref()?);
            let timeout = Duration::from_millis(config.timeout_ms);
            Some(Arc::new(Target {
                name,
                receiver: Arc::new(Receiver::new(url, secret, timeout, config.concurrency)),
                room: Room::new(config.queue_max, config.queue_bytes_max),
                slots: Arc::new(Semaphore::new(config.concurrency)),
                replays: Semaphore::new(config.concurrency),
                policy: AttemptPolicy {
                    attempts_max: config.attempts_max,
                    pause: Duration::from_millis(config.backoff_ms),
                    pause_max: Duration::from_millis(config.backoff_ms_max),
                },
                letters: letters.clone(),
                stages: stages.clone(),
                arbiter: arbiter.handle(),
                metrics: metrics.clone(),
            }))
        };
        let (commands, events) =
            (target(COMMANDS, &config.commands_url), target(EVENTS, &config.events_url));
        let (feeding, writing) = (Room::new(1, 0), Room::new(1, 0));
        if let Some(arbiter) = &arbiter {
            let (seat, store) = (writing.enter(0), dead_letters.save.clone());
            let writer = letters::write_all(written, store, stages.clone());
            arbiter.spawn(async move {
                writer.await;
                drop(seat);
            });
            if let Some(notices) = notices {
                let (target, kinds) = (events.clone(), config.posted_events());
                let (stages, seat) = (stages.clone(), feeding.enter(0));
                let feed = Feed { notices, listener, target, kinds, stages, seat };
                arbiter.spawn(feed.run());
            }
        }
        let inner = Inner { commands, events, dead_letters, stages, feeding, writing, arbiter };
        Ok(Self(Arc::new(inner)))
    }

    /// Whether somebody takes commands.
    pub fn takes_commands(&self) -> bool {
        self.0.commands.is_some()
    }

    /// Posts to `webhooks.commands_url` and waits for what comes back: the JSON of the answer,
    /// or none for an empty one. `body` is an object; its fields stand beside `id`, `kind` and
    /// `at`. The post goes on if nobody waits any more.
    ///
    /// # Errors
    /// Why there is no answer; the post is then a dead letter, except after
    /// [`CallError::NoWebhook`] and [`CallError::BadAnswer`].
    pub async fn call<T: Serialize>(
        &self,
        kind: &str,
        body: &T,
    ) -> Result<Option<Box<RawValue>>, CallError> {
        let target = self.0.commands.as_ref().ok_or(CallError::NoWebhook)?;
        let (id, at) = (Uuid::now_v7(), clock::wall());
        let body = match serde_json::to_string(&Envelope { id, kind, at, body }) {
            Ok(body) => body,
            Err(error) => {
                log::error!("a {kind} cannot be spelled: {error}");
                return Err(CallError::Unavailable);
            }
        };
        let (reply, answer) = oneshot::channel();
        let post = Post { id, kind: kind.to_owned(), body, created_at: at };
        target.submit(post, Some(reply));
        match answer.await {
            Ok(Ok(answer)) => call::data(answer),
            Ok(Err(failure)) => Err(call::error(failure)),
            Err(_) => Err(CallError::Unavailable),
        }
    }

    /// Sends a dead letter again, once, and forgets it if it is taken. Goes on if nobody waits
    /// any more.
    pub async fn replay(&self, letter: DeadLetter) -> Replayed {
        let known = [&self.0.commands, &self.0.events];
        let target = known.into_iter().flatten().find(|target| target.name == letter.target);
        let Some(target) = target.cloned() else {
            return Replayed::Failed(format!("webhooks.{}_url is not set", letter.target));
        };
        let (reply, replayed) = oneshot::channel();
        let store = self.0.dead_letters.clone();
        let arbiter = target.arbiter.clone();
        arbiter.spawn(async move {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(replay(&target, letter, &store).await);
        });
        replayed.await.unwrap_or_else(|_| Replayed::Failed("the hub stopped".to_owned()))
    }

    /// Gives what is under way a second to be taken, makes dead letters of the rest, and stops.
    /// Call it once delivery tells nothing more, and before the store stops.
    pub async fn stop(&self) {
        let Some(arbiter) = &self.0.arbiter else { return };
        for (stage, wait) in [(Stage::Finishing, FINISH_WAIT), (Stage::GivingUp, GIVE_UP_WAIT)] {
            self.0.stages.reach(stage);
            if timeout(wait, self.idle()).await.is_ok() {
                break;
            }
        }
        self.0.stages.reach(Stage::Closed);
        if timeout(CLOSE_WAIT, self.0.writing.emptied()).await.is_err() {
            log::warn!("posts to webhooks may be lost: the store does not take them");
        }
        arbiter.stop();
    }

    async fn idle(&self) {
        self.0.feeding.emptied().await;
        for target in [&self.0.commands, &self.0.events].into_iter().flatten() {
            target.room.emptied().await;
        }
    }
}

async fn replay(target: &Target, letter: DeadLetter, store: &DeadLetterPort) -> Replayed {
    let id = letter.id;
    let DeadLetter { kind, body, created_at, .. } = letter;
    match target.post_once(Post { id, kind, body, created_at }).await {
        None => Replayed::Overloaded,
        Some(Ok(answer)) => {
            let (reply, deleted) = oneshot::channel();
            let asked = store.delete.send(DeleteDeadLetter { id, reply }).await;
            match (asked, deleted.await) {
                (Ok(()), Ok(Ok(_))) => Replayed::Taken(answer.status),
                (Ok(()), Ok(Err(error))) => Replayed::Kept(error),
                (Err(_), _) | (_, Err(_)) => Replayed::Kept(StoreError::Closed),
            }
        }
        Some(Err(Failure { error, .. })) => {
            let fail = FailDeadLetter { id, error: error.clone(), at: clock::wall() };
            if store.fail.send(fail).await.is_err() {
                log::warn!("a failed replay of {id} is not noted: the store is closed");
            }
            Replayed::Failed(error)
        }
    }
}

fn secret(config: &WebhooksConfig) -> Result<Secret, AuthSetupError> {
    match (&config.secret, &config.secret_file) {
        (Some(secret), _) => Secret::new(secret.as_bytes(), "webhooks.secret"),
        (None, Some(path)) => Secret::load(path, "webhooks.secret_file"),
        (None, None) => Err(AuthSetupError::Key {
            setting: "webhooks.secret".to_owned(),
            problem: "(or secret_file) is needed to sign what is posted".to_owned(),
        }),
    }
}
