//! A hub of its own for each test: in this process, on a free port, on a fresh database.

use std::future::Future;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::{App, HttpServer};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, RunQueryDsl, SqliteConnection};
use serde_json::{Value, json};
use staffetta::auth::{Scope, Secret, sign};
use staffetta::{Config, Hub, HubBuilder, UserId, clock, on_connect, server};

/// Where a test's hub keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// A running hub.
pub(crate) struct TestHub {
    pub(crate) hub: Hub,
    pub(crate) port: u16,
    pub(crate) config: Config,
    stop: Option<tokio::sync::oneshot::Sender<Stop>>,
    thread: Option<JoinHandle<()>>,
    folder: std::sync::Arc<Folder>,
    build: Build,
}

/// What a host adds to its hub.
type Build = std::sync::Arc<dyn Fn(HubBuilder) -> HubBuilder + Send + Sync>;

/// How a hub ends.
pub(crate) enum Stop {
    /// As by SIGTERM.
    Drain,
    /// As by a power cut, as far as one process can: nothing more is written.
    Drop,
}

/// What outlives a hub: its files and its database.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    url: String,
    admin: Option<(String, String)>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some((admin, name)) = &self.admin {
            let mut connection = PgConnection::establish(admin).unwrap();
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            if let Err(error) = connection.batch_execute(&drop) {
                eprintln!("{name} stays: {error}");
            }
        }
    }
}

impl Folder {
    fn new(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        match database {
            Database::Sqlite => {
                let url = format!("sqlite://{}", folder.path().join("hub.db").display());
                Self { folder, url, admin: None }
            }
            Database::Postgres => {
                let admin = std::env::var("STAFFETTA_TEST_POSTGRES").unwrap();
                let name = format!("it_{}", uuid::Uuid::new_v4().simple());
                let mut connection = PgConnection::establish(&admin).unwrap();
                connection.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
                let (server, _) = admin.rsplit_once('/').unwrap();
                Self { folder, url: format!("{server}/{name}"), admin: Some((admin, name)) }
            }
        }
    }
}

/// Runs a test on SQLite, and on Postgres if there is one.
pub(crate) fn on_both<F: Future<Output = ()>>(test: impl Fn(Database) -> F) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(test(Database::Sqlite));
    if std::env::var_os("STAFFETTA_TEST_POSTGRES").is_some() {
        runtime().block_on(test(Database::Postgres));
    } else {
        eprintln!("left out on Postgres: STAFFETTA_TEST_POSTGRES is not set");
    }
}

impl TestHub {
    /// A hub with the defaults, but for what `adjust` changes.
    pub(crate) async fn start(database: Database, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(database, adjust, |builder| builder).await
    }

    /// The same, inside a host.
    pub(crate) async fn start_with(
        database: Database,
        adjust: impl FnOnce(&mut Config),
        build: impl Fn(HubBuilder) -> HubBuilder + Send + Sync + 'static,
    ) -> Self {
        let build: Build = std::sync::Arc::new(build);
        Self::start_in(Folder::new(database).into(), adjust, build).await
    }

