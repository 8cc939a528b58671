//! `staffetta migrate`: the schema up to date, or back to nothing.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};

use staffetta::config::Config;
use staffetta::persistence::{migrate, migrate_down};

use super::print;

/// What `migrate` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// Takes the schema back to nothing instead, with everything in it.
    #[arg(long)]
    down: bool,
    /// With --down: does not ask whether everything may go. Needed where nobody can be asked.
    #[arg(long, requires = "down")]
    yes: bool,
}

/// Migrates, and prints what was done.
pub(super) fn run(args: &MigrateArgs, config: &Config) -> Result<(), Box<dyn Error>> {
    if !args.down {
        return report("migrated to", &migrate(&config.database)?);
    }
    let may_go = args.yes || (io::stdin().is_terminal() && may_go()?);
    if !may_go {
        return Err(
            "migrate --down removes every event, session and note: it is done with --yes, \
                    or after a yes at the terminal"
                .into(),
        );
    }
    report("undid", &migrate_down(&config.database)?)
}

/// Asks at the terminal.
fn may_go() -> io::Result<bool> {
    let mut asked = io::stderr().lock();
    write!(asked, "This removes every event, session and note. Type yes to go on: ")?;
    asked.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn report(what: &str, names: &[String]) -> Result<(), Box<dyn Error>> {
    if names.is_empty() {
        print("nothing to do");
    }
    for name in names {
        print(&format!("{what} {name}"));
    }
    Ok(())
}
