//! A process under measurement, on core 0 with the others.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};
use tempfile::TempDir;

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside the target folder: a real disk, not a memory file system.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// The hub, with one worker and these settings.
    pub(crate) async fn hub(settings: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_staffetta");
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut args = vec!["serve", "--listen", &listen, "--set", "server.workers=1"];
        for setting in settings {
            args.extend(["--set", setting]);
        }
        Self::start(program, &args, port).await
    }

    /// Whether there is a NATS server here.
    pub(crate) fn has_nats() -> bool {
        Command::new("nats-server").arg("--version").output().is_ok()
    }

    /// A private NATS.
    pub(crate) async fn nats() -> Self {
        let port = free_port();
        let text = port.to_string();
        Self::start("nats-server", &["-a", "127.0.0.1", "-p", &text], port).await
    }

    /// What its tokens are signed with.
    pub(crate) fn secret_file(&self) -> std::path::PathBuf {
        self.folder.path().join("staffetta.secret")
    }

    async fn start(program: &str, args: &[&str], port: u16) -> Self {
        Self::start_in(folder(), program, args, port).await
    }

    async fn start_in(folder: TempDir, program: &str, args: &[&str], port: u16) -> Self {
        let child = Command::new("taskset")
            .args(["-c", "0", program])
            .args(args)
            .current_dir(folder.path())
            .env("STAFFETTA_LOG", "error")
            .stdout(Stdio::null())
            .stderr(if program == "nats-server" { Stdio::null() } else { Stdio::inherit() })
            .spawn()
            .unwrap();
        let mut server = Self { child, port, folder };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "{program} did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// CPU time of every thread so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn token(&self, user: &str, scopes: &[Scope]) -> String {
        let (secret, _) = Secret::load_or_create(&self.secret_file()).unwrap();
        let user = UserId::new(user).unwrap();
        sign(&secret, &user, scopes, Duration::from_secs(86_400), clock::wall()).unwrap()
    }
}
