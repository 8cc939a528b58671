//! A process under measurement, on core 0.

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

    /// This program in another of its lives.
    pub(crate) async fn other_life(name: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::program(&program.to_string_lossy(), &[name]).await
    }

    /// A private mosquitto with these settings.
    pub(crate) async fn mosquitto(settings: &str) -> Self {
        let (port, folder) = (free_port(), folder());
        let listener = format!("listener {port} 127.0.0.1\n{settings}");
        std::fs::write(folder.path().join("mosquitto.conf"), listener).unwrap();
        Self::start_in(folder, "mosquitto", &["-c", "mosquitto.conf"], port).await
    }

    /// Another program, whose last argument is its port.
    pub(crate) async fn program(program: &str, args: &[&str]) -> Self {
        let port = free_port();
        let text = port.to_string();
        let args: Vec<_> = args.iter().copied().chain([&text[..]]).collect();
        Self::start(program, &args, port).await
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
            .env("NODE_ENV", "production")
            .stdout(Stdio::null())
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

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    pub(crate) fn token(&self, user: &str, scopes: &[Scope]) -> String {
        let (secret, _) =
            Secret::load_or_create(&self.folder.path().join("staffetta.secret")).unwrap();
        let user = UserId::new(user).unwrap();
        sign(&secret, &user, scopes, Duration::from_secs(86_400), clock::wall()).unwrap()
    }

    /// One figure of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let mut http = crate::socket::Http::connect(self.port).await;
        let (_, text) = http.call("GET", "/metrics", "", "").await;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}
