//! `staffetta health`: whether the hub of this configuration lives, for a container's health check.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use staffetta::config::Config;
use ureq::tls::TlsConfig;

use super::print;

/// A hub that takes longer is not well.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// What `health` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Asks whether it is ready for connections and publishes, its database too.
    #[arg(long)]
    ready: bool,
}

/// Asks the hub, and fails when it is not well.
pub(super) fn run(args: &HealthArgs, config: &Config) -> Result<(), Box<dyn Error>> {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let path = if args.ready { "readyz" } else { "healthz" };
    let url = format!("{scheme}://{}/{path}", near(config.server.listen));
    // A certificate is for the hub's name, not for this address; nothing secret is sent.
    let tls = TlsConfig::builder().disable_verification(true).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(ANSWER_WAIT))
        .tls_config(tls)
        .build()
        .into();
    let mut answer = agent.get(&url).call().map_err(|error| format!("{url}: {error}"))?;
    let text = answer.body_mut().read_to_string()?;
    if !answer.status().is_success() {
        return Err(format!("{url} answered {}: {text}", answer.status().as_u16()).into());
    }
    print(&text);
    Ok(())
}

/// Where a hub that listens there is reached from the same machine.
fn near(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_listens_everywhere_is_asked_at_home() {
        for (listen, asked) in [
            ("0.0.0.0:3000", "127.0.0.1:3000"),
            ("[::]:4000", "[::1]:4000"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(near(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
