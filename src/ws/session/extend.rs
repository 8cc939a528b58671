//! What a connection says to the host's extensions: a task of its own per connection, so that
//! they hear everything in order and nothing waits for them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Standing, WsSession};
use crate::extension::{ClientMessage, Connected, Extensions, Handled};
use crate::host::bounded;
use crate::protocol::{ClientError, Push};
use crate::registry::Worker;

/// What extensions are told of one connection.
enum Told {
    Connected(Connected),
    Message(ClientMessage),
}

/// The way to the extensions. When it is dropped, they are told that the connection is gone.
pub(super) struct ToExtensions(mpsc::Sender<Told>);

impl WsSession {
    /// Tells the extensions who this connection is now.
    pub(super) fn tell_connected(&mut self) {
        let extensions = &self.worker.parts().extensions;
        let Some(user) = self.connection.user().filter(|_| !extensions.is_empty()) else { return };
        let connected = Connected {
            connection: self.connection.id,
            user,
            session: match &self.standing {
                Standing::Reliable(session) => Some(session.clone()),
                Standing::Stranger | Standing::Plain => None,
            },
            dialect: self.connection.dialect.get(),
        };
        if self.connected.as_deref() == Some(&connected) {
            // It only renewed its token.
            return;
        }
        let (worker, extensions) = (self.worker.clone(), extensions.clone());
        let to = self.to_extensions.get_or_insert_with(|| {
            let room = worker.config().limits.commands_in_flight_max.max(1);
            let (to, told) = mpsc::channel(room);
            actix::spawn(run(worker.clone(), extensions, told));
            ToExtensions(to)
        });
        if to.0.try_send(Told::Connected(connected.clone())).is_ok() {
            self.connected = Some(Box::new(connected));
        }
    }

    /// Hands a message of an unknown type to the extensions.
    pub(super) fn extend(&self, kind: String, frame: bytestring::ByteString) {
        let Some(ToExtensions(to)) = &self.to_extensions else {
            self.refuse(ClientError::UnknownType);
            return;
        };
        match to.try_send(Told::Message(ClientMessage { kind, frame })) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.refuse(ClientError::Unavailable);
            }
        }
    }
}

/// Tells the extensions everything, one thing after the other, until the connection is gone.
async fn run(worker: Worker, extensions: Extensions, mut told: mpsc::Receiver<Told>) {
    let wait_max = Duration::from_millis(worker.config().limits.command_timeout_ms);
    let mut connection: Option<Connected> = None;
    while let Some(next) = told.recv().await {
        match (next, &connection) {
            (Told::Connected(connected), _) => {
                bounded("an extension", wait_max, extensions.connected(&connected)).await;
                connection = Some(connected);
            }
            (Told::Message(message), Some(connected)) => {
                let handled =
                    bounded("an extension", wait_max, extensions.message(connected, &message))
                        .await;
                let push = match handled {
                    Some(Handled::Done) => continue,
                    Some(Handled::Reply(text)) => Push::Extension(text),
                    Some(Handled::NotMine) => Push::Error(ClientError::UnknownType),
                    None => Push::Error(ClientError::Unavailable),
                };
                worker.say(connected.connection, &push, &Default::default());
            }
            // The first thing told is always who it is.
            (Told::Message(_), None) => {}
        }
    }
    if let Some(connected) = connection {
        bounded("an extension", wait_max, extensions.disconnected(&connected)).await;
    }
}
