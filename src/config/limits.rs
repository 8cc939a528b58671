//! What a client may take, and the clocks of one WebSocket.

use serde::{Deserialize, Serialize};

/// What a client may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// The longest message taken, in bytes; a longer one is answered with an error.
    pub message_bytes_max: usize,
    /// A message longer than this closes the connection (1009), in bytes.
    pub message_bytes_hard_max: usize,
    /// Frames per connection and minute, acks and pings apart.
    pub frames_per_minute_max: u32,
    /// Signals (`note_signal`) per connection and second; they are frames as well.
    pub signals_per_second_max: u32,
    /// Rooms one connection may be in.
    pub rooms_per_connection_max: usize,
    /// Connections of one address at most; 0 is any number.
    pub connections_per_address_max: usize,
    /// Handshakes of one address in a minute at most; 0 is any number.
    pub handshakes_per_minute_max: u32,
    /// Authentications of one user in a minute at most; 0 is any number.
    pub auths_per_minute_max: u32,
    /// Events one caller publishes in a second at most; 0 is any number.
    pub publishes_per_second_max: u32,
    /// Connections of one user.
    pub connections_per_user_max: usize,
    /// Sessions of one user; beyond, the one longest away is forgotten.
    pub sessions_per_user_max: usize,
    /// Bytes queued for one connection at most; beyond, it is closed (4413).
    pub outbox_bytes_max: usize,
    /// Commands of one connection that the application may be at; one more is refused.
    pub commands_in_flight_max: usize,
    /// How long the application may take for a command, in milliseconds.
    pub command_timeout_ms: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            message_bytes_hard_max: 8 * 1024 * 1024,
            frames_per_minute_max: 300,
            signals_per_second_max: 20,
            rooms_per_connection_max: 256,
            connections_per_address_max: 5_000,
            handshakes_per_minute_max: 6_000,
            auths_per_minute_max: 600,
            publishes_per_second_max: 0,
            connections_per_user_max: 20,
            sessions_per_user_max: 100,
            outbox_bytes_max: 1024 * 1024,
            commands_in_flight_max: 16,
            command_timeout_ms: 30_000,
        }
    }
}

/// One WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WsConfig {
    /// `auth` must come within this time, in milliseconds.
    pub auth_timeout_ms: u64,
    /// A ping is sent this often, in milliseconds.
    pub ping_interval_ms: u64,
    /// Pings left unanswered that mean dead.
    pub pings_unanswered_max: u32,
    /// For how long a closed connection may take to go before it is cut, in milliseconds.
    pub close_grace_ms: u64,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            auth_timeout_ms: 30_000,
            ping_interval_ms: 25_000,
            pings_unanswered_max: 2,
            close_grace_ms: 3_000,
        }
    }
}
