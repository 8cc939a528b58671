//! What a host adds to the hub: message types and commands of its own, and its say in who may
//! join and publish.

use std::sync::Arc;

use bytestring::ByteString;
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::auth::{Authorize, Caller, Identity};
use crate::commands::{ClientCommand, CommandError, CommandReply};
use crate::dialect::DialectKind;
use crate::protocol::{ConnectionId, NewEvent, NoteId, SessionId, UserId};

/// An extension. What it does not implement it leaves to the next one, or to the hub.
///
/// It runs on the connection's worker: it may wait, but must not block. What it is told of one
/// connection comes in order, one thing at a time; neither acks nor deliveries wait for it. It is
/// given up, where it waits, after `limits.command_timeout_ms`.
pub trait Extension: Send + Sync + 'static {
    /// A connection was authenticated, or got another session.
    fn on_connect<'a>(&'a self, connection: &'a Connected) -> BoxFuture<'a, ()> {
        let _ = connection;
        ready(()).boxed()
    }

    /// A client of `/ws` said something the hub does not know.
    fn on_message<'a>(
        &'a self,
        connection: &'a Connected,
        message: &'a ClientMessage,
    ) -> BoxFuture<'a, Handled> {
        let _ = (connection, message);
        ready(Handled::NotMine).boxed()
    }

    /// A client of `/updates` asks for something the hub does not know; none leaves it to the
    /// next extension, and then to the [`CommandHandler`](crate::commands::CommandHandler).
    /// Commands of one connection run side by side.
    fn on_command<'a>(
        &'a self,
        command: &'a ClientCommand,
    ) -> BoxFuture<'a, Option<Result<CommandReply, CommandError>>> {
        let _ = command;
        ready(None).boxed()
    }

    /// An authenticated connection is gone.
    fn on_disconnect<'a>(&'a self, connection: &'a Connected) -> BoxFuture<'a, ()> {
        let _ = connection;
        ready(()).boxed()
    }

    /// Whether a user who may see a note may join its room.
    fn authorize_join<'a>(&'a self, user: &'a UserId, note: &'a NoteId) -> BoxFuture<'a, bool> {
        let _ = (user, note);
        ready(true).boxed()
    }

    /// Whether a caller of the HTTP API may publish an event; `user` is none for a broadcast.
    fn authorize_publish<'a>(
        &'a self,
        caller: &'a Caller,
        user: Option<&'a UserId>,
        event: &'a NewEvent,
    ) -> BoxFuture<'a, bool> {
        let _ = (caller, user, event);
        ready(true).boxed()
    }
}

/// An authenticated connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub user: UserId,
    /// Its session; none for a plain connection.
    pub session: Option<SessionId>,
    /// How it spells.
    pub dialect: DialectKind,
}

/// Something a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessage {
    /// Its `type`.
    pub kind: String,
    /// The whole frame, a JSON object as received.
    pub frame: ByteString,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// This extension does not know it.
    NotMine,
    /// It is done, and there is nothing to say.
    Done,
    /// It is done, and this is said to the connection: the text of one JSON object.
    Reply(ByteString),
}

/// The extensions of a hub, in the order they were added. Cheap to clone.
#[derive(Clone, Default)]
pub struct Extensions(Arc<[Arc<dyn Extension>]>);

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Extensions").field(&self.0.len()).finish()
    }
}

impl Extensions {
    /// These extensions.
    pub fn new(extensions: Vec<Arc<dyn Extension>>) -> Self {
        Self(extensions.into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all of a new connection.
    pub(crate) async fn connected(&self, connection: &Connected) {
        for extension in self.0.iter() {
            extension.on_connect(connection).await;
        }
    }

    /// Tells all that a connection is gone.
    pub(crate) async fn disconnected(&self, connection: &Connected) {
        for extension in self.0.iter() {
            extension.on_disconnect(connection).await;
        }
    }

    /// Lets the first that knows a message handle it.
    pub(crate) async fn message(&self, connection: &Connected, message: &ClientMessage) -> Handled {
        for extension in self.0.iter() {
            match extension.on_message(connection, message).await {
                Handled::NotMine => {}
                handled @ (Handled::Done | Handled::Reply(_)) => return handled,
            }
        }
        Handled::NotMine
    }

    /// Lets the first that knows a command obey it.
    pub(crate) async fn command(
        &self,
        command: &ClientCommand,
    ) -> Option<Result<CommandReply, CommandError>> {
        for extension in self.0.iter() {
            if let Some(result) = extension.on_command(command).await {
                return Some(result);
            }
        }
        None
    }

    /// Whether all let a user join a room.
    pub(crate) async fn let_join(&self, user: &UserId, note: &NoteId) -> bool {
        for extension in self.0.iter() {
            if !extension.authorize_join(user, note).await {
                return false;
            }
        }
        true
    }
}

/// The host's say together with that of its extensions.
pub(crate) struct Everybody {
    pub(crate) host: Arc<dyn Authorize>,
    pub(crate) extensions: Extensions,
}

impl Authorize for Everybody {
    fn connect<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, bool> {
        self.host.connect(identity)
    }

    fn publish<'a>(
        &'a self,
        caller: &'a Caller,
        user: Option<&'a UserId>,
        event: &'a NewEvent,
    ) -> BoxFuture<'a, bool> {
        if self.extensions.0.is_empty() {
            return self.host.publish(caller, user, event);
        }
        async move {
            for extension in self.extensions.0.iter() {
                if !extension.authorize_publish(caller, user, event).await {
                    return false;
                }
            }
            self.host.publish(caller, user, event).await
        }
        .boxed()
    }
}
