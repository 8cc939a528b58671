//! Every setting of the hub, one struct per concern, with the defaults of the wire contract.
//!
//! [`Config::load`] reads the file, then the environment, then flags, and lets nothing through
//! that is unknown or out of bounds: the rest of the hub sees only values that passed.

mod auth;
mod changes;
mod cluster;
mod delivery;
mod limits;
mod load;
mod log;
mod notes;
mod pages;
mod push;
mod server;
mod socketio;
mod validate;
mod webhooks;

use serde::{Deserialize, Serialize};

pub use self::auth::{ApiKeyConfig, AuthConfig, KeyAlgorithm, KeyConfig, OnExpiry};
pub use self::changes::Changes;
pub use self::cluster::{ClusterConfig, ClusterDatabase, ClusterMode, ClusterNode, parse_slots};
pub use self::delivery::{DeliveryConfig, RetentionConfig};
pub use self::limits::{LimitsConfig, WsConfig};
pub use self::load::{ConfigError, Origin, Settings, Sources};
pub use self::log::{LogConfig, LogFormat};
pub use self::notes::NotesConfig;
pub use self::pages::{AdminConfig, ConsoleConfig, DemoConfig, PageEnabled};
pub use self::push::PushConfig;
pub use self::server::{DatabaseConfig, PublishConfig, ServerConfig, Synchronous, TlsConfig};
pub use self::socketio::{Reject, SocketioConfig, SocketioPath};
pub use self::webhooks::WebhooksConfig;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The listener.
    pub server: ServerConfig,
    /// What is logged, and how.
    pub log: LogConfig,
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
    /// Where Socket.IO is served, to whom, and its clocks.
    pub socketio: SocketioConfig,
    /// What a publisher may send.
    pub publish: PublishConfig,
    /// What a note may hold and how clients write it.
    pub notes: NotesConfig,
    /// Where commands and the hub's own events are posted to.
    pub webhooks: WebhooksConfig,
    /// How sleeping devices are woken.
    pub push: PushConfig,
    /// The demo.
    pub demo: DemoConfig,
    /// Other nodes.
    pub cluster: ClusterConfig,
    /// The console.
    pub console: ConsoleConfig,
    /// The calls of administrators.
    pub admin: AdminConfig,
}

impl Config {
    /// Whether the console is served.
    pub fn has_console(&self) -> bool {
        self.console.enabled.is_on(self.server.listen.ip().is_loopback())
    }
}
