//! The hub as a program of its own: one listener, one address, its own signals.

mod signals;
mod sockets;
mod tls;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::rt::time::sleep;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::conformance;
use crate::hub::{Hub, HubBuilder, HubError};
use crate::pages::{Console, Demo};
use crate::ws;

pub use self::signals::SettingsSource;
use self::tls::Certificates;
pub use self::tls::TlsError;

const ADDRESS_WAITS: u32 = 40;
const ADDRESS_WAIT: Duration = Duration::from_millis(50);

/// Why the server did not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The hub did not start.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The address cannot be had.
    #[error("cannot listen on {address} (server.listen, --listen): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server failed.
    #[error("the server failed: {0}")]
    Server(#[from] io::Error),
}

/// Reads the certificate and the key of TLS, where there are any, as the server does.
///
/// # Errors
/// When one cannot be read, or they do not belong together.
pub fn check_tls(config: &Config) -> Result<(), TlsError> {
    certificates(config).map(drop)
}

fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, TlsError> {
    config.server.tls.as_ref().map(Certificates::load).transpose()
}

/// Runs the hub that the test suites of Socket.IO are run against.
///
/// # Errors
/// As [`run`].
#[doc(hidden)]
pub async fn run_conformance(mut config: Config) -> Result<(), ServeError> {
    let folder = std::env::temp_dir().join(format!("staffetta-conformance-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    conformance::configure(&mut config, &folder);
    let builder = Hub::builder().config(config.clone()).socketio(conformance::handlers);
    let served = serve(builder, config, None).await;
    // What is left there is for the system to clear.
    let _ = std::fs::remove_dir_all(folder);
    served
}

/// Runs the hub until SIGTERM or SIGINT, then tells every connection to come back later and
/// ends within five seconds. On SIGHUP the settings are read again from `source`, if there is one,
/// and the certificate of TLS from its files.
///
/// # Errors
/// When the hub cannot start or its address cannot be had.
pub async fn run(
    config: Config,
    api_key: Option<String>,
    source: Option<Box<dyn SettingsSource>>,
) -> Result<(), ServeError> {
    let mut builder = Hub::builder().config(config.clone());
    if let Some(key) = api_key {
        builder = builder.api_key(key);
    }
    serve(builder, config, source).await
}

/// Serves a hub, and its demo if the configuration wants one, on a listener of its own, without TLS.
///
/// # Errors
/// When the listener cannot be used.
#[doc(hidden)]
pub fn serve_on(listener: TcpListener, hub: &Hub, config: &Config) -> io::Result<Server> {
    let (mounted, pages) = (hub.clone(), pages(hub, config));
    let app = move || App::new().configure(mounted.routes()).configure(pages.clone());
    sockets::serve(listener, &config.server, app)
}

/// The same over TLS. What is upgraded stays with actix-http, which speaks TLS for it.
fn serve_tls(
    listener: TcpListener,
    hub: &Hub,
    config: &Config,
    certificates: &Arc<Certificates>,
) -> Result<Server, ServeError> {
    let (mounted, pages) = (hub.clone(), pages(hub, config));
    let settings = &config.server;
    let server =
        HttpServer::new(move || App::new().configure(mounted.routes()).configure(pages.clone()))
            .workers(settings.workers_or_cores())
            .max_connections(settings.connections_max)
            .client_request_timeout(Duration::from_millis(settings.head_timeout_ms))
            .keep_alive(Duration::from_millis(settings.keep_alive_ms))
            .shutdown_timeout(1)
            .on_connect(ws::on_connect)
            .disable_signals()
            .listen_rustls_0_23(listener, certificates.server_config()?)?;
    Ok(server.run())
}

/// What the program serves beside the hub.
fn pages(hub: &Hub, config: &Config) -> impl Fn(&mut ServiceConfig) + Clone + Send + use<> {
    let demo = Demo::of(hub, config);
    let console = Console::of(hub, config);
    if let Some(console) = &console {
        console.start();
    }
    let has_console = console.is_some();
    move |services: &mut ServiceConfig| {
        if let Some(demo) = &demo {
            demo.configure(services);
        }
        if has_console {
            Console::configure(services);
        }
    }
}

/// Takes an address. One that somebody listens on is waited for as long as a database is: a hub may just
/// be ending.
async fn bind(address: SocketAddr) -> io::Result<sockets::Bound> {
    for _ in 0..ADDRESS_WAITS {
        match sockets::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(ADDRESS_WAIT).await,
            done => return done,
        }
    }
    sockets::bind(address)
}

async fn serve(
    builder: HubBuilder,
    config: Config,
    source: Option<Box<dyn SettingsSource>>,
) -> Result<(), ServeError> {
    let listen = config.server.listen;
    raise_open_files();
    let certificates = certificates(&config)?;
    let refused = |source| ServeError::Listen { address: listen, source };
    // Before anything is made or migrated.
    let bound = bind(listen).await.map_err(refused)?;
    let hub = builder.on_workers().start().await?;
    let listener = bound.listen().map_err(refused)?;
    let address = listener.local_addr()?;
    let server = match &certificates {
        Some(certificates) => serve_tls(listener, &hub, &config, certificates)?,
        None => serve_on(listener, &hub, &config)?,
    };
    greet(address, &config)?;
    log::info!("listening on {address} with {} workers", config.server.workers_or_cores());
    let obeyed = signals::obeyed(&hub, source.as_deref(), certificates.as_deref());
    Ok(hub.serve_until(server, obeyed).await?)
}

/// Takes as many open files as this process may have: a connection takes two, its socket and the
/// second handle by which a stuck one is ended.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => log::debug!("open files: {:?}", limit.maximum),
        Err(error) => log::warn!("open files stay at {:?}: {error}", limit.current),
    }
}

