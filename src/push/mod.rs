//! Web push: devices that sleep are woken when something waits for them.
//!
//! A push carries nothing but "wake". Which device may be due, the store says: something waited, and
//! the device was not woken since it was last seen. Whether it is connected, its ReliableDelivery
//! says. It is noted as woken first and pushed to second, so it is woken at most once until it is back.
//! A push service that is overloaded or away is left alone for as long as it asks, or for longer and
//! longer.

mod pauses;
mod post;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Message, Recipient};
use futures_util::stream::{self, StreamExt};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::pauses::Pauses;
use self::post::{Outcome, PushService};
use crate::auth::VapidKey;
use crate::clock;
use crate::config::PushConfig;
use crate::delivery::messages::{DeliveryPorts, ListSessions};
use crate::metrics::Metrics;
use crate::persistence::messages::{ListPushes, PushChange, PushPort, Sleeper, WritePush};
use crate::protocol::SessionId;

/// Devices looked at in one round, and pushed to at once.
const ROUND_MAX: usize = 256;
const AT_ONCE: usize = 8;

/// How long an actor may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// What waking is made of.
pub(crate) struct Waker {
    config: PushConfig,
    service: Arc<PushService>,
    pushes: PushPort,
    deliveries: DeliveryPorts,
    metrics: Metrics,
    pauses: Mutex<Pauses>,
}

impl Waker {
    /// A waker that signs with this key.
    pub(crate) fn new(
        config: &PushConfig,
        key: Arc<VapidKey>,
        pushes: PushPort,
        deliveries: DeliveryPorts,
        metrics: Metrics,
    ) -> Self {
        let service = PushService::new(key, Duration::from_millis(config.timeout_ms), config.ttl_s);
        let (config, service, pauses) = (config.clone(), Arc::new(service), Mutex::default());
        Self { config, service, pushes, deliveries, metrics, pauses }
    }

    /// Looks for sleepers for as long as its system runs.
    pub(crate) async fn run(self) {
        let every = Duration::from_millis((self.config.after_ms / 4).clamp(50, 15_000));
        let mut beat = interval(every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut after = None;
        loop {
            beat.tick().await;
            after = self.round(after).await;
        }
    }

    /// Looks at those that come after a session, and says after which the next round goes on: those
    /// that cannot be woken now do not stand in the way of others.
    async fn round(&self, after: Option<SessionId>) -> Option<SessionId> {
        let before = clock::wall().minus_ms(self.config.after_ms);
        let list = |reply| ListPushes { before, after, devices_max: ROUND_MAX, reply };
        let sleepers = ask(&self.pushes.list, list).await?.ok()?;
        let last = sleepers.last().filter(|_| sleepers.len() >= ROUND_MAX);
        let last = last.map(|sleeper| sleeper.session.clone());
        stream::iter(sleepers).for_each_concurrent(AT_ONCE, |sleeper| self.wake(sleeper)).await;
        last
    }

    async fn wake(&self, sleeper: Sleeper) {
        let Some(origin) = self.config.origin_of(&sleeper.endpoint) else {
            // Its push service is not one of ours any more.
            self.write(&sleeper, PushChange::Forget).await;
            return;
        };
        let now = clock::now();
        if [&origin, &sleeper.endpoint].iter().any(|whom| self.pauses().is_paused(whom, now)) {
            return;
        }
        let is_due = self.is_asleep(&sleeper).await
            && self.write(&sleeper, PushChange::Woken(Some(clock::wall()))).await;
        if !is_due {
            return;
        }
        let service = Arc::clone(&self.service);
        let endpoint = sleeper.endpoint.clone();
        let of = origin.clone();
        let post = move || service.wake(&endpoint, &of, clock::wall());
        let outcome = tokio::task::spawn_blocking(post).await.unwrap_or(Outcome::Refused);
        let session = &sleeper.session;
        match outcome {
            Outcome::Taken => {
                self.metrics.pushed("sent");
                self.pauses().succeeded(&origin);
                self.pauses().succeeded(&sleeper.endpoint);
                log::debug!("{session:?} is woken");
            }
            Outcome::Gone => {
                self.metrics.pushed("gone");
                log::info!("{session:?} is not to be woken any more: its push service says so");
                self.write(&sleeper, PushChange::Forget).await;
            }
            Outcome::Away(asked) => {
                self.metrics.pushed("failed");
                self.pauses().failed(&origin, asked, clock::now());
                log::warn!("{session:?} was not woken: {origin} is overloaded or away");
                self.write(&sleeper, PushChange::Woken(None)).await;
            }
            Outcome::Refused => {
                self.metrics.pushed("failed");
                self.pauses().failed(&sleeper.endpoint, None, clock::now());
                log::warn!("{session:?} was not woken: its push service did not take it");
                self.write(&sleeper, PushChange::Woken(None)).await;
            }
        }
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is owed something, or a full sync, and has no connection.
    async fn is_asleep(&self, sleeper: &Sleeper) -> bool {
        let port = &self.deliveries.of(&sleeper.user).list_sessions;
        let list = |reply| ListSessions { user: sleeper.user.clone(), reply };
        let Some(Some(sessions)) = ask(port, list).await else { return false };
        sessions.iter().any(|status| {
            status.session.as_ref() == Some(&sleeper.session)
                && status.connection.is_none()
                && (status.need_full_sync || status.pending > 0)
        })
    }

    /// Writes a change; says whether the device is still known and that is durable.
    async fn write(&self, sleeper: &Sleeper, change: PushChange) -> bool {
        let (user, session) = (sleeper.user.clone(), sleeper.session.clone());
        let write = |reply| WritePush { user, session, change, reply };
        matches!(ask(&self.pushes.write, write).await, Some(Ok(true)))
    }
}

async fn ask<M, T>(actor: &Recipient<M>, message: impl FnOnce(oneshot::Sender<T>) -> M) -> Option<T>
where
    M: Message<Result = ()> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let asked = async {
        actor.send(message(reply)).await.ok()?;
        answer.await.ok()
    };
    timeout(ANSWER_WAIT_MAX, asked).await.ok()?
}
