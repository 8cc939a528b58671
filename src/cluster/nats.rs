//! NATS as the bus of a cluster.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::bus::{Bus, BusError, Packets, Subject};
use crate::config::ClusterConfig;

/// Nodes of another version of the envelope use other subjects.
const VERSION: &str = "v1";

/// The longest pause between two attempts to connect again.
const RECONNECT_MAX: Duration = Duration::from_millis(500);

/// A connection that does not answer a ping within two of these is dead.
const PING_EVERY: Duration = Duration::from_secs(2);

/// The driver.
pub struct NatsBus {
    client: Client,
    prefix: String,
    is_up: Arc<watch::Sender<bool>>,
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus").finish_non_exhaustive()
    }
}

impl NatsBus {
    /// Sets the bus up; it connects, now or later, by itself.
    ///
    /// # Errors
    /// When the URL cannot be understood.
    pub async fn start(config: &ClusterConfig) -> Result<Self, BusError> {
        let is_up = Arc::new(watch::Sender::new(false));
        let told = Arc::clone(&is_up);
        let options = ConnectOptions::new()
            .name("staffetta")
            .retry_on_initial_connect()
            .ping_interval(PING_EVERY)
            .connection_timeout(Duration::from_secs(2))
            .reconnect_delay_callback(|attempts| {
                let doubled = Duration::from_millis(20 << attempts.min(8));
                doubled.min(RECONNECT_MAX)
            })
            .event_callback(move |event| {
                tell(&told, &event);
                async {}
            });
        let servers: Vec<&str> = config.nats_url.split(',').map(str::trim).collect();
        let client =
            options.connect(servers).await.map_err(|error| BusError::Setup(error.to_string()))?;
        Ok(Self { client, prefix: format!("{}.{VERSION}", config.subject), is_up })
    }

    fn subject(&self, subject: Subject) -> String {
        match subject {
            Subject::Node(node) => format!("{}.node.{}", self.prefix, node.0),
            Subject::All => format!("{}.all", self.prefix),
        }
    }
}

fn tell(is_up: &watch::Sender<bool>, event: &Event) {
    match event {
        Event::Connected => {
            log::info!("NATS is there");
            is_up.send_replace(true);
        }
        Event::Disconnected | Event::Closed => {
            log::warn!("NATS is away");
            is_up.send_replace(false);
        }
        Event::SlowConsumer(_) => log::warn!("this node does not keep up with NATS"),
        Event::ServerError(error) => log::warn!("NATS: {error}"),
        Event::ClientError(error) => log::debug!("NATS: {error}"),
        Event::LameDuckMode | Event::Draining => log::info!("NATS: {event}"),
    }
}

impl Bus for NatsBus {
    fn publish(&self, to: Subject, packet: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        async move {
            // The client would keep it and say it later, when nobody waits for it any more.
            if !*self.is_up.borrow() {
                return Err(BusError::Away);
            }
            let published = self.client.publish(self.subject(to), packet).await;
            published.map_err(|error| {
                log::debug!("NATS took nothing: {error}");
                BusError::Away
            })
        }
        .boxed()
    }

    fn subscribe(&self, subject: Subject) -> BoxFuture<'_, Result<Packets, BusError>> {
        async move {
            let subscribed = self.client.subscribe(self.subject(subject)).await;
            let messages = subscribed.map_err(|error| BusError::Setup(error.to_string()))?;
            Ok(messages.map(|message| message.payload).boxed())
        }
        .boxed()
    }

    fn state(&self) -> watch::Receiver<bool> {
        self.is_up.subscribe()
    }
}
