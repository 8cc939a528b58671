//! The listener, the database, and what publishers may send.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Origins of web pages that may connect, beside the hub's own; `*` is any, without cookies.
    pub allowed_origins: Vec<String>,
    /// How long the head of a request may take to come, in milliseconds.
    pub head_timeout_ms: u64,
    /// How long the body of a request may take to come, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long a connection stays open between two requests, in milliseconds.
    pub keep_alive_ms: u64,
    /// The certificate and key of TLS; none: no TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Proxies that are believed when they say for whom they ask (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            workers: 0,
            connections_max: 25_000,
            drain_ms: 2_000,
            body_bytes_max: 8 * 1024 * 1024,
            allowed_origins: Vec::new(),
            head_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            keep_alive_ms: 75_000,
            tls: None,
            trusted_proxies: Vec::new(),
        }
    }
}

impl ServerConfig {
    /// What is wrong with it: which key, and how.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let is_origin = |origin: &str| {
            origin == "*"
                || origin.split_once("://").is_some_and(|(scheme, host)| {
                    !scheme.is_empty()
                        && !host.is_empty()
                        && host
                            .bytes()
                            .all(|byte| byte.is_ascii_graphic() && !b"/?#*@".contains(&byte))
                })
        };
        let mut problems = Vec::new();
        for origin in self.allowed_origins.iter().filter(|origin| !is_origin(origin)) {
            let problem = format!(
                "{origin:?} must be \"*\", or a scheme and a host only, as https://example.org"
            );
            problems.push(("allowed_origins", problem));
        }
        problems
    }

    /// How many worker threads there are.
    pub fn workers_or_cores(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

/// The files of TLS, as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, and after it those that vouch for it.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Where the log is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite://path` or `postgres://user:password@host/name`. Never logged whole.
    pub url: String,
    /// Connections for reading, besides the one that writes.
    pub readers: u32,
    /// For how long a lock of the database, or a connection of the pool, is waited for, in
    /// milliseconds.
    pub busy_timeout_ms: u64,
    /// What SQLite waits for at each commit.
    pub synchronous: Synchronous,
    /// What waits is committed at once when it is so many events; what came together is never split. Each
    /// 4 KiB of an event's data count as one more, and an event that may be a repetition as four.
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
            group_max: 2_048,
            queue_max: 16_384,
        }
    }
}

/// SQLite's `synchronous` setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// Every commit is on disk before it is answered.
    Full,
    /// A power cut may lose the last commits; a killed process does not.
    Normal,
}

/// What a publisher may send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
