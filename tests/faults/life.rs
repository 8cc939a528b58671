//! A hub with publishers and devices, and what its outside shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use staffetta::auth::Scope;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::USERS;
use crate::device::Device;
use crate::history::History;
use crate::hub::{Extra, Process};
use crate::publisher::Publisher;

/// An outage is noticed, and its end, within this.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Life {
    pub(crate) process: Process,
    pub(crate) history: Arc<History>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    over: Arc<AtomicBool>,
    devices: Vec<JoinHandle<()>>,
    publishers: Vec<JoinHandle<()>>,
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

impl Life {
    /// On SQLite, in a folder of its own.
    pub(crate) async fn start(extra: impl FnOnce(&std::path::Path) -> Extra) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("hub.db").display());
        let extra = extra(folder.path());
        Self::start_on(folder, url, extra).await
    }

    pub(crate) async fn start_on(folder: tempfile::TempDir, url: String, extra: Extra) -> Self {
        let process = Process::start(folder.path(), &url, extra).await;
        let history = Arc::new(History::default());
        let over = Arc::new(AtomicBool::new(false));
        let mut devices = Vec::new();
        for user in 0..USERS {
            for (number, policy) in ["replay", "full_sync"].into_iter().enumerate() {
                let device = Device::new(user, number, policy, &process, &history);
                devices.push(tokio::spawn(device.follow(Arc::clone(&over))));
            }
        }
        history.wait_for_sessions(USERS * 2).await;
        let publisher = Publisher::new(0, &process, &history);
        let publishers = vec![tokio::spawn(publisher.publish(Arc::clone(&over)))];
        let life = Self { process, history, folder, url, over, devices, publishers };
        life.go_on(20).await;
        life
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until so many more events are promised.
    pub(crate) async fn go_on(&self, events: usize) {
        let (wanted, deadline) = (self.history.promised() + events, Instant::now() + PATIENCE);
        while self.history.promised() < wanted {
            assert!(Instant::now() < deadline, "nothing is published any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Publishes one event for a user without sessions.
    pub(crate) async fn publish(&self, user: &str) -> Answer {
        let token = self.process.token("app", &[Scope::Publish]);
        self.post(&token, user, &json!({"type": "probe"})).await
    }

    pub(crate) async fn post(&self, token: &str, user: &str, body: &serde_json::Value) -> Answer {
        let path = format!("/api/v1/users/{user}/events");
        call(self.process.port, token, "POST", &path, body.to_string()).await
    }

    /// Publishes until it is refused `times` in a row, each time as a caller is promised.
    pub(crate) async fn expect_refusals(&self, times: usize, took_max: Duration) {
        let (mut refused, deadline) = (0, Instant::now() + PATIENCE);
        while refused < times {
            assert!(Instant::now() < deadline, "publishing goes on");
            let answer = self.publish("probe").await;
            if answer.status == 201 {
                assert_eq!(refused, 0, "one is stored among refusals");
                continue;
            }
            assert!(matches!(answer.status, 503 | 507), "{answer:?}");
            assert!(answer.retry_after.is_some(), "{answer:?}");
            assert!(answer.took < took_max, "{answer:?}");
            refused += 1;
        }
    }

    /// Waits until publishing works again.
    pub(crate) async fn expect_recovery(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.publish("probe").await;
            if answer.status == 201 {
                break;
            }
            assert!(Instant::now() < deadline, "it does not recover: {answer:?}");
        }
        self.go_on(20).await;
    }

    /// Lets everything arrive, and compares promises with history.
    pub(crate) async fn end(self, name: &str) {
        self.over.store(true, Ordering::Release);
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
        self.history.settle(Duration::from_secs(60)).await;
        for device in self.devices {
            device.abort();
        }
        self.history.check();
        eprintln!("{name}: {}", self.history.summary());
    }
}

/// Calls the API.
pub(crate) async fn call(port: u16, token: &str, method: &str, path: &str, body: String) -> Answer {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:{port}{path}"))
        .header("Authorization", format!("Bearer {token}"))
        .body(body)
        .unwrap();
    let started = Instant::now();
    tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(20)))
            .build();
        let mut response = ureq::Agent::from(config).run(request).unwrap();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let text = response.body_mut().read_to_string().unwrap();
        Answer { status: response.status().as_u16(), retry_after, text, took: started.elapsed() }
    })
    .await
    .unwrap()
}

/// What a process has resident at most so far, in KiB.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The processor time a process took so far, in hundredths of a second.
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let times = after_name.split(' ').skip(11).take(2);
    times.map(|time| time.parse::<u64>().unwrap()).sum()
}
