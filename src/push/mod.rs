//! Web push: devices that sleep are woken when something waits for them.
//!
//! A push carries nothing but "wake". Which device may be due, the store says: something waited, and
//! the device was not woken since it was last seen. Whether it is connected, its ReliableDelivery
//! says. It is noted as woken first and pushed to second, so it is woken at most once until it is back.

mod post;

use std::sync::Arc;
use std::time::Duration;

use actix::{Message, Recipient};
use futures_util::stream::{self, StreamExt};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::post::{Outcome, PushService};
use crate::auth::VapidKey;
use crate::clock;
use crate::config::PushConfig;
use crate::delivery::messages::{DeliveryPorts, ListSessions};
use crate::persistence::messages::{ListPushes, PushChange, PushPort, Sleeper, WritePush};

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
}

impl Waker {
    /// A waker that signs with this key.
    pub(crate) fn new(
        config: &PushConfig,
        key: Arc<VapidKey>,
        pushes: PushPort,
        deliveries: DeliveryPorts,
    ) -> Self {
        let service = PushService::new(key, Duration::from_millis(config.timeout_ms), config.ttl_s);
        Self { config: config.clone(), service: Arc::new(service), pushes, deliveries }
    }

    /// Looks for sleepers for as long as its system runs.
    pub(crate) async fn run(self) {
        let every = Duration::from_millis((self.config.after_ms / 4).clamp(50, 15_000));
        let mut beat = interval(every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.round().await;
        }
    }

    async fn round(&self) {
        let before = clock::wall().minus_ms(self.config.after_ms);
        let list = |reply| ListPushes { before, devices_max: ROUND_MAX, reply };
        let Some(Ok(sleepers)) = ask(&self.pushes.list, list).await else { return };
        stream::iter(sleepers).for_each_concurrent(AT_ONCE, |sleeper| self.wake(sleeper)).await;
    }

    async fn wake(&self, sleeper: Sleeper) {
        let Some(origin) = self.config.origin_of(&sleeper.endpoint) else {
            // Its push service is not one of ours any more.
            self.write(&sleeper, PushChange::Forget).await;
            return;
        };
        let is_due = self.is_asleep(&sleeper).await
            && self.write(&sleeper, PushChange::Woken(Some(clock::wall()))).await;
        if !is_due {
            return;
        }
        let service = Arc::clone(&self.service);
        let endpoint = sleeper.endpoint.clone();
        let post = move || service.wake(&endpoint, &origin, clock::wall());
        let outcome = tokio::task::spawn_blocking(post).await.unwrap_or(Outcome::Failed);
        let session = &sleeper.session;
        match outcome {
            Outcome::Taken => log::debug!("{session:?} is woken"),
            Outcome::Gone => {
                log::info!("{session:?} is not to be woken any more: its push service says so");
                self.write(&sleeper, PushChange::Forget).await;
            }
            Outcome::Failed => {
                log::warn!("{session:?} was not woken: its push service did not take it");
                self.write(&sleeper, PushChange::Woken(None)).await;
            }
        }
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
