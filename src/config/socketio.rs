//! Where Socket.IO is served, to whom, and its clocks.

use serde::{Deserialize, Serialize};

/// Where Socket.IO is served, to whom, and its clocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketioConfig {
    /// The paths it is served at; none switches it off.
    pub paths: Vec<SocketioPath>,
    /// How a client without a good token is refused, on paths that say nothing of it.
    pub reject: Option<Reject>,
    /// Namespaces beside `/`.
    pub namespaces: Vec<String>,
    /// How long after a sign of life a ping is sent, in milliseconds.
    pub ping_interval_ms: u64,
    /// How long its answer may take, in milliseconds.
    pub ping_timeout_ms: u64,
    /// The longest message or request body of a client, in bytes.
    pub max_payload: usize,
    /// Whether clients may recover what they missed: each event then has its place in the log as
    /// one more argument.
    pub recovery: bool,
    /// What `on_server_version` says to a client that joined, as `1.2.3`.
    pub server_version: Option<String>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketioPath {
    /// It begins and ends with a slash.
    pub path: String,
    /// How a client without a good token is refused here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Reject>,
}

/// How a client without a good token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// It is let in, told `error` `unauthorized`, and put out: as Immich's own server does.
    Event,
    /// Its CONNECT is refused.
    ConnectError,
}

impl Default for SocketioConfig {
    fn default() -> Self {
        let at = |path: &str| SocketioPath { path: path.to_owned(), reject: None };
        Self {
            paths: vec![at("/socket.io/"), at("/api/socket.io/")],
            reject: None,
            namespaces: Vec::new(),
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 1_000_000,
            recovery: false,
            server_version: None,
        }
    }
}

impl SocketioConfig {
    /// How a client without a good token is refused at a path. Immich's own clients come by `/api`.
    pub fn reject_at(&self, path: &SocketioPath) -> Reject {
        let default = match path.path.starts_with("/api/") {
            true => Reject::Event,
            false => Reject::ConnectError,
        };
        path.reject.or(self.reject).unwrap_or(default)
    }

    /// The numbers of `server_version`.
    pub fn version(&self) -> Option<[u64; 3]> {
        let mut numbers = self.server_version.as_deref()?.split('.').map(str::parse);
        let version = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
        numbers.next().is_none().then_some(version)
    }

    /// What is wrong with it: which key, and how.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for SocketioPath { path, .. } in &self.paths {
            let is_path = path.len() > 1
                && path.starts_with('/')
                && path.ends_with('/')
                && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}?#*".contains(&byte));
            if !is_path {
                problems.push(("paths", format!("{path:?} must begin and end with a slash")));
            }
        }
        for name in &self.namespaces {
            let is_namespace = name.len() > 1 && name.starts_with('/') && !name.contains(',');
            if !is_namespace {
                problems.push(("namespaces", format!("{name:?} must be a name after a slash")));
            }
        }
        if self.server_version.is_some() && self.version().is_none() {
            problems.push(("server_version", "must be three numbers, as 1.2.3".to_owned()));
        }
        problems
    }
}