/// The program with what its other commands need to find this hub and its secret: of the flags
/// it was called with, those that say so and are no secret themselves.
fn as_called(args: impl IntoIterator<Item = String>, address: SocketAddr) -> String {
    let mut args = args.into_iter();
    let mut called = args.next().unwrap_or_else(|| "staffetta".to_owned());
    while let Some(arg) = args.next() {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let value = match flag.as_str() {
            "--config" | "--listen" | "--set" => value.or_else(|| args.next()),
            _ => continue,
        };
        let value = match (flag.as_str(), value.unwrap_or_default()) {
            ("--listen", _) => address.to_string(),
            ("--set", set) if set.starts_with("server.listen=") => {
                format!("server.listen={address}")
            }
            ("--set", set) if !set.starts_with("auth.secret_file=") => continue,
            (_, value) => value,
        };
        called.push_str(&format!(" {flag} {}", quoted(&value)));
    }
    called
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Says on standard output where the hub is and what to do next, as it was itself called.
fn greet(address: SocketAddr, config: &Config) -> io::Result<()> {
    let program = as_called(std::env::args(), address);
    let mut out = io::stdout().lock();
    let (http, ws) = if config.server.tls.is_some() { ("https", "wss") } else { ("http", "ws") };
    writeln!(out, "Staffetta {} listens on {http}://{address}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  WebSocket    {ws}://{address}/ws")?;
    if config.auth.uses_own_secret() {
        writeln!(out, "  a token      {program} token alice")?;
    }
    writeln!(out, "  follow       {program} tail --user alice")?;
    writeln!(out, "  publish      {program} publish alice added '{{\"id\":\"photo-1\"}}'")?;
    if config.demo.enabled.is_on(address.ip().is_loopback() && config.auth.uses_own_secret()) {
        writeln!(out, "  demo         {http}://{address}/demo")?;
    }
    if config.console.enabled.is_on(address.ip().is_loopback()) {
        writeln!(out, "  console      {http}://{address}/console")?;
    }
    writeln!(out, "  HTTP API     {http}://{address}/api/v1/openapi.json")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_it_names_find_the_hub_as_it_was_called() {
        let address: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let called = |line: &str| as_called(line.split(' ').map(str::to_owned), address);
        assert_eq!(called("staffetta serve"), "staffetta");
        assert_eq!(
            called("./staffetta --listen 127.0.0.1:0 --config=a'b.toml serve"),
            r"./staffetta --listen 127.0.0.1:4000 --config 'a'\''b.toml'"
        );
        assert_eq!(
            called("s --set auth.keys=x --set server.listen=[::]:0 --set auth.secret_file=k"),
            "s --set server.listen=127.0.0.1:4000 --set auth.secret_file=k"
        );
        assert_eq!(
            called("s --database-url postgres://u:p@h/d --listen"),
            "s --listen 127.0.0.1:4000"
        );
    }
}
