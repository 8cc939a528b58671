//! The command line: what can be asked of the program, and who answers.

mod credentials;
mod duration;
mod health;
mod logging;
mod migrate;
mod publish;
mod tail;
mod token;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use staffetta::auth::{JwtVerifier, Secret, install_provider};
use staffetta::config::{Config, Settings, Sources};
use staffetta::server::{self, SettingsSource};

/// A self-hosted, reliable, real-time sync hub.
///
/// An application publishes an event once; every device of that user applies it and acknowledges
/// it, or is told to do a full sync. Without a command, the hub is started.
#[derive(Debug, Parser)]
#[command(name = "staffetta", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  staffetta                                            start the hub on 127.0.0.1:3000
  staffetta tail --user alice                          follow alice's events as a device of hers
  staffetta publish alice added '{\"id\":\"photo-1\"}'     publish an event to alice
  staffetta token app --scope publish --ttl 30d        a token for a publisher

Settings come from config.toml (or --config), then STAFFETTA_<SECTION>_<KEY> in the environment,
then flags. STAFFETTA_LOG sets what is logged: error, warn, info, debug, or per module.";

/// Where the help of every command has them.
const SETTINGS: &str = "Settings";

/// Settings; the same for every command.
#[derive(Debug, clap::Args)]
struct SettingsArgs {
    /// The configuration file [default: config.toml, if there is one].
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "FILE", env = "STAFFETTA_CONFIG")]
    config: Option<PathBuf>,
    /// Sets any setting, e.g. --set delivery.ack_wait_ms=1000. May be given many times.
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The address to listen on: server.listen.
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// sqlite://PATH or postgres://…: database.url.
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the hub (the default).
    Serve {
        /// Serves what the test suites of Engine.IO and Socket.IO expect, on a fresh database.
        #[arg(long, hide = true)]
        conformance: bool,
    },
    /// Prints a token signed with the hub's own secret.
    Token(token::TokenArgs),
    /// Publishes an event over HTTP and prints the hub's answer.
    Publish(publish::PublishArgs),
    /// Follows a user's events as one of their devices: prints and acks each.
    Tail(tail::TailArgs),
    /// Brings the database's schema up to date; serve does that by itself.
    Migrate(migrate::MigrateArgs),
    /// Asks the hub that listens at server.listen whether it lives; fails when it does not.
    Health(health::HealthArgs),
    /// Checks the configuration, and prints what is not the default.
    CheckConfig,
}

/// Does what was asked.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    install_provider();
    let settings = args.settings.load()?;
    logging::set(&settings.config.log);
    let config = &settings.config;
    match args.command.unwrap_or(Command::Serve { conformance: false }) {
        Command::Serve { conformance: true } => {
            Ok(actix_web::rt::System::new().block_on(server::run_conformance(settings.config))?)
        }
        Command::Serve { conformance: false } => {
            let api_key = std::env::var("STAFFETTA_API_KEY").ok().filter(|key| !key.is_empty());
            let source = Again(args.settings);
            let served = server::run(settings.config, api_key, Some(Box::new(source)));
            actix_web::rt::System::new().block_on(served)?;
            Ok(())
        }
        Command::Token(token) => token::run(token, config),
        Command::Publish(publish) => publish::run(publish, config),
        Command::Tail(tail) => actix_web::rt::System::new().block_on(tail::run(tail, config)),
        Command::Migrate(migrate) => migrate::run(&migrate, config),
        Command::Health(health) => health::run(&health, config),
        Command::CheckConfig => check_config(&settings),
    }
}

/// The settings, read again from where they came from.
struct Again(SettingsArgs);

impl SettingsSource for Again {
    fn load(&self) -> Result<Config, String> {
        self.0.load().map(|settings| settings.config).map_err(|error| error.to_string())
    }

    fn loaded(&self, config: &Config) {
        logging::set(&config.log);
    }
}

impl SettingsArgs {
    fn load(&self) -> Result<Settings, Box<dyn Error>> {
        let mut flags = Vec::new();
        for set in &self.set {
            let (key, value) = set.split_once('=').ok_or("--set takes KEY=VALUE")?;
            flags.push((key.to_owned(), value.to_owned()));
        }
        for (key, value) in [("server.listen", &self.listen), ("database.url", &self.database_url)]
        {
            flags.extend(value.clone().map(|value| (key.to_owned(), value)));
        }
        let environment = environment()?;
        Ok(Config::load(&Sources { file: self.file()?, environment, flags })?)
    }

