//! Where the programs of the candidates are, and what they say of themselves.

use std::path::Path;
use std::process::Command;

use crate::candidate::{Candidate, Program};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Debian's module of nginx.
pub(crate) const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Where `benches/run.sh` puts what it builds of the peers.
const SOCKETIOXIDE: &str = "target/peers/release/peer-socketioxide";
const SOCKUDO: &str = "target/peers/sockudo/bin/sockudo";
const NATS: &str = "target/peers/nats/bin/nats-server";

/// A file of `benches/peers`.
pub(crate) fn peer(file: &str) -> String {
    format!("{ROOT}/benches/peers/{file}")
}

/// What is started.
pub(crate) fn path(program: Program) -> String {
    match program {
        Program::Hub => env!("CARGO_BIN_EXE_staffetta").to_owned(),
        Program::Life(_) => std::env::current_exe().unwrap().to_string_lossy().into_owned(),
        Program::Node(..) => "node".to_owned(),
        Program::Socketioxide => format!("{ROOT}/{SOCKETIOXIDE}"),
        Program::Sockudo => format!("{ROOT}/{SOCKUDO}"),
        Program::Nginx => system("nginx"),
        Program::Mosquitto => system("mosquitto"),
        Program::Nats(_) => {
            let newer = format!("{ROOT}/{NATS}");
            if Path::new(&newer).exists() { newer } else { system("nats-server") }
        }
    }
}

/// Debian keeps servers where the path of users does not look.
fn system(name: &str) -> String {
    let place = format!("/usr/sbin/{name}");
    if Path::new(&place).exists() { place } else { name.to_owned() }
}

/// What a candidate is made of; none if it is not here.
pub(crate) fn versions(candidate: Candidate) -> Option<String> {
    let program = candidate.program();
    let place = path(program);
    match program {
        Program::Hub | Program::Life(_) => {
            let build = if cfg!(debug_assertions) { ", not optimised" } else { "" };
            Some(format!("staffetta {}{build}", env!("CARGO_PKG_VERSION")))
        }
        Program::Node(file, _) => said(&place, &[&peer(file), "--versions"]),
        Program::Socketioxide => Path::new(&place).exists().then(|| {
            let lock = peer("socketioxide/Cargo.lock");
            locked(&lock, &["socketioxide", "axum", "hyper", "tokio"])
        }),
        Program::Sockudo => said(&place, &["--version"]),
        Program::Nginx => {
            Path::new(NCHAN).exists().then_some(())?;
            let module = said("dpkg-query", &["-W", "-f=${Version}", "libnginx-mod-nchan"]);
            let nchan = format!("nchan {}", module.unwrap_or_default());
            Some(format!("{nchan}, {}", said(&place, &["-v"])?.replace("nginx version: ", "")))
        }
        Program::Mosquitto => {
            let help = said(&place, &["-h"])?;
            help.lines().find(|line| line.contains("version")).map(str::to_owned)
        }
        Program::Nats(set) => {
            let version = said(&place, &["--version"])?;
            // Servers before 2.10 know no such setting.
            let is_old = ["v2.9.", "v2.8."].iter().any(|old| version.contains(old));
            (!is_old || set.is_none_or(str::is_empty)).then_some(version)
        }
    }
}

/// What a program says; none if it cannot be run. Some fail when they have said it.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    (!text.is_empty() && !text.contains("Error")).then_some(text)
}

fn locked(file: &str, names: &[&str]) -> String {
    let lock = std::fs::read_to_string(file).unwrap_or_default();
    let version = |name: &&str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let version = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next());
        format!("{name} {}", version.unwrap_or("?"))
    };
    names.iter().map(version).collect::<Vec<_>>().join(", ")
}
