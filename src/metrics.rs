//! What the hub counts, in Prometheus' terms. Cheap to bump: atomics, no look-ups.

mod cluster;
mod times;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde::Serialize;

pub use self::cluster::{ClusterMetrics, NodeMeasure};
use crate::delivery::latency::Latencies;
use crate::delivery::pending::{Counts, Holdings};
use crate::dialect::DialectKind;
use crate::dialect::socketio::Marking;
use crate::protocol::CloseCode;

type Labels = [(&'static str, String); 1];

/// The codes the hub closes with for reasons of its own.
const CLOSE_CODES: [CloseCode; 9] = [
    CloseCode::ProtocolError,
    CloseCode::TooBig,
    CloseCode::Restart,
    CloseCode::AuthFailed,
    CloseCode::Revoked,
    CloseCode::GaveUp,
    CloseCode::Replaced,
    CloseCode::TooSlow,
    CloseCode::LimitExceeded,
];

/// The counters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    published: Counter,
    delivered: Counter,
    redelivered: Counter,
    acked: Counter,
    gave_up: Counter,
    full_syncs_offline: Counter,
    full_syncs_lost: Counter,
    full_syncs_owed: Counter,
    full_syncs_ordered: Counter,
    connections_native: Gauge,
    connections_updates: Gauge,
    connections_socketio: Gauge,
    sessions: Gauge,
    sessions_live: Gauge,
    in_flight: Gauge,
    owed: Gauge,
    outbox_bytes: Gauge,
    refusals: Family<Labels, Counter>,
    closes: Family<Labels, Counter>,
    outbox_overflows: Counter,
    hub_events_lost: Counter,
    webhook_posts: Family<Labels, Counter>,
    pushes: Family<Labels, Counter>,
    groups: Histogram,
    group_seconds: Histogram,
    publish_seconds: Histogram,
    acked_seconds: times::Histogram,
    cluster: Arc<OnceLock<ClusterMetrics>>,
    registry: Arc<Mutex<Registry>>,
}

/// The counters that matter to a console, since the start; connections are those of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is the counter it is named after")]
pub struct Totals {
    pub connections_native: i64,
    pub connections_updates: i64,
    pub connections_socketio: i64,
    pub published: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub acked: u64,
    pub gave_up: u64,
    pub full_syncs: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.connections_native += other.connections_native;
        self.connections_updates += other.connections_updates;
        self.connections_socketio += other.connections_socketio;
        self.published += other.published;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.acked += other.acked;
        self.gave_up += other.gave_up;
        self.full_syncs += other.full_syncs;
    }
}

impl Metrics {
    /// Fresh counters, all zero.
    pub fn new() -> Self {
        let full_syncs = Family::<Labels, Counter>::default();
        let reason =
            |reason: &str| full_syncs.get_or_create(&[("reason", reason.to_owned())]).clone();
        let connections = Family::<Labels, Gauge>::default();
        let speaking = |dialect: DialectKind| {
            connections.get_or_create(&[("dialect", dialect.name().to_owned())]).clone()
        };
        let metrics = Self {
            published: Counter::default(),
            delivered: Counter::default(),
            redelivered: Counter::default(),
            acked: Counter::default(),
            gave_up: Counter::default(),
            full_syncs_offline: reason("offline"),
            full_syncs_lost: reason("connection_lost"),
            full_syncs_owed: reason("too_many_owed"),
            full_syncs_ordered: reason("ordered"),
            connections_native: speaking(DialectKind::Native),
            connections_updates: speaking(DialectKind::Updates),
            connections_socketio: speaking(DialectKind::SocketIo(Marking::Bare)),
            sessions: Gauge::default(),
            sessions_live: Gauge::default(),
            in_flight: Gauge::default(),
            owed: Gauge::default(),
            outbox_bytes: Gauge::default(),
            refusals: Family::default(),
            closes: Family::default(),
            outbox_overflows: Counter::default(),
            hub_events_lost: Counter::default(),
            webhook_posts: Family::default(),
            pushes: Family::default(),
            groups: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            group_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            publish_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            acked_seconds: times::Histogram::default(),
            cluster: Arc::default(),
            registry: Arc::default(),
        };
        metrics.begin_at_zero();
        metrics.register(full_syncs, connections);
        metrics.register_holdings();
        metrics
    }

