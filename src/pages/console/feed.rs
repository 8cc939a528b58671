//! What the hub counts, told each second to the consoles that are open, and to nobody else.
//!
//! An ephemeral event of the console's own user, whom no token speaks for. While no console is
//! open, nothing is counted and nothing is sent.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::auth::CONSOLE_USER;
use crate::clock;
use crate::cluster::{ClusterFigures, NodeFigures};
use crate::delivery::latency::Latencies;
use crate::delivery::messages::Census;
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
    /// Each node that answered, where there are several; the totals are theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeFigures>,
    /// How many nodes there are.
    nodes_known: usize,
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

/// What is counted, on however many nodes.
struct Figures {
    totals: Totals,
    census: Census,
    nodes: Vec<NodeFigures>,
    nodes_known: usize,
}

async fn figures(hub: &Hub) -> Figures {
    let Some(cluster) = hub.cluster() else {
        let (totals, census) = (hub.metrics().totals(), hub.deliveries().census().await);
        return Figures { totals, census, nodes: Vec::new(), nodes_known: 1 };
    };
    let ClusterFigures { nodes, known } = cluster.figures().await;
    let (mut totals, mut census) = (Totals::default(), Census::default());
    for node in &nodes {
        totals += node.totals;
        census += node.census;
    }
    Figures { totals, census, nodes, nodes_known: known }
}

/// Tells the figures once; says how many heard them.
async fn tell(hub: &Hub, user: &UserId, own: &mut Own, before: &mut Latencies) -> u32 {
    let acked = hub.metrics().acked_within();
    let since = acked.since(before);
    *before = acked;
    let Figures { mut totals, census, nodes, nodes_known } = figures(hub).await;
    totals.published = totals.published.saturating_sub(own.published);
    totals.delivered = totals.delivered.saturating_sub(own.delivered);
    let stats = Stats {
        at: clock::wall(),
        version: env!("CARGO_PKG_VERSION"),
        totals,
        census,
        acked_p50_ms: since.quantile(0.5),
        acked_p99_ms: since.quantile(0.99),
        nodes,
        nodes_known,
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
