//! What a host does with what Socket.IO clients say.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::socket::{IoArgs, IoSocket};
use crate::dialect::socketio::packet::ROOT;

// What a handler does before it first waits is done inside its future too: that may panic.
type OnEvent = Arc<dyn Fn(IoSocket, IoArgs) -> BoxFuture<'static, Option<IoArgs>> + Send + Sync>;
type OnJoin = Arc<dyn Fn(IoSocket, IoArgs) -> BoxFuture<'static, ()> + Send + Sync>;
type OnLeave = Arc<dyn Fn(IoSocket) -> BoxFuture<'static, ()> + Send + Sync>;

/// The handlers of a host, by namespace. They run on the client's worker: they may wait, but must
/// not block, and are given up, where they wait, after `limits.command_timeout_ms`.
#[derive(Clone, Debug, Default)]
pub struct IoHandlers {
    namespaces: HashMap<String, IoNamespace>,
    echoes: Vec<String>,
}

/// The handlers of one namespace.
#[derive(Clone, Default)]
pub struct IoNamespace {
    is_open: bool,
    on_connect: Option<OnJoin>,
    on_disconnect: Option<OnLeave>,
    events: HashMap<String, OnEvent>,
}

impl fmt::Debug for IoNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoNamespace").field("events", &self.events.keys()).finish_non_exhaustive()
    }
}

impl IoHandlers {
    /// With a handler of an event in the namespace `/`; what it returns is the ack, if the client
    /// asked for one.
    #[must_use]
    pub fn on<F, R>(self, event: &str, handler: F) -> Self
    where
        F: Fn(IoSocket, IoArgs) -> R + Send + Sync + 'static,
        R: Future<Output = Option<IoArgs>> + Send + 'static,
    {
        self.namespace(ROOT, |root| root.on(event, handler))
    }

    /// With one more namespace, or more in one that is there. The hub's own events go to `/` only.
    #[must_use]
    pub fn namespace(
        mut self,
        name: &str,
        describe: impl FnOnce(IoNamespace) -> IoNamespace,
    ) -> Self {
        let namespace = self.namespaces.remove(name).unwrap_or_default();
        self.namespaces.insert(name.to_owned(), describe(namespace));
        self
    }

    /// With a path that gives every Engine.IO message back.
    #[doc(hidden)]
    #[must_use]
    pub fn echo(mut self, path: &str) -> Self {
        self.echoes.push(path.to_owned());
        self
    }

    pub(super) fn echoes(&self) -> &[String] {
        &self.echoes
    }

    pub(super) fn of(&self, namespace: &str) -> Option<&IoNamespace> {
        self.namespaces.get(namespace)
    }
}

impl IoNamespace {
    /// Open to all: no token is asked for, and no event of the hub is sent.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// With what is done when a client has joined; the only argument is what its CONNECT brought.
    #[must_use]
    pub fn on_connect<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(IoSocket, IoArgs) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.on_connect = Some(Arc::new(move |socket, args| {
            let handler = Arc::clone(&handler);
            async move { handler(socket, args).await }.boxed()
        }));
        self
    }

    /// With what is done when a client has left.
    #[must_use]
    pub fn on_disconnect<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(IoSocket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.on_disconnect = Some(Arc::new(move |socket| {
            let handler = Arc::clone(&handler);
            async move { handler(socket).await }.boxed()
        }));
        self
    }

    /// With a handler of an event; what it returns is the ack, if the client asked for one.
    #[must_use]
    pub fn on<F, R>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(IoSocket, IoArgs) -> R + Send + Sync + 'static,
        R: Future<Output = Option<IoArgs>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let on_event: OnEvent = Arc::new(move |socket, args| {
            let handler = Arc::clone(&handler);
            async move { handler(socket, args).await }.boxed()
        });
        self.events.insert(event.to_owned(), on_event);
        self
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn connected(
        &self,
        socket: IoSocket,
        args: IoArgs,
    ) -> Option<BoxFuture<'static, ()>> {
        Some(self.on_connect.as_ref()?(socket, args))
    }

    pub(super) fn disconnected(&self, socket: IoSocket) -> Option<BoxFuture<'static, ()>> {
        Some(self.on_disconnect.as_ref()?(socket))
    }

    pub(super) fn event(
        &self,
        name: &str,
        socket: IoSocket,
        args: IoArgs,
    ) -> Option<BoxFuture<'static, Option<IoArgs>>> {
        Some(self.events.get(name)?(socket, args))
    }
}
