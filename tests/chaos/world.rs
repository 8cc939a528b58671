//! Three nodes, each behind a way of its own to NATS and to Postgres, both of the test's own.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;
use staffetta::UserId;
use staffetta::auth::{Scope, Secret};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::USERS;
use crate::history::Logged;
use crate::nats::{self, Nats};
use crate::node::{Answer, Call, Places, Process};
use crate::postgres::{self, Postgres};
use crate::proxy::Proxy;

/// A short lease, so that much happens in little time.
pub(crate) const LEASE: Duration = Duration::from_millis(2_000);

pub(crate) const NODES: usize = 3;

/// Users whose events are watched in the database; enough that some are at home everywhere.
const WATCHED: usize = 60;

/// One test at a time: each is many processes.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub(crate) struct Node {
    pub(crate) process: Mutex<Process>,
    pub(crate) to_nats: Proxy,
    pub(crate) to_postgres: Proxy,
    /// Held by whoever cuts it off.
    pub(crate) cuts: Mutex<()>,
}

pub(crate) struct World {
    // First, so that they end before their engines.
    pub(crate) nodes: Vec<Node>,
    pub(crate) nats: Mutex<Nats>,
    pub(crate) postgres: Mutex<Postgres>,
    pub(crate) places: Places,
    folder: tempfile::TempDir,
}

/// Writes down every event that is appended by a node that does not have its user's slot, as seen
/// from inside the transaction that appends it.
const WATCH_WRITES: &str = "
    CREATE TABLE watched_users (user_id TEXT PRIMARY KEY, slot INTEGER NOT NULL);
    CREATE TABLE foreign_writes (user_id TEXT NOT NULL, seq BIGINT NOT NULL, writer TEXT NOT NULL);
    CREATE FUNCTION watch_writes() RETURNS trigger AS $$
    DECLARE
        owner TEXT;
        writer TEXT := current_setting('application_name');
    BEGIN
        SELECT n.name INTO owner
        FROM watched_users u JOIN slots s ON s.slot = u.slot JOIN nodes n ON n.number = s.node
        WHERE u.user_id = NEW.user_id;
        IF owner IS DISTINCT FROM writer THEN
            INSERT INTO foreign_writes VALUES (NEW.user_id, NEW.seq, writer);
        END IF;
        RETURN NEW;
    END $$ LANGUAGE plpgsql;
    CREATE TRIGGER watch_writes BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION watch_writes();
";

/// Runs a test on three nodes, if there is what they need.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    run_with_lease(LEASE, test);
}

/// The same where no slot is to move, also on a machine that is busy for seconds.
pub(crate) fn run_calmly<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    run_with_lease(LEASE * 10, test);
}

fn run_with_lease<F: Future<Output = ()>>(lease: Duration, test: impl FnOnce(World) -> F) {
    if std::env::var_os("STAFFETTA_TEST_POSTGRES").is_none() {
        eprintln!("left out: STAFFETTA_TEST_POSTGRES is not set");
        return;
    }
    let (Some(server), Some(programs)) = (nats::installed(), postgres::installed()) else {
        eprintln!("left out: nats-server or Postgres is not installed");
        return;
    };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { test(World::start(server, programs, lease).await).await });
}

pub(crate) fn user(number: usize) -> String {
    format!("user-{number}")
}

impl World {
    async fn start(server: PathBuf, programs: PathBuf, lease: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Before the nodes would make one each.
        Secret::load_or_create(&folder.path().join("staffetta.secret")).unwrap();
        let nats = Nats::start(server).await;
        let postgres = Postgres::start(programs).await;
        let mut nodes = Vec::new();
        let mut ports = Vec::new();
        for name in ["a", "b", "c"] {
            let node = Node::start(name, folder.path(), lease, &nats, &postgres).await;
            ports.push(node.process.lock().await.port);
            nodes.push(node);
        }
        postgres.execute(WATCH_WRITES);
        let row = |number| {
            let user = user(number);
            format!("('{user}', {})", UserId::new(&user).unwrap().slot().0)
        };
        let rows: Vec<_> = (0..WATCHED).map(row).collect();
        postgres.execute(&format!("INSERT INTO watched_users VALUES {}", rows.join(", ")));
        let places = Places { ports, folder: folder.path().to_owned() };
        let (nats, postgres) = (Mutex::new(nats), Mutex::new(postgres));
        let world = Self { nodes, nats, postgres, places, folder };
        world.settle().await;
        world
    }

    /// Waits until all nodes have equally many slots, and know it.
    pub(crate) async fn settle(&self) {
        let postgres = self.postgres.lock().await;
        eventually("the slots are shared out", || async {
            let shares = "SELECT count(*) AS count FROM slots s JOIN nodes n ON n.number = s.node
                          WHERE n.lease_until > EXTRACT(EPOCH FROM now()) * 1000 GROUP BY n.number";
            let shares = postgres.query(shares);
            let whole = shares.iter().sum::<i64>() == 256 && shares.len() == NODES;
            whole && shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1
        })
        .await;
        drop(postgres);
        for number in 0..USERS {
            eventually("every node knows every home", || async {
                let mut homes = Vec::new();
                for node in 0..NODES {
                    homes.push(self.home(node, &user(number)).await);
                }
                homes[0].is_some() && homes.iter().all(|home| *home == homes[0])
            })
            .await;
        }
    }

