//! What all workers share of Socket.IO: its paths, its sessions, the host's handlers.

use std::sync::Arc;

use super::directory::Directory;
use super::handlers::{IoHandlers, IoNamespace};
use crate::config::{Config, Reject, SocketioConfig};
use crate::dialect::socketio::packet::ROOT;
use crate::persistence::messages::PersistencePort;

/// One path.
#[derive(Debug)]
pub(super) struct Mount {
    /// With a slash at its end.
    pub(super) path: String,
    /// What is spoken there.
    pub(super) layer: Layer,
}

/// What is spoken over Engine.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Socket.IO.
    SocketIo(Reject),
    /// Every message comes back.
    Echo,
}

/// The state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SocketIoState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    handlers: IoHandlers,
    directory: Directory,
    persistence: PersistencePort,
    mounts: Vec<Mount>,
    closed: IoNamespace,
}

impl SocketIoState {
    /// The state of a hub.
    pub fn new(config: Arc<Config>, handlers: IoHandlers, persistence: PersistencePort) -> Self {
        let settings = &config.socketio;
        let mut mounts: Vec<_> = settings
            .paths
            .iter()
            .map(|path| {
                let layer = Layer::SocketIo(settings.reject_at(path));
                Mount { path: path.path.clone(), layer }
            })
            .collect();
        let echo = |path: &String| Mount { path: path.clone(), layer: Layer::Echo };
        mounts.extend(handlers.echoes().iter().map(echo));
        let (directory, closed) = (Directory::default(), IoNamespace::default());
        Self(Arc::new(Inner { config, handlers, directory, persistence, mounts, closed }))
    }

    pub(super) fn mounts(&self) -> &[Mount] {
        &self.0.mounts
    }

    pub(super) fn layer(&self, mount: usize) -> Layer {
        self.0.mounts.get(mount).map_or(Layer::Echo, |mount| mount.layer)
    }

    pub(super) fn settings(&self) -> &SocketioConfig {
        &self.0.config.socketio
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(super) fn persistence(&self) -> &PersistencePort {
        &self.0.persistence
    }

    /// What a namespace does; none when there is no such namespace.
    pub(super) fn namespace(&self, name: &str) -> Option<&IoNamespace> {
        let is_known = name == ROOT || self.settings().namespaces.iter().any(|known| known == name);
        self.0.handlers.of(name).or(is_known.then_some(&self.0.closed))
    }
}
