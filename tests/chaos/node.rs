//! One node: the program as a process, started again until it runs, and asked over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};

use crate::nats::free_port;

/// Longer than anything takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    child: Option<Child>,
    folder: PathBuf,
    name: String,
    settings: Vec<String>,
    pub(crate) port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    pub(crate) async fn start(folder: &Path, name: &str, settings: Vec<String>) -> Self {
        let (folder, name) = (folder.to_owned(), name.to_owned());
        let mut process = Self { child: None, folder, name, settings, port: free_port() };
        process.start_again().await;
        process
    }

    /// SIGKILL, which a stopped process obeys too.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it as a service manager does, and waits until it has.
    pub(crate) async fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let Some(mut child) = self.child.take() else { return };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if tokio::time::Instant::now() > deadline {
                let _ = child.kill();
                panic!("node {} does not end by SIGTERM", self.name);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it, again and again while its engines are away, until it takes connections.
    pub(crate) async fn start_again(&mut self) {
        self.kill();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let child =
                self.child.insert(spawn(&self.folder, &self.name, self.port, &self.settings));
            loop {
                if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                    return;
                }
                assert!(tokio::time::Instant::now() < deadline, "{} does not start", self.name);
                tokio::time::sleep(Duration::from_millis(20)).await;
                if child.try_wait().unwrap().is_some() {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }
}

fn spawn(folder: &Path, name: &str, port: u16, settings: &[String]) -> Child {
    let mut log = std::fs::File::options();
    let log = log.create(true).append(true).open(folder.join(format!("{name}.log"))).unwrap();
    // Another build of it, for a long run beside other work.
    let built = std::env::var_os("STAFFETTA_TEST_PROGRAM");
    Command::new(built.unwrap_or(env!("CARGO_BIN_EXE_staffetta").into()))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
        .args(["--set", &format!("cluster.node={name}")])
        .args(settings.iter().flat_map(|setting| ["--set", setting]))
        .current_dir(folder)
        .env("STAFFETTA_LOG", std::env::var("STAFFETTA_TEST_LOG").unwrap_or("info".to_owned()))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Where the nodes are, and the secret they share.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) ports: Vec<u16>,
    pub(crate) folder: PathBuf,
}

/// What the API answered; status 0 when it did not.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
    pub(crate) took: Duration,
}

/// One call of the API.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) key: Option<String>,
    pub(crate) wait_max: Duration,
}

impl Places {
    pub(crate) fn token(&self, user: &str, scopes: &[Scope]) -> String {
        let (secret, _) = Secret::load_or_create(&self.folder.join("staffetta.secret")).unwrap();
        let ttl = Duration::from_secs(7 * 86_400);
        sign(&secret, &UserId::new(user).unwrap(), scopes, ttl, clock::wall()).unwrap()
    }

    /// Calls the API of one node.
    pub(crate) async fn call(&self, node: usize, token: &str, call: Call) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(call.method)
            .uri(format!("http://127.0.0.1:{}{}", self.ports[node], call.path))
            .header("Authorization", format!("Bearer {token}"));
        if let Some(key) = call.key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request.body(call.body).unwrap();
        let started = tokio::time::Instant::now();
        let asked = tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(call.wait_max))
                .build();
            let mut response = ureq::Agent::from(config).run(request).ok()?;
            let retry_after = response.headers().get("retry-after");
            let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
            let text = response.body_mut().read_to_string().ok()?;
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Some((response.status().as_u16(), retry_after, body))
        });
        let answered = asked.await.unwrap();
        let (status, retry_after, body) = answered.unwrap_or((0, None, Value::Null));
        Answer { status, retry_after, body, took: started.elapsed() }
    }
}