    /// Where a node thinks that a user is at home.
    pub(crate) async fn home(&self, node: usize, user: &str) -> Option<usize> {
        let answer = self.get(node, &format!("/api/v1/route?user={user}")).await;
        let name = answer.body["node"].as_str()?;
        ["a", "b", "c"].iter().position(|known| *known == name)
    }

    /// A user that is at home on a node.
    pub(crate) async fn user_at(&self, node: usize) -> String {
        self.two_users_at(node).await.0
    }

    /// Two of them.
    pub(crate) async fn two_users_at(&self, node: usize) -> (String, String) {
        let mut first = None;
        for user in (0..WATCHED).map(user) {
            if self.home(node, &user).await == Some(node) {
                match first {
                    Some(first) => return (first, user),
                    None => first = Some(user),
                }
            }
        }
        panic!("not two are at home on {node}");
    }

    pub(crate) async fn get(&self, node: usize, path: &str) -> Answer {
        self.call(node, "GET", path, String::new()).await
    }

    /// Publishes once, by a node.
    pub(crate) async fn publish(&self, node: usize, user: &str, body: &Value) -> Answer {
        let path = format!("/api/v1/users/{user}/events");
        self.call(node, "POST", &path, body.to_string()).await
    }

    /// Calls the API of a node as an administrator that may publish.
    pub(crate) async fn call(
        &self,
        node: usize,
        method: &'static str,
        path: &str,
        body: String,
    ) -> Answer {
        let token = self.places.token("app", &[Scope::Publish, Scope::Admin]);
        let wait_max = Duration::from_secs(25);
        let call = Call { method, path: path.to_owned(), body, key: None, wait_max };
        self.places.call(node, &token, call).await
    }

    /// Complains of nodes that ended by themselves.
    pub(crate) fn check_processes(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let has_ended = node.process.try_lock().is_ok_and(|mut process| process.has_ended());
            assert!(!has_ended, "node {number} ended by itself: {}", self.keep());
        }
    }

    /// What the log of a node says, of all its lives.
    pub(crate) fn log(&self, name: &str) -> String {
        let log = std::fs::read(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Complains of what nodes or the database tell of, beside what devices saw.
    pub(crate) async fn check(&self) {
        for name in ["a", "b", "c"] {
            let log = self.log(name);
            let panicked = log.lines().find(|line| line.contains("panicked"));
            assert_eq!(panicked, None, "node {name}: {}", self.keep());
        }
        let postgres = self.postgres.lock().await;
        let foreign = postgres.query("SELECT count(*) AS count FROM foreign_writes");
        assert_eq!(foreign, [0], "events written by who had lost the slot: {}", self.keep());
        let gaps = "SELECT count(*) AS count FROM events GROUP BY user_id
                    HAVING count(*) <> max(seq) OR min(seq) <> 1";
        assert_eq!(postgres.query(gaps), Vec::<i64>::new(), "logs with gaps: {}", self.keep());
    }

    /// What the database has of every event.
    pub(crate) async fn logs(&self) -> Vec<Logged> {
        let postgres = self.postgres.lock().await;
        let mut all = Vec::new();
        for user in 0..USERS {
            let events = format!(
                "SELECT seq, event_id, data::JSON ->> 'name' AS name FROM events
                 WHERE user_id = 'user-{user}'"
            );
            all.extend(postgres.events(&events).into_iter().map(|row| {
                let read = |text: &str| Uuid::parse_str(text).unwrap();
                Logged { user, name: read(&row.name), id: read(&row.event_id), seq: row.seq }
            }));
        }
        all
    }

    /// Copies the logs where they stay, and says where.
    pub(crate) fn keep(&self) -> String {
        let kept = std::env::temp_dir().join(format!("staffetta-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&kept).unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(kept.join(format!("{name}.log")), self.log(name)).unwrap();
        }
        format!("the logs are in {}", kept.display())
    }
}

impl Node {
    async fn start(
        name: &str,
        folder: &Path,
        lease: Duration,
        nats: &Nats,
        postgres: &Postgres,
    ) -> Self {
        let (to_nats, to_postgres) =
            (Proxy::start(nats.port).await, Proxy::start(postgres.port).await);
        let settings = [
            format!("database.url={}", postgres.url(to_postgres.port, name)),
            format!("cluster.nats_url=nats://127.0.0.1:{}", to_nats.port),
            "cluster.mode=nats".to_owned(),
            format!("cluster.lease_ms={}", lease.as_millis()),
            "cluster.renew_ms=500".to_owned(),
            "cluster.answer_wait_ms=2000".to_owned(),
            "server.workers=2".to_owned(),
            "server.drain_ms=300".to_owned(),
            "delivery.ack_wait_ms=500".to_owned(),
            "delivery.redeliveries_max=1000".to_owned(),
        ];
        let process = Mutex::new(Process::start(folder, name, settings.into()).await);
        Self { process, to_nats, to_postgres, cuts: Mutex::new(()) }
    }
}

/// Waits, with a deadline, until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
