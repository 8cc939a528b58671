//! One node: the program, as a process that can be asked, stopped and killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};

use crate::nats::free_port;

pub(crate) struct Node {
    child: Child,
    folder: PathBuf,
    settings: Vec<String>,
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.signal("CONT");
        self.kill();
    }
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Node {
    /// Starts a node with these settings, in a folder that nodes share.
    pub(crate) async fn start(folder: &Path, name: &str, settings: Vec<String>) -> Self {
        let port = free_port();
        let child = spawn(folder, name, port, &settings);
        let mut node =
            Self { child, folder: folder.to_owned(), settings, name: name.to_owned(), port };
        node.wait().await;
        node
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as a service manager does, and waits until it has.
    pub(crate) async fn terminate(&mut self) {
        self.signal("TERM");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(tokio::time::Instant::now() < deadline, "the hub does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.folder, &self.name, self.port, &self.settings);
        self.wait().await;
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args([&format!("-{name}"), &pid]).status();
    }

    async fn wait(&mut self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
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

    /// Calls the API as an administrator that may publish.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let token = self.token("app", &[Scope::Publish, Scope::Admin]);
        self.call_as(&token, method, path, body).await
    }

    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port))
            .header("Authorization", format!("Bearer {token}"))
            .body(body.map(|body| body.to_string()).unwrap_or_default())
            .unwrap();
        let asked = tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(Duration::from_secs(25)))
                .build();
            let mut response = ureq::Agent::from(config).run(request).ok()?;
            let retry_after = response.headers().get("retry-after");
            let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
            let text = response.body_mut().read_to_string().ok()?;
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Some(Answer { status: response.status().as_u16(), retry_after, body })
        });
        // A node that is gone does not answer.
        asked.await.unwrap().unwrap_or(Answer { status: 0, retry_after: None, body: Value::Null })
    }
}

fn spawn(folder: &Path, name: &str, port: u16, settings: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_staffetta"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--set", &format!("cluster.node={name}")]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let log = std::env::var("STAFFETTA_TEST_LOG").unwrap_or_else(|_| "error".to_owned());
    command
        .current_dir(folder)
        .env("STAFFETTA_LOG", log)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}
