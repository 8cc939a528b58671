//! The hub that the official test suites of Engine.IO 4 and Socket.IO 5 are run against.

use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::socketio::{IoArgs, IoHandlers, IoNamespace, IoSocket};

/// What `auth` comes after the answer to a CONNECT.
const AUTH_PAUSE: Duration = Duration::from_millis(20);

/// Changes the settings as the suites expect them; what is stored goes into `folder`.
pub fn configure(config: &mut Config, folder: &Path) {
    config.database.url = format!("sqlite://{}", folder.join("hub.db").display());
    config.auth.secret_file = folder.join("secret");
    // A client that joins no namespace is closed within their patience.
    config.ws.auth_timeout_ms = 1_000;
    config.socketio.ping_interval_ms = 300;
    config.socketio.ping_timeout_ms = 200;
    config.socketio.max_payload = 1_000_000;
    config.socketio.recovery = false;
    config.server.allowed_origins = vec!["*".to_owned()];
}

/// What the suites expect a host to do.
pub fn handlers(io: IoHandlers) -> IoHandlers {
    io.echo("/engine.io/").namespace("/", echo).namespace("/custom", echo)
}

fn echo(namespace: IoNamespace) -> IoNamespace {
    namespace
        .open()
        .on_connect(|socket: IoSocket, brought: IoArgs| async move {
            // They read one message at a time, and lose the second of two that come as one.
            tokio::time::sleep(AUTH_PAUSE).await;
            emit(&socket, "auth", &brought);
        })
        .on("message", |socket: IoSocket, args: IoArgs| async move {
            emit(&socket, "message-back", &args);
            None
        })
        .on("message-with-ack", |_socket, args: IoArgs| async move { Some(args) })
}

fn emit(socket: &IoSocket, event: &str, args: &IoArgs) {
    if let Err(error) = socket.emit(event, args) {
        log::debug!("{event} did not go out: {error}");
    }
}