    /// Shows what did not happen yet as zero, so that its first time is seen as a change.
    fn begin_at_zero(&self) {
        for code in CLOSE_CODES {
            self.closes.get_or_create(&[("code", code.code().to_string())]).inc_by(0);
        }
        for reason in ["origin", "failures", "rate"] {
            self.refusals.get_or_create(&[("reason", reason.to_owned())]).inc_by(0);
        }
        for outcome in ["taken", "failed", "dead", "lost"] {
            self.webhook_posts.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(0);
        }
        for outcome in ["sent", "failed", "gone"] {
            self.pushes.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(0);
        }
    }

    fn register(&self, full_syncs: Family<Labels, Counter>, connections: Family<Labels, Gauge>) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = registry.sub_registry_with_prefix("staffetta");
        let all = &mut all;
        for (name, help, counter) in [
            ("events_published", "Events taken from publishers", &self.published),
            ("deliveries", "Events handed to connections for the first time", &self.delivered),
            ("redeliveries", "Events handed to connections again", &self.redelivered),
            ("acks", "Deliveries settled by an ack", &self.acked),
            ("give_ups", "Sessions given up because they did not ack", &self.gave_up),
            (
                "outbox_overflows",
                "Connections closed with 4413: full outbox, or too much owed",
                &self.outbox_overflows,
            ),
            (
                "hub_events_lost",
                "Events of the hub itself that nobody took in time",
                &self.hub_events_lost,
            ),
        ] {
            all.register(name, help, counter.clone());
        }
        all.register("full_syncs", "Sessions told to do a full sync, by reason", full_syncs);
        all.register("connections", "Live connections, by dialect", connections);
        all.register(
            "webhook_posts",
            "Attempts to post to a webhook, by what came of them",
            self.webhook_posts.clone(),
        );
        let help = "Web pushes to sleeping devices, by what came of them";
        all.register("pushes", help, self.pushes.clone());
        all.register("closes", "Connections closed by the hub, by close code", self.closes.clone());
        all.register("group_commit_events", "Events per transaction", self.groups.clone());
        all.register("group_commit_seconds", "Time a transaction took", self.group_seconds.clone());
        all.register(
            "publish_durable_seconds",
            "Time from taking an event to answering its publisher",
            self.publish_seconds.clone(),
        );
    }

    fn register_holdings(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let all = registry.sub_registry_with_prefix("staffetta");
        all.register("build", "What this hub was built from", Info::new(version));
        for (name, help, gauge) in [
            ("sessions", "Sessions of the users held in memory", &self.sessions),
            ("sessions_live", "Sessions that have a connection", &self.sessions_live),
            ("events_in_flight", "Events sent and not acked yet", &self.in_flight),
            ("events_owed", "Events in logs above the floors of sessions in memory", &self.owed),
        ] {
            all.register(name, help, gauge.clone());
        }
        all.register("outbox_bytes", "Bytes that wait for readers", self.outbox_bytes.clone());
        all.register(
            "handshakes_refused",
            "Handshakes that were not let in, by reason",
            self.refusals.clone(),
        );
        all.register(
            "publish_acked_seconds",
            "Time from taking an event to each ack of it",
            self.acked_seconds.clone(),
        );
    }

    /// Takes note of what one pending-event table holds, in place of what it held before.
    pub fn measured(&self, before: &Holdings, now: &Holdings) {
        for (gauge, before, now) in [
            (&self.sessions, before.sessions, now.sessions),
            (&self.sessions_live, before.sessions_live, now.sessions_live),
            (&self.in_flight, before.in_flight, now.in_flight),
            (&self.owed, before.owed, now.owed),
        ] {
            gauge.inc_by(now as i64 - before as i64);
        }
    }

    /// Takes note of the bytes that wait on one worker, in place of those that did before.
    pub fn outboxes_measured(&self, before: usize, now: usize) {
        self.outbox_bytes.inc_by(now as i64 - before as i64);
    }

    /// Notes a handshake that was not let in: for its `origin`, for `failures` or the `rate` of its
    /// address.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason.to_owned())]).inc();
    }

    /// Adds what a pending-event table counted.
    pub fn count_deliveries(&self, counts: &Counts) {
        self.published.inc_by(counts.published);
        self.delivered.inc_by(counts.delivered);
        self.redelivered.inc_by(counts.redelivered);
        self.acked.inc_by(counts.acked);
        self.gave_up.inc_by(counts.gave_up);
        self.full_syncs_offline.inc_by(counts.full_syncs_offline);
        self.full_syncs_lost.inc_by(counts.full_syncs_lost);
        self.full_syncs_owed.inc_by(counts.full_syncs_owed);
        self.acked_seconds.add(&counts.acked_within);
        self.full_syncs_ordered.inc_by(counts.full_syncs_ordered);
    }

    /// The totals so far.
    pub fn totals(&self) -> Totals {
        let full_syncs = [
            &self.full_syncs_offline,
            &self.full_syncs_lost,
            &self.full_syncs_owed,
            &self.full_syncs_ordered,
        ];
        Totals {
            connections_native: self.connections_native.get(),
            connections_updates: self.connections_updates.get(),
            connections_socketio: self.connections_socketio.get(),
            published: self.published.get(),
            delivered: self.delivered.get(),
            redelivered: self.redelivered.get(),
            acked: self.acked.get(),
            gave_up: self.gave_up.get(),
            full_syncs: full_syncs.iter().map(|counter| counter.get()).sum(),
        }
    }

    /// From publishing to each ack, so far.
    pub fn acked_within(&self) -> Latencies {
        self.acked_seconds.latencies()
    }

    /// Notes a transaction that appended events.
    pub fn group_committed(&self, events: usize, took: Duration) {
        self.groups.observe(events as f64);
        self.group_seconds.observe(took.as_secs_f64());
    }

    /// Notes how long a publisher waited for its event to be durable.
    pub fn publish_answered(&self, took: Duration) {
        self.publish_seconds.observe(took.as_secs_f64());
    }

    /// Notes a new connection.
    pub fn connection_opened(&self, dialect: DialectKind) {
        self.connections(dialect).inc();
    }

    /// Notes the end of a connection.
    pub fn connection_ended(&self, dialect: DialectKind) {
        self.connections(dialect).dec();
    }

    fn connections(&self, dialect: DialectKind) -> &Gauge {
        match dialect {
            DialectKind::Native => &self.connections_native,
            DialectKind::Updates => &self.connections_updates,
            DialectKind::SocketIo(_) => &self.connections_socketio,
        }
    }

    /// Notes that the hub closed a connection.
    pub fn closed(&self, code: CloseCode) {
        if code == CloseCode::TooSlow {
            self.outbox_overflows.inc();
        }
        self.closes.get_or_create(&[("code", code.code().to_string())]).inc();
    }

    /// Notes that an event of the hub itself was not passed on.
    pub fn hub_event_lost(&self) {
        self.hub_events_lost.inc();
    }

    /// Notes what came of an attempt to post to a webhook: `taken`, `failed`, or of the post
    /// itself: `dead`, `lost`.
    pub fn webhook_post(&self, outcome: &'static str) {
        self.webhook_posts.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    /// What is counted among other nodes: shown from the first time this is asked.
    pub fn cluster(&self) -> ClusterMetrics {
        let register = || {
            let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
            ClusterMetrics::register(&mut registry)
        };
        self.cluster.get_or_init(register).clone()
    }

    /// Notes what came of a web push: `sent`, `failed`, or that its device is `gone`.
    pub fn pushed(&self, outcome: &'static str) {
        self.pushes.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    /// Everything as Prometheus text (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