    async fn start_in(
        folder: std::sync::Arc<Folder>,
        adjust: impl FnOnce(&mut Config),
        build: Build,
    ) -> Self {
        let mut config = Config::default();
        config.database.url.clone_from(&folder.url);
        config.auth.secret_file = folder.folder.path().join("secret");
        config.server.workers = 2;
        config.server.drain_ms = 100;
        config.delivery.tick_ms = 5;
        config.delivery.floor_flush_ms = 20;
        adjust(&mut config);
        let (started, starting) = mpsc::channel();
        let (stop, stopping) = tokio::sync::oneshot::channel();
        let (served, building) = (config.clone(), std::sync::Arc::clone(&build));
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(serve(
                building(Hub::builder().config(served.clone())),
                served,
                started,
                stopping,
            ));
        });
        let (hub, port) =
            tokio::task::spawn_blocking(move || starting.recv().unwrap()).await.unwrap();
        Self { hub, port, config, stop: Some(stop), thread: Some(thread), folder, build }
    }

    /// Ends this hub and starts another on the same database.
    pub(crate) async fn restart(mut self, stop: Stop) -> Self {
        let config = self.config.clone();
        let (folder, build) =
            (std::sync::Arc::clone(&self.folder), std::sync::Arc::clone(&self.build));
        self.end(stop).await;
        Self::start_in(folder, |fresh| *fresh = config, build).await
    }

    /// Ends this hub.
    pub(crate) async fn end(&mut self, stop: Stop) {
        if let Some(sender) = self.stop.take() {
            let _ = sender.send(stop);
        }
        if let Some(thread) = self.thread.take() {
            tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        }
    }

    pub(crate) fn token(&self, user: &str) -> String {
        self.token_for(user, &[], Duration::from_secs(600))
    }

    pub(crate) fn token_for(&self, user: &str, scopes: &[Scope], ttl: Duration) -> String {
        let (secret, _) = Secret::load_or_create(&self.config.auth.secret_file).unwrap();
        sign(&secret, &UserId::new(user).unwrap(), scopes, ttl, clock::wall()).unwrap()
    }

    /// A token with these claims, beside `sub` and an `exp` in ten minutes.
    pub(crate) fn token_with(&self, user: &str, claims: Value) -> String {
        let secret = std::fs::read(&self.config.auth.secret_file).unwrap();
        let mut all = json!({"sub": user, "exp": clock::wall().0 / 1_000 + 600});
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let key = jsonwebtoken::EncodingKey::from_secret(secret.trim_ascii());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &all, &key).unwrap()
    }

    /// Calls the API as an administrator that may publish.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let token =
            self.token_for("app", &[Scope::Publish, Scope::Admin], Duration::from_secs(600));
        let body = body.map(|body| body.to_string());
        self.call_as(Some(&token), method, path, body.as_deref(), &[]).await
    }

    /// Calls the API with whatever credentials.
    pub(crate) async fn call_as(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.unwrap_or_default().to_owned()).unwrap();
        tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(Duration::from_secs(20)))
                .build();
            let mut response = ureq::Agent::from(config).run(request).unwrap();
            let content_type = response
                .headers()
                .get("content-type")
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default();
            let text = response.body_mut().read_to_string().unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            Answer { status: response.status().as_u16(), content_type, text, body }
        })
        .await
        .unwrap()
    }

    /// Publishes and expects 201; says the receipt.
    pub(crate) async fn publish(&self, user: &str, kind: &str, data: Value) -> Value {
        let body = json!({"type": kind, "data": data});
        let answer = self.call("POST", &format!("/api/v1/users/{user}/events"), Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body
    }

    /// The sessions of a user, as an administrator sees them.
    pub(crate) async fn sessions(&self, user: &str) -> Vec<Value> {
        let answer = self.call("GET", &format!("/api/v1/users/{user}/sessions"), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body.as_array().unwrap().clone()
    }

    /// Does something to the database behind the hub's back.
    pub(crate) fn execute(&self, sql: &str) {
        match self.folder.url.strip_prefix("sqlite://") {
            Some(path) => {
                let mut connection = SqliteConnection::establish(path).unwrap();
                let sql = format!("PRAGMA busy_timeout = 5000; {sql}");
                connection.batch_execute(&sql).unwrap();
            }
            None => PgConnection::establish(&self.folder.url).unwrap().batch_execute(sql).unwrap(),
        }
    }

    /// Waits until a session's floor rests in the database.
    pub(crate) async fn wait_for_floor(&self, session: &str, floor: i64) {
        let query = format!("SELECT floor FROM sessions WHERE session_id = '{session}'");
        eventually("the floor is written", || async {
            let rows: Vec<FloorRow> = match self.folder.url.strip_prefix("sqlite://") {
                Some(path) => {
                    let mut connection = SqliteConnection::establish(path).unwrap();
                    connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
                    diesel::sql_query(&query).load(&mut connection).unwrap()
                }
                None => {
                    let mut connection = PgConnection::establish(&self.folder.url).unwrap();
                    diesel::sql_query(&query).load(&mut connection).unwrap()
                }
            };
            rows.iter().any(|row| row.floor == floor)
        })
        .await;
    }

    /// Waits until a user has this many live connections.
    pub(crate) async fn wait_for_live(&self, user: &str, live: usize) {
        eventually("the connections are as expected", || async {
            let sessions = self.sessions(user).await;
            sessions.iter().filter(|session| !session["connection"].is_null()).count() == live
        })
        .await;
    }
}

#[derive(diesel::QueryableByName)]
struct FloorRow {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    floor: i64,
}

/// What the API answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// On SQLite the hub's own server, on Postgres that of a host.
async fn serve(
    builder: HubBuilder,
    config: Config,
    started: mpsc::Sender<(Hub, u16)>,
    stopping: tokio::sync::oneshot::Receiver<Stop>,
) {
    let workers = config.server.workers;
    let is_own = config.database.url.starts_with("sqlite:");
    let builder = if is_own { builder.on_workers() } else { builder };
    let hub = builder.start().await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = if is_own {
        server::serve_on(listener, &hub, &config).unwrap()
    } else {
        let mounted = hub.clone();
        HttpServer::new(move || App::new().configure(mounted.routes()))
            .workers(workers)
            .on_connect(on_connect)
            .disable_signals()
            .shutdown_timeout(1)
            .listen(listener)
            .unwrap()
            .run()
    };
    let handle = server.handle();
    actix_web::rt::spawn(server);
    started.send((hub.clone(), port)).unwrap();
    if matches!(stopping.await, Ok(Stop::Drain)) {
        handle.pause().await;
        hub.shutdown().await;
    }
    handle.stop(false).await;
    // With the system end the threads of the actors, wherever they are.
    actix_web::rt::System::current().stop();
    // The system stops its threads when it next has a turn.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What a random test goes by: the value of `variable`, or the time. It is printed.
#[expect(clippy::disallowed_methods, reason = "differs from run to run")]
pub(crate) fn seed(variable: &str) -> u64 {
    let seed = match std::env::var(variable) {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into(),
    };
    eprintln!("{variable}={seed}");
    seed
}

/// Waits, with a deadline, until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