    fn file(&self) -> Result<Option<(PathBuf, String)>, String> {
        let path = self.config.clone().unwrap_or_else(|| PathBuf::from("config.toml"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == ErrorKind::NotFound && self.config.is_none() => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

/// The environment. Variables of others may be whatever they like.
fn environment() -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with("STAFFETTA_") => return Err(format!("{name} is not UTF-8")),
            Err(_) => {}
        }
    }
    Ok(variables)
}

fn check_config(settings: &Settings) -> Result<(), Box<dyn Error>> {
    read_files(&settings.config)?;
    let defaults = Config::load(&Sources::default())?;
    for (key, value, origin) in &settings.given {
        print(&format!("{key} = {value}    ({origin})"));
    }
    if settings.config == defaults.config {
        print("everything is at its default");
    }
    print("ok");
    Ok(())
}

/// Reads the files with keys, secrets and certificates as serve does. The hub's own secret may yet be
/// made.
fn read_files(config: &Config) -> Result<(), Box<dyn Error>> {
    let Config { auth, webhooks, .. } = config;
    if !auth.uses_own_secret() || auth.secret_file.exists() {
        JwtVerifier::from_config(auth)?;
    }
    let is_posting = webhooks.commands_url.is_some() || webhooks.events_url.is_some();
    if let Some(path) = webhooks.secret_file.as_ref().filter(|_| is_posting) {
        Secret::load(path, "webhooks.secret_file")?;
    }
    Ok(server::check_tls(config)?)
}

/// Prints a line. A reader that went away (`| head`) ends the program quietly.
fn print(line: &str) {
    let mut out = io::stdout().lock();
    let printed = writeln!(out, "{line}").and_then(|()| out.flush());
    if printed.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

/// Says on standard error what went wrong, or what a person should know.
pub(crate) fn complain(line: &str) {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use staffetta::config::TlsConfig;

    use super::*;

    #[test]
    fn a_number_that_must_not_be_negative_is_refused_by_its_flag() {
        for (flag, words) in [
            ("--ttl-ms", "publish alice added --ttl-ms -5"),
            ("--wait-acked", "publish alice added --wait-acked -5"),
            ("--ack-delay-ms", "tail --user alice --ack-delay-ms -5"),
            ("--count", "tail --user alice --count -5"),
            ("--ttl", "token alice --ttl -5s"),
        ] {
            let args = ["staffetta"].into_iter().chain(words.split(' '));
            let refusal = Args::try_parse_from(args).unwrap_err().to_string();
            let value = words.rsplit(' ').next().unwrap();
            let start = format!("error: invalid value '{value}' for '{flag} <");
            assert!(refusal.starts_with(&start), "{refusal}");
        }
    }

    #[test]
    fn a_file_with_keys_that_cannot_be_read_is_found_before_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.auth.secret_file = folder.path().join("secret");
        read_files(&config).unwrap();
        assert!(!config.auth.secret_file.exists(), "nothing is made");
        config.webhooks.secret_file = Some(folder.path().join("webhooks.secret"));
        read_files(&config).unwrap();
        config.webhooks.events_url = Some("https://h".to_owned());
        let problem = read_files(&config).unwrap_err().to_string();
        assert!(problem.starts_with("webhooks.secret_file: "), "{problem}");
        config.auth.jwks_file = Some(folder.path().join("keys.json"));
        let problem = read_files(&config).unwrap_err().to_string();
        assert!(problem.starts_with("auth.jwks_file: "), "{problem}");
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_found_before_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.auth.secret_file = folder.path().join("secret");
        let file = |name| folder.path().join(name);
        let tls = TlsConfig { cert_file: file("cert.pem"), key_file: file("key.pem") };
        config.server.tls = Some(tls.clone());
        let problem = || read_files(&config).unwrap_err().to_string();
        assert!(problem().starts_with("server.tls.cert_file: "), "{}", problem());
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&tls.cert_file, pair.cert.pem()).unwrap();
        assert!(problem().starts_with("server.tls.key_file: "), "{}", problem());
        let other = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&tls.key_file, other.serialize_pem()).unwrap();
        assert!(problem().starts_with("server.tls: the key does not fit"), "{}", problem());
        std::fs::write(&tls.key_file, pair.signing_key.serialize_pem()).unwrap();
        read_files(&config).unwrap();
    }
}
