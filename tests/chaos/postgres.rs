//! A Postgres server of the test's own, that can be killed and started again on the same data.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::nats::free_port;

pub(crate) struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
    pub(crate) port: u16,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
pub(crate) struct Event {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) seq: i64,
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(crate) event_id: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(crate) name: String,
}

/// Where Postgres' programs are, if it is installed.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debians: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    debians.sort();
    let mut folders = std::env::split_paths(&path).chain(debians.into_iter().rev());
    folders.find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Who Postgres runs as, where this runs as root, which it refuses.
fn owner() -> &'static str {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    if users.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" }
}

fn command(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={}", owner()), "--clear-groups"]).arg(program);
    command
}

impl Postgres {
    pub(crate) async fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            let given = Command::new("chown").arg(owner()).arg(folder.path()).status();
            assert!(given.unwrap().success());
        }
        let made = command(&programs.join("initdb"))
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-U", "staffetta", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "initdb fails");
        let mut postgres = Self { programs, folder, child: None, port: free_port() };
        postgres.start_again().await;
        postgres
    }

    /// Ends it without a checkpoint and without a word to anybody, as `pg_ctl -m immediate` does.
    pub(crate) fn stop_at_once(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_child(&child);
            if kill_process(pid, Signal::QUIT).is_ok() {
                let _ = child.wait();
            }
        }
    }

    /// Starts it on what is on disk, and waits until it takes connections.
    pub(crate) async fn start_again(&mut self) {
        self.stop_at_once();
        // Another process may have taken the port meanwhile, or the last one not yet given it back.
        for _ in 0..20 {
            let mut log = std::fs::File::options();
            let log = log.create(true).append(true).open(self.folder.path().join("log")).unwrap();
            let child = command(&self.programs.join("postgres"))
                .arg("-D")
                .arg(self.folder.path().join("data"))
                .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k"])
                .arg(self.folder.path())
                // A killed server's data is whole without it; only a machine's would not be.
                .args(["-c", "fsync=off", "-c", "max_connections=200"])
                .current_dir(self.folder.path())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            self.child = Some(child);
            if self.is_there_soon().await {
                return;
            }
        }
        panic!("Postgres does not start: {}", self.log());
    }

    async fn is_there_soon(&mut self) -> bool {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while tokio::time::Instant::now() < deadline {
            if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                tokio::time::sleep(Duration::from_millis(200)).await;
                return false;
            }
            let url = self.url(self.port, "test");
            let opened = tokio::task::spawn_blocking(move || PgConnection::establish(&url).is_ok());
            if opened.await.unwrap() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Its URL at a port, for somebody of this name.
    pub(crate) fn url(&self, port: u16, name: &str) -> String {
        format!("postgres://staffetta@127.0.0.1:{port}/postgres?application_name={name}")
    }

    /// Asks for numbers.
    pub(crate) fn query(&self, sql: &str) -> Vec<i64> {
        let mut connection = PgConnection::establish(&self.url(self.port, "test")).unwrap();
        let rows: Vec<Count> = diesel::sql_query(sql).load(&mut connection).unwrap();
        rows.into_iter().map(|row| row.count).collect()
    }

    /// Asks for events.
    pub(crate) fn events(&self, sql: &str) -> Vec<Event> {
        let mut connection = PgConnection::establish(&self.url(self.port, "test")).unwrap();
        diesel::sql_query(sql).load(&mut connection).unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        let mut connection = PgConnection::establish(&self.url(self.port, "test")).unwrap();
        connection.batch_execute(sql).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
