//! What the program does when the system speaks to it: SIGHUP, SIGTERM, SIGINT.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::tls::{Certificates, Reloaded};
use crate::config::Config;
use crate::hub::Hub;

/// How often the files of TLS are looked at.
const TLS_INTERVAL: Duration = Duration::from_secs(10);

/// Where the settings come from, so that they can be read again.
pub trait SettingsSource {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with them, for people; then nothing changes.
    fn load(&self) -> Result<Config, String>;

    /// Takes note that the hub goes by these settings now.
    fn loaded(&self, config: &Config);
}

/// Does what the signals ask until one asks for the end, and names that one.
pub(super) async fn obeyed(
    hub: &Hub,
    source: Option<&dyn SettingsSource>,
    certificates: Option<&Certificates>,
) -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut look = tokio::time::interval(TLS_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            _ = hangup.recv() => {
                if let Some(source) = source {
                    reload(hub, source);
                }
                reload_tls(certificates);
            }
            _ = look.tick(), if certificates.is_some() => reload_tls(certificates),
        }
    }
}

/// Reads the settings again and says what came of it. Values are never said: some are secrets.
fn reload(hub: &Hub, source: &dyn SettingsSource) {
    let config = match source.load() {
        Ok(config) => config,
        Err(problems) => {
            log::error!("SIGHUP: nothing changes, the settings are not good:\n{problems}");
            return;
        }
    };
    let changes = match hub.reload(&config) {
        Ok(changes) => changes,
        Err(error) => {
            log::error!("SIGHUP: nothing changes: {error}");
            return;
        }
    };
    let said = |names: &[String]| match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    // Before the level changes, so that it is said whatever the new one is.
    log::info!("SIGHUP: changed at once: {}", said(&changes.at_once));
    if !changes.after_restart.is_empty() {
        log::warn!("SIGHUP: after a restart only: {}", said(&changes.after_restart));
    }
    source.loaded(&config);
}

fn reload_tls(certificates: Option<&Certificates>) {
    let Some(certificates) = certificates else { return };
    match certificates.reload() {
        Ok(Reloaded::Changed) => log::info!("TLS: new connections get the new certificate"),
        Ok(Reloaded::Same) => {}
        Err(error) => log::error!("TLS: the certificate in use stays: {error}"),
    }
}
