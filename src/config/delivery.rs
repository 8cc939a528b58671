//! How events are delivered, and for how long things are kept.

use serde::{Deserialize, Serialize};

/// How events are delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// An unacked event is sent again this long after its last sending, in milliseconds.
    pub ack_wait_ms: u64,
    /// Redeliveries before giving up.
    pub redeliveries_max: u32,
    /// Events in flight per session at most.
    pub in_flight_max: usize,
    /// Bytes in flight per session at most; one event always may.
    pub in_flight_bytes_max: usize,
    /// How often overdue deliveries are looked for, in milliseconds.
    pub tick_ms: u64,
    /// How often changed floors are written, in milliseconds; many in parts, spread over it, so that one
    /// is written after twice this at the latest.
    pub floor_flush_ms: u64,
    /// ReliableDelivery actors, each on a thread of its own; 0 means one per worker, on the worker's
    /// thread where the server is the hub's own.
    pub threads: usize,
    /// Users held in memory per ReliableDelivery, besides those with connections.
    pub users_cached_max: usize,
    /// Events whose trace is remembered, per ReliableDelivery.
    pub traces_max: usize,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            ack_wait_ms: 3_000,
            redeliveries_max: 40,
            in_flight_max: 256,
            in_flight_bytes_max: 512 * 1024,
            tick_ms: 50,
            floor_flush_ms: 500,
            threads: 0,
            users_cached_max: 50_000,
            traces_max: 10_000,
        }
    }
}

/// For how long things are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Events stay in the log this long, in seconds.
    pub events_age_s: u64,
    /// A session may be owed this many events; beyond, it needs a full sync.
    pub owed_events_max: u64,
    /// A session nobody used this long is forgotten, in seconds.
    pub sessions_age_s: u64,
    /// What a deleted note leaves behind is forgotten after this long, in seconds.
    pub tombstones_age_s: u64,
    /// Dead letters stay this long after their last attempt, in seconds.
    pub dead_letters_age_s: u64,
    /// How often the log is pruned, in milliseconds.
    pub prune_interval_ms: u64,
    /// Events pruned in one transaction at most.
    pub prune_step_max: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            events_age_s: 7 * 86_400,
            owed_events_max: 10_000,
            sessions_age_s: 90 * 86_400,
            tombstones_age_s: 90 * 86_400,
            dead_letters_age_s: 30 * 86_400,
            prune_interval_ms: 60_000,
            prune_step_max: 500,
        }
    }
}
