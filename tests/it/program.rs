//! The program itself, as a process with a folder of its own: its settings, its log, its signals.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};

use crate::world::eventually;

/// The key of the environment.
pub(crate) const API_KEY: &str = "an-api-key-of-the-environment-0123456789";

pub(crate) struct Program {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts the program with these settings in its file.
    pub(crate) async fn start(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings).await
    }

    /// The same, in a folder where something may be already.
    pub(crate) async fn start_in(folder: tempfile::TempDir, settings: &str) -> Self {
        // A port that is free now; nothing else here asks for one.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        fs::write(folder.path().join("config.toml"), settings).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_staffetta"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--set", "server.workers=2"])
            .current_dir(folder.path())
            .env("STAFFETTA_API_KEY", API_KEY)
            .env_remove("STAFFETTA_LOG")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let program = Self { child, folder, port };
        eventually("the program listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        program
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap()
    }

    /// Waits until it has logged this.
    pub(crate) async fn says(&self, text: &str) {
        eventually(text, || async { self.log().contains(text) }).await;
    }

    /// Writes other settings, and tells it to read them.
    pub(crate) fn reload(&self, settings: &str) {
        fs::write(self.file("config.toml"), settings).unwrap();
        self.signal("HUP");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> (ExitStatus, tempfile::TempDir) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(tokio::time::Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        (status, std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()))
    }

    pub(crate) fn token(&self, user: &str, scopes: &[Scope]) -> String {
        let (secret, _) = Secret::load_or_create(&self.file("staffetta.secret")).unwrap();
        let user = UserId::new(user).unwrap();
        sign(&secret, &user, scopes, Duration::from_secs(600), clock::wall()).unwrap()
    }

    /// Calls the API; says the status and the text.
    pub(crate) async fn call(
        &self,
        bearer: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port))
            .header("Authorization", format!("Bearer {bearer}"))
            .body(body.to_owned())
            .unwrap();
        tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(Duration::from_secs(20)))
                .build();
            let mut response = ureq::Agent::from(config).run(request).unwrap();
            (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
        })
        .await
        .unwrap()
    }
}
