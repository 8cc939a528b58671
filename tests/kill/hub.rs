//! The program under test, as a process that can be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};

/// What a hub is started with beside the defaults of these tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) settings: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

pub(crate) struct Process {
    pub(crate) child: Child,
    folder: PathBuf,
    url: String,
    extra: Extra,
    pub(crate) port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    pub(crate) async fn start(folder: &Path, url: &str, extra: Extra) -> Self {
        // A port that is free now; nothing else here asks for one.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = spawn(folder, url, port, &extra);
        let mut process =
            Self { child, folder: folder.to_owned(), url: url.to_owned(), extra, port };
        process.wait().await;
        process
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.url, self.port, &self.extra);
        self.wait().await;
    }

    async fn wait(&mut self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the hub ended: {status}");
            }
            assert!(tokio::time::Instant::now() < deadline, "the hub does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn token(&self, user: &str, scopes: &[Scope]) -> String {
        let (secret, _) = Secret::load_or_create(&self.folder.join("staffetta.secret")).unwrap();
        let ttl = Duration::from_secs(86_400);
        sign(&secret, &UserId::new(user).unwrap(), scopes, ttl, clock::wall()).unwrap()
    }
}

fn spawn(folder: &Path, url: &str, port: u16, extra: &Extra) -> Child {
    Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--database-url", url])
        .args(["--set", "delivery.ack_wait_ms=300", "--set", "delivery.redeliveries_max=1000"])
        .args(extra.settings.iter().flat_map(|setting| ["--set", setting]))
        .envs(extra.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .env("STAFFETTA_LOG", "error")
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}
