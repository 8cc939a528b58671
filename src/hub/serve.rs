//! A host's server, run until the system wants it to end.

use std::io;

use actix_web::dev::Server;

use super::Hub;

impl Hub {
    /// Runs a server the hub is mounted in until SIGTERM or SIGINT, then tells every connection to
    /// come back later, as [`Hub::shutdown`] does, and ends the server.
    ///
    /// A server that obeys signals itself (without `HttpServer::disable_signals`) also waits for its
    /// other requests.
    ///
    /// # Errors
    /// When the server fails, or signals cannot be had.
    pub async fn serve(&self, server: Server) -> io::Result<()> {
        self.serve_until(server, terminated()).await
    }

    /// The same until `end` says which signal asks for it.
    pub(crate) async fn serve_until(
        &self,
        server: Server,
        end: impl Future<Output = io::Result<&'static str>>,
    ) -> io::Result<()> {
        let handle = server.handle();
        let mut running = actix::spawn(server);
        let signal = tokio::select! {
            ended = &mut running => return ended.map_err(io::Error::other)?,
            signal = end => signal?,
        };
        log::info!("{signal}: no new connections; telling clients to come back");
        // A server that is ending by itself answers `pause` only when its connections are gone.
        let ((), told) = tokio::join!(handle.pause(), self.shutdown());
        log::info!("told {told} connections to come back; floors are written");
        handle.stop(false).await;
        running.await.map_err(io::Error::other)?
    }
}

/// Waits for the signal to end, and names it.
async fn terminated() -> io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
