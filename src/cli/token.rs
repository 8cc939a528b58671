//! `staffetta token`.

use std::error::Error;
use std::time::Duration;

use staffetta::auth::Scope;
use staffetta::config::Config;

use super::credentials::{self, NoSecret};
use super::{duration, print};

const EXAMPLES: &str = "Examples:
  staffetta token alice                             a device of alice may connect
  staffetta token app --scope publish --ttl 30d     an application may publish
  staffetta token ops --scope publish --scope admin both";

/// What `token` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TokenArgs {
    /// Who the token speaks for: its `sub`.
    #[arg(value_name = "SUB")]
    user: String,
    /// What it allows besides connecting: publish, admin. May be given many times.
    #[arg(long, value_name = "SCOPE", value_parser = scope)]
    scope: Vec<Scope>,
    /// How long it is good for: 30s, 15m, 24h, 7d; the hub allows `auth.leeway_s` (30 s) more.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration::parse)]
    #[arg(allow_hyphen_values = true)]
    ttl: Duration,
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::from_name(name).ok_or_else(|| "publish and admin are known".to_owned())
}

/// Prints a token.
pub(super) fn run(args: TokenArgs, config: &Config) -> Result<(), Box<dyn Error>> {
    print(&credentials::token(config, &args.user, &args.scope, args.ttl, NoSecret::Make)?);
    Ok(())
}
