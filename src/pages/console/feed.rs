//! What the hub counts, told each second to the consoles that are open, and to nobody else.
//!
//! An ephemeral event of the console's own user, whom no token speaks for. While no console is
//! open, nothing is counted and nothing is sent.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use crate::auth::CONSOLE_USER;
use crate::clock;
use crate::delivery::latency::Latencies;
use crate::delivery::messages::{Census, TakeCensus};
use crate::hub::Hub;
use crate::metrics::Totals;
use crate::protocol::{NewEvent, Timestamp, UserId};

/// The type of the event.
const KIND: &str = "console_stats";

const EVERY: Duration = Duration::from_secs(1);

/// Beats that nobody heard before it rests until the next ticket is used.
const UNHEARD_MAX: u32 = 10;

/// What is told.
#[derive(Debug, Serialize)]
struct Stats {
    at: Timestamp,
    version: &'static str,
    #[serde(flatten)]
    totals: Totals,
    #[serde(flatten)]
    census: Census,
    /// Half of the acks since the last beat came within this time, in milliseconds.
    acked_p50_ms: Option<u64>,
    /// Of a hundred of them, 99.
    acked_p99_ms: Option<u64>,
}

/// What the feed itself adds to what is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    published: u64,
    delivered: u64,
}

/// Tells the figures while somebody listens; ends with the system it runs in.
pub(super) async fn run(hub: Hub) {
    let Ok(user) = UserId::new(CONSOLE_USER) else { return };
    let mut own = Own::default();
    loop {
        hub.tickets().redeemed().await;
        let mut unheard = 0;
        let mut before = hub.metrics().acked_within();
        let mut beat = interval(EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while unheard < UNHEARD_MAX {
            beat.tick().await;
            match tell(&hub, &user, &mut own, &mut before).await {
                0 => unheard += 1,
                _ => unheard = 0,
            }
        }
    }
}

/// Tells the figures once; says how many heard them.
async fn tell(hub: &Hub, user: &UserId, own: &mut Own, before: &mut Latencies) -> u32 {
    let acked = hub.metrics().acked_within();
    let since = acked.since(before);
    *before = acked;
    let mut totals = hub.metrics().totals();
    totals.published = totals.published.saturating_sub(own.published);
    totals.delivered = totals.delivered.saturating_sub(own.delivered);
    let stats = Stats {
        at: clock::wall(),
        version: env!("CARGO_PKG_VERSION"),
        totals,
        census: census(hub).await,
        acked_p50_ms: since.quantile(0.5),
        acked_p99_ms: since.quantile(0.99),
    };
    let Ok(event) = NewEvent::new(KIND).data(&stats) else { return 0 };
    match hub.publish(user, event.ephemeral()).await {
        Ok(receipt) => {
            own.published += 1;
            own.delivered += u64::from(receipt.live);
            receipt.live
        }
        Err(error) => {
            log::debug!("the consoles are told nothing: {error}");
            0
        }
    }
}

async fn census(hub: &Hub) -> Census {
    let mut census = Census::default();
    for port in hub.deliveries().all() {
        let (reply, answer) = oneshot::channel();
        if port.watch.census.send(TakeCensus(reply)).await.is_err() {
            continue;
        }
        if let Ok(part) = answer.await {
            census += part;
        }
    }
    census
}
