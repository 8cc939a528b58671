//! Commands for the application's handler: run beside the connection, answered on it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::{Standing, WsSession};
use crate::commands::{ClientCommand, CommandHandler};
use crate::extension::Extensions;
use crate::protocol::{
    Call, ClientError, CommandError, CommandReply, ConnectionId, DEFAULT_ACCOUNT, Push, ReplyTo,
};

impl WsSession {
    /// Starts a command, or says why not. Neither acks nor deliveries wait for it.
    pub(super) fn call(&self, call: Call) {
        let Call { reply_to, name, data } = call;
        let (Standing::Reliable(session), Some(user)) = (&self.standing, self.connection.user())
        else {
            self.refuse_to(ClientError::AuthRequired, &reply_to);
            return;
        };
        let account = reply_to.account.as_deref().unwrap_or(DEFAULT_ACCOUNT).to_owned();
        if !self.accounts.list(Some(&account)) {
            self.refuse_call("account_refused", "Not an account of this token", &reply_to);
            return;
        }
        let parts = self.worker.parts();
        let (extensions, handler) = (parts.extensions.clone(), parts.commands.clone());
        if handler.is_none() && extensions.is_empty() {
            self.refuse_call("unknown_command", "Unknown command", &reply_to);
            return;
        }
        let Some(started) = self.worker.start_command(&self.connection) else {
            self.refuse_call("too_many_commands", "Too many commands at once", &reply_to);
            return;
        };
        let command = ClientCommand { user, session: session.clone(), account, name, data };
        let wait_max = Duration::from_millis(self.worker.config().limits.command_timeout_ms);
        let (worker, connection) = (self.worker.clone(), self.connection.id);
        actix::spawn(async move {
            let result = obey(extensions, handler, command, wait_max, connection).await;
            drop(started);
            worker.say(connection, &Push::Reply(result), &reply_to);
        });
    }

    fn refuse_call(&self, code: &str, message: &str, to: &ReplyTo) {
        self.answer(&Push::Reply(Err(CommandError::new(code, message))), to);
    }
}

/// What the handler says; a handler that panics or takes too long is answered for.
async fn obey(
    extensions: Extensions,
    handler: Option<Arc<dyn CommandHandler>>,
    command: ClientCommand,
    wait_max: Duration,
    connection: ConnectionId,
) -> Result<CommandReply, CommandError> {
    let name = command.name.clone();
    let handling = AssertUnwindSafe(async {
        if let Some(result) = extensions.command(&command).await {
            return result;
        }
        match handler {
            Some(handler) => handler.handle(command).await,
            None => Err(CommandError::new("unknown_command", "Unknown command")),
        }
    })
    .catch_unwind();
    match tokio::time::timeout(wait_max, handling).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            log::error!(connection_id:% = connection; "the handler panicked at the command {name:?}");
            Err(CommandError::new("internal", "The command failed"))
        }
        Err(_) => {
            let ms = wait_max.as_millis();
            log::warn!(connection_id:% = connection; "the command {name:?} took longer than {ms} ms");
            Err(CommandError::new("timeout", "The command took too long"))
        }
    }
}
