//! A cluster of a test's own. One runs at a time: each is several processes.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use serde_json::{Value, json};
use staffetta::UserId;
use staffetta::auth::Secret;

use crate::nats::{Nats, installed};
use crate::node::Node;

static TURN: Mutex<()> = Mutex::new(());

/// A short lease, so that tests need not wait long.
pub(crate) const LEASE: Duration = Duration::from_millis(1_800);

pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) nats: Nats,
    pub(crate) folder: tempfile::TempDir,
    database: Option<Database>,
}

pub(crate) struct Database {
    admin: String,
    name: String,
    pub(crate) url: String,
}

impl Database {
    /// A fresh one.
    pub(crate) fn new(admin: String) -> Self {
        let name = format!("cluster_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::establish(&admin).unwrap();
        connection.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (host, _) = admin.rsplit_once('/').unwrap();
        let url = format!("{host}/{name}");
        Self { admin, name, url }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut connection = PgConnection::establish(&self.admin).unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if let Err(error) = connection.batch_execute(&drop) {
            eprintln!("{} stays: {error}", self.name);
        }
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// Runs a test with three nodes that share a Postgres, if there is one, and a NATS.
pub(crate) fn on_three_nodes<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    on_no_nodes(|mut world| async move {
        for name in ["a", "b", "c"] {
            world.add(name).await;
        }
        world.settle(3).await;
        test(world).await;
    });
}

/// The same, before the first node.
pub(crate) fn on_no_nodes<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let Some(admin) = std::env::var("STAFFETTA_TEST_POSTGRES").ok() else {
        eprintln!("left out: STAFFETTA_TEST_POSTGRES is not set");
        return;
    };
    in_turn(|server| async move {
        test(World::new(server, Some(Database::new(admin))).await).await;
    });
}

/// Runs a test in its turn, if there is a NATS server.
pub(crate) fn in_turn<F: Future<Output = ()>>(test: impl FnOnce(std::path::PathBuf) -> F) {
    let Some(server) = installed() else {
        eprintln!("left out: nats-server is not installed");
        return;
    };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(server));
}

impl World {
    pub(crate) async fn bare(server: std::path::PathBuf) -> Self {
        Self::new(server, None).await
    }

    async fn new(server: std::path::PathBuf, database: Option<Database>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Before the nodes would make one each.
        Secret::load_or_create(&folder.path().join("staffetta.secret")).unwrap();
        Self { nodes: Vec::new(), nats: Nats::start(server).await, folder, database }
    }

    /// Starts one more node.
    pub(crate) async fn add(&mut self, name: &str) {
        self.add_with(name, &[]).await;
    }

    /// Starts one more node, with these settings too.
    pub(crate) async fn add_with(&mut self, name: &str, more: &[String]) {
        let mut settings = self.common();
        settings.extend([
            format!("database.url={}", self.database.as_ref().unwrap().url),
            "cluster.mode=nats".to_owned(),
            format!("cluster.lease_ms={}", LEASE.as_millis()),
            "cluster.renew_ms=500".to_owned(),
        ]);
        settings.extend_from_slice(more);
        let node = Node::start(self.folder.path(), name, settings).await;
        self.nodes.push(node);
    }

    /// The URL of the database.
    pub(crate) fn url(&self) -> &str {
        &self.database.as_ref().unwrap().url
    }

    pub(crate) fn common(&self) -> Vec<String> {
        [
            format!("cluster.nats_url=nats://127.0.0.1:{}", self.nats.port),
            "cluster.answer_wait_ms=3000".to_owned(),
            "server.workers=2".to_owned(),
            "server.drain_ms=200".to_owned(),
            "delivery.ack_wait_ms=1000".to_owned(),
            "delivery.redeliveries_max=1000".to_owned(),
            "delivery.floor_flush_ms=50".to_owned(),
        ]
        .into()
    }

    /// Waits until this many nodes have every slot, equally, and all know it.
    pub(crate) async fn settle(&self, nodes: i64) {
        eventually("the slots are shared out", || async {
            let shares = "SELECT count(*) AS count FROM slots WHERE node <> 0 GROUP BY node";
            let shares = self.query(shares);
            let whole = shares.iter().sum::<i64>() == 256 && shares.len() as i64 == nodes;
            whole && shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1
        })
        .await;
        for node in &self.nodes {
            for user in ["a", "alice", "bob", "user-1", "user-2", "user-3"] {
                eventually("every node knows every home", || async {
                    !self.route(node, user).await["node"].is_null()
                })
                .await;
            }
        }
    }

    /// Asks the database for numbers.
    pub(crate) fn query(&self, sql: &str) -> Vec<i64> {
        let url = &self.database.as_ref().unwrap().url;
        let mut connection = PgConnection::establish(url).unwrap();
        let rows: Vec<Count> = diesel::sql_query(sql).load(&mut connection).unwrap();
        rows.into_iter().map(|row| row.count).collect()
    }

    pub(crate) fn execute(&self, sql: &str) {
        let url = &self.database.as_ref().unwrap().url;
        PgConnection::establish(url).unwrap().batch_execute(sql).unwrap();
    }

    /// Where a node thinks that a user is at home.
    pub(crate) async fn route(&self, node: &Node, user: &str) -> Value {
        let answer = node.call("GET", &format!("/api/v1/route?user={user}"), None).await;
        if answer.status == 200 { answer.body } else { Value::Null }
    }

    /// A user that is at home on the node of this place, of the nodes that are named so.
    pub(crate) async fn user_at(&self, place: usize) -> String {
        self.users_at(place, 1).await.remove(0)
    }

    /// Several such users.
    pub(crate) async fn users_at(&self, place: usize, count: usize) -> Vec<String> {
        let mut users = Vec::new();
        for number in 0..1_000 {
            let user = format!("user-{number}");
            let route = self.route(&self.nodes[place], &user).await;
            if route["node"] == self.nodes[place].name.as_str() {
                assert_eq!(route["slot"], UserId::new(&user).unwrap().slot().0);
                users.push(user);
                if users.len() == count {
                    return users;
                }
            }
        }
        panic!("nobody is at home on {place}");
    }

    /// Publishes by a node until it is taken; says the receipt.
    pub(crate) async fn publish(&self, place: usize, user: &str, number: u64) -> Value {
        let id = uuid::Uuid::new_v4();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let body = json!({"type": "added", "data": {"n": number}, "event_id": id});
            let path = format!("/api/v1/users/{user}/events");
            let answer = self.nodes[place].call("POST", &path, Some(body)).await;
            match answer.status {
                200 | 201 => return answer.body,
                0 | 503 => {}
                _ => panic!("{answer:?}"),
            }
            assert!(tokio::time::Instant::now() < deadline, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits, with a deadline, until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
