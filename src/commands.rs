//! Commands of the application: what `/updates` clients ask that the hub itself does not know.

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

pub use crate::protocol::{CommandError, CommandReply};
use crate::protocol::{SessionId, UserId};

/// Obeys commands. It runs on the connection's worker: it may wait, but must not block.
pub trait CommandHandler: Send + Sync + 'static {
    /// Obeys one command; commands of one connection run side by side. It is given up, where it
    /// waits, after `limits.command_timeout_ms`; the end of its connection does not stop it.
    ///
    /// # Errors
    /// What the client is told.
    fn handle<'a>(
        &'a self,
        command: ClientCommand,
    ) -> BoxFuture<'a, Result<CommandReply, CommandError>>;
}

/// One command of an authenticated connection.
#[derive(Clone, Debug)]
pub struct ClientCommand {
    /// Who asks.
    pub user: UserId,
    /// On which of the user's devices.
    pub session: SessionId,
    /// In which account; one the token may use.
    pub account: String,
    /// What it asks for.
    pub name: String,
    /// Its data, as JSON text; none for null.
    pub data: Option<Box<RawValue>>,
}
