//! Every setting of the hub, one struct per concern, with the defaults of the wire contract.
//!
//! Loading (file, then `STAFFETTA_*`, then flags) and validation live beside this file; the rest
//! of the hub sees only values that passed.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The listener.
    pub server: ServerConfig,
    /// Where the log is kept.
    pub database: DatabaseConfig,
    /// Who may connect and publish.
    pub auth: AuthConfig,
    /// How events are delivered.
    pub delivery: DeliveryConfig,
    /// For how long things are kept.
    pub retention: RetentionConfig,
    /// What a client may take.
    pub limits: LimitsConfig,
    /// One WebSocket.
    pub ws: WsConfig,
    /// What a publisher may send.
    pub publish: PublishConfig,
}

/// The listener.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Connections per worker at most.
    pub connections_max: usize,
    /// Over how long SIGTERM spreads the closing of connections, in milliseconds.
    pub drain_ms: u64,
    /// The longest HTTP request body, in bytes.
    pub body_bytes_max: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            workers: 0,
            connections_max: 25_000,
            drain_ms: 2_000,
            body_bytes_max: 8 * 1024 * 1024,
        }
    }
}

impl ServerConfig {
    /// How many worker threads there are.
    pub fn workers_or_cores(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

/// Where the log is kept.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite://path` or `postgres://user:password@host/name`. Never logged whole.
    pub url: String,
    /// Connections for reading, besides the one that writes.
    pub readers: u32,
    /// For how long SQLite waits for a lock, or a pool for a connection, in milliseconds.
    pub busy_timeout_ms: u64,
    /// What SQLite waits for at each commit.
    pub synchronous: Synchronous,
    /// Events per transaction at most.
    pub group_max: usize,
    /// Events waiting to be stored at most; beyond, publishers get 503.
    pub queue_max: usize,
}

impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseConfig").finish_non_exhaustive()
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "sqlite://staffetta.db".to_owned(),
            readers: 4,
            busy_timeout_ms: 5_000,
            synchronous: Synchronous::Full,
            group_max: 256,
            queue_max: 16_384,
        }
    }
}

/// SQLite's `synchronous` setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// Every commit is on disk before it is answered.
    Full,
    /// A power cut may lose the last commits; a killed process does not.
    Normal,
}

/// Who may connect and publish.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The file with the HS256 secret that is made on first start when no key is configured.
    pub secret_file: PathBuf,
    /// The keys tokens are checked with. Empty: the secret file.
    pub keys: Vec<KeyConfig>,
    /// A file with a JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// A URL with a JSON Web Key Set; fetched when needed, at most once a minute.
    pub jwks_url: Option<String>,
    /// What `iss` must be, if set.
    pub issuer: Option<String>,
    /// What `aud` must hold, if set.
    pub audience: Option<String>,
    /// Clock difference allowed at `exp` and `nbf`, in seconds.
    pub leeway_s: u64,
    /// For how long a connection lives after `auth`, in seconds.
    pub connection_max_age_s: u64,
    /// What a token's end does to its connection.
    pub on_expiry: OnExpiry,
    /// Keys of publishers and administrators.
    pub api_keys: Vec<ApiKeyConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            secret_file: PathBuf::from("staffetta.secret"),
            keys: Vec::new(),
            jwks_file: None,
            jwks_url: None,
            issuer: None,
            audience: None,
            leeway_s: 30,
            connection_max_age_s: 86_400,
            on_expiry: OnExpiry::Keep,
            api_keys: Vec::new(),
        }
    }
}

impl AuthConfig {
    /// Whether tokens are checked with the secret the hub makes for itself.
    pub fn uses_own_secret(&self) -> bool {
        self.keys.is_empty() && self.jwks_file.is_none() && self.jwks_url.is_none()
    }
}

/// What a token's end does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// Nothing: the connection lives up to `connection_max_age_s`.
    Keep,
    /// It is closed with 4401 at `exp` plus leeway, unless renewed.
    Close,
}

/// One key tokens are checked with: exactly one of `secret`, `secret_file` and `pem_file`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The only algorithm this key is used for.
    pub algorithm: KeyAlgorithm,
    /// The key id; none matches tokens without `kid`, or any if it is the only key.
    #[serde(default)]
    pub kid: Option<String>,
    /// The HS256 secret itself, at least 32 bytes.
    #[serde(default)]
    pub secret: Option<String>,
    /// A file with the HS256 secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A file with the public key.
    #[serde(default)]
    pub pem_file: Option<PathBuf>,
}

impl std::fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyConfig").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names of RFC 7518 and RFC 8037")]
pub enum KeyAlgorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

/// A publisher's or administrator's key, as its SHA-256.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// Its name in logs.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal characters.
    pub sha256: String,
    /// `publish`, `admin` or both.
    pub scopes: Vec<String>,
}

/// How events are delivered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    /// How often changed floors are written, in milliseconds.
    pub floor_flush_ms: u64,
    /// ReliableDelivery actors, each on a thread of its own; 0 means one per worker.
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Events stay in the log this long, in seconds.
    pub events_age_s: u64,
    /// A session may be owed this many events; beyond, it needs a full sync.
    pub owed_events_max: u64,
    /// A session nobody used this long is forgotten, in seconds.
    pub sessions_age_s: u64,
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
            prune_interval_ms: 60_000,
            prune_step_max: 500,
        }
    }
}

/// What a client may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// The longest message taken, in bytes; a longer one is answered with an error.
    pub message_bytes_max: usize,
    /// A message longer than this closes the connection (1009), in bytes.
    pub message_bytes_hard_max: usize,
    /// Frames per connection and minute, acks and pings apart.
    pub frames_per_minute_max: u32,
    /// Connections of one user.
    pub connections_per_user_max: usize,
    /// Sessions of one user; beyond, the one longest away is forgotten.
    pub sessions_per_user_max: usize,
    /// Bytes queued for one connection at most; beyond, it is closed (4413).
    pub outbox_bytes_max: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            message_bytes_hard_max: 8 * 1024 * 1024,
            frames_per_minute_max: 300,
            connections_per_user_max: 20,
            sessions_per_user_max: 100,
            outbox_bytes_max: 1024 * 1024,
        }
    }
}

/// One WebSocket.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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

/// What a publisher may send.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// Bytes of `data` and `args` of one event at most.
    pub data_bytes_max: usize,
    /// Events in one batch at most.
    pub batch_events_max: usize,
    /// The longest `timeout_ms` of `wait=acked`.
    pub wait_ms_max: u64,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self { data_bytes_max: 1024 * 1024, batch_events_max: 1_000, wait_ms_max: 60_000 }
    }
}
