//! What a node of a cluster counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Labels;

/// The counters of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterMetrics {
    slots: Gauge,
    lease_seconds: Gauge<f64, AtomicU64>,
    bus_up: Gauge,
    asks: Gauge,
    counters: Arc<Counters>,
}

/// What is counted where it happens.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) packets_sent: Counter,
    pub(crate) packets_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) messages_lost: Counter,
    pub(crate) gaps: Counter,
    pub(crate) asks_refused: Counter,
    pub(crate) publishes_forwarded: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) handovers: Counter,
}

/// What a node is, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeMeasure {
    /// Slots that are its own.
    pub slots: usize,
    /// Until its lease ends; zero without one.
    pub lease_seconds: f64,
    /// Whether the bus is there.
    pub is_bus_up: bool,
    /// Questions that wait for an answer.
    pub asks: usize,
}

impl ClusterMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = registry.sub_registry_with_prefix("staffetta_cluster");
        let mut ways = |name: &str, help: &str| {
            let family = Family::<Labels, Counter>::default();
            all.register(name, help, family.clone());
            ["sent", "received"]
                .map(|way| family.get_or_create(&[("direction", way.to_owned())]).clone())
        };
        let [packets_sent, packets_received] =
            ways("packets", "Packets for one other node, or announced to all, by direction");
        let [bytes_sent, bytes_received] = ways("bytes", "Bytes of those packets, by direction");
        let [messages_sent, messages_received] =
            ways("messages", "Messages within those packets, by direction");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            all.register(name, help, counter.clone());
            counter
        };
        let counters = Counters {
            packets_sent,
            packets_received,
            bytes_sent,
            bytes_received,
            messages_sent,
            messages_received,
            messages_lost: counter("messages_lost", "Messages that did not fit before the bus"),
            gaps: counter("gaps", "Times that something from another node was missing"),
            asks_refused: counter(
                "asks_refused",
                "Questions to other nodes that had no answer, or could not be asked",
            ),
            publishes_forwarded: counter(
                "publishes_forwarded",
                "Events taken to their users' homes on other nodes",
            ),
            takeovers: counter("takeovers", "Slots taken from nodes whose lease had ended"),
            handovers: counter("handovers", "Slots let go, for other nodes to take"),
        };
        let metrics = Self {
            slots: Gauge::default(),
            lease_seconds: Gauge::default(),
            bus_up: Gauge::default(),
            asks: Gauge::default(),
            counters: Arc::new(counters),
        };
        all.register("slots", "Slots that are this node's", metrics.slots.clone());
        all.register(
            "lease_remaining_seconds",
            "Time until this node's lease ends, unless it is renewed; no lease is zero",
            metrics.lease_seconds.clone(),
        );
        all.register("bus_up", "Whether the bus can be reached: 1 or 0", metrics.bus_up.clone());
        all.register(
            "asks_in_flight",
            "Questions to other nodes that wait for an answer",
            metrics.asks.clone(),
        );
        metrics
    }

    /// What is counted where it happens.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes note of what the node is now.
    pub fn measured(&self, now: NodeMeasure) {
        self.slots.set(now.slots as i64);
        self.lease_seconds.set(now.lease_seconds);
        self.bus_up.set(i64::from(now.is_bus_up));
        self.asks.set(now.asks as i64);
    }
}
