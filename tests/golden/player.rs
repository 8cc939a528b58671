//! Plays one transcript against a hub of its own.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use staffetta::auth::{Scope, Secret, sign};
use staffetta::config::Sources;
use staffetta::{
    ClientCommand, CommandError, CommandHandler, CommandReply, Config, Hub, NewEvent, UserId,
    clock, on_connect,
};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::envelopes::Envelopes;

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Gives the data of an `echo` back, and knows nothing else.
struct Echo;

impl CommandHandler for Echo {
    fn handle<'a>(
        &'a self,
        command: ClientCommand,
    ) -> BoxFuture<'a, Result<CommandReply, CommandError>> {
        let reply = match command.name.as_str() {
            "echo" => Ok(CommandReply { data: command.data }),
            _ => Err(CommandError::new("unknown_command", "Only echoes here")),
        };
        ready(reply).boxed()
    }
}

struct Player {
    hub: Hub,
    config: Config,
    address: String,
    /// Where the dialect is served.
    path: String,
    server: ServerHandle,
    /// The connections, by what stands before their lines.
    sockets: BTreeMap<String, Socket>,
    names: HashMap<String, String>,
    envelopes: Envelopes,
    /// Holds the database while it is away.
    lock: Option<SqliteConnection>,
}

/// Plays `text`, which is called `name`, on connections to `path`.
pub(crate) async fn play(name: &str, path: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut player = Player::start(settings(text, folder.path()), path).await;
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        if !line.is_empty() && !line.starts_with(['#', ':']) {
            player.line(line, &at).await;
        }
    }
    player.server.stop(false).await;
    drop(player);
    actix_web::rt::System::current().stop();
    // The system stops its threads when it next has a turn.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The settings of every transcript, and those of this one.
fn settings(text: &str, folder: &Path) -> Config {
    let file = |name: &str| folder.join(name).display().to_string();
    let database = format!("database.url=sqlite://{}", file("hub.db"));
    let secret = format!("auth.secret_file={}", file("secret"));
    let common = [
        database.as_str(),
        secret.as_str(),
        "auth.leeway_s=0",
        "ws.auth_timeout_ms=2000",
        "ws.close_grace_ms=100",
        "limits.frames_per_minute_max=8",
        "limits.connections_per_user_max=1",
        "server.workers=1",
        "server.drain_ms=100",
    ];
    let own = text.lines().filter_map(|line| line.strip_prefix(": "));
    let flags = common.into_iter().chain(own).map(|setting| {
        let (key, value) = setting.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    });
    Config::load(&Sources { flags: flags.collect(), ..Sources::default() }).unwrap().config
}

impl Player {
    async fn start(config: Config, path: &str) -> Self {
        let hub = Hub::builder().config(config.clone()).commands(Echo).start().await.unwrap();
        let mounted = hub.clone();
        let server = HttpServer::new(move || App::new().configure(mounted.routes()))
            .workers(1)
            .on_connect(on_connect)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let address = server.addrs()[0].to_string();
        let running = server.run();
        let server = running.handle();
        actix_web::rt::spawn(running);
        let mut player = Self {
            hub,
            config,
            address,
            path: path.to_owned(),
            server,
            sockets: BTreeMap::new(),
            names: HashMap::new(),
            envelopes: Envelopes::default(),
            lock: None,
        };
        for (name, user, ttl) in [
            ("alice", "alice", 600),
            ("newer", "alice", 900),
            ("bob", "bob", 600),
            ("expired", "alice", 0),
        ] {
            let token = player.token(user, &[], ttl);
            player.names.insert(name.to_owned(), token);
        }
        let limited = limited_token(&player.config.auth.secret_file);
        player.names.insert("limited".to_owned(), limited);
        player
    }

    fn token(&self, user: &str, scopes: &[Scope], ttl_s: u64) -> String {
        let (secret, _) = Secret::load_or_create(&self.config.auth.secret_file).unwrap();
        let user = UserId::new(user).unwrap();
        sign(&secret, &user, scopes, Duration::from_secs(ttl_s), clock::wall()).unwrap()
    }

    async fn line(&mut self, line: &str, at: &str) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        if kind == "!" {
            self.order(rest, at).await;
            return;
        }
        let (connection, kind) = kind.split_at(kind.len() - 1);
        let mut filled = filled(rest, &self.names);
        if kind == "~" {
            filled = self.envelopes.seal(&filled, &self.names, at);
        }
        let socket = self.socket(connection).await;
        match kind {
            // Whether it went out shows in what comes back.
            ">" | "~" => drop(socket.send(Message::text(filled)).await),
            "<" => {
                let frame = next_text(socket, at).await;
                let wanted: Value = serde_json::from_str(&filled).unwrap();
                compare(&wanted, &frame, &mut self.names, at);
            }
            "x" => closed(socket, rest.parse().unwrap(), at).await,
            _ => panic!("{at}: {line}"),
        }
    }

    async fn socket(&mut self, connection: &str) -> &mut Socket {
        if !self.sockets.contains_key(connection) {
            let (socket, _) =
                connect_async(format!("ws://{}{}", self.address, self.path)).await.unwrap();
            self.sockets.insert(connection.to_owned(), socket);
        }
        self.sockets.get_mut(connection).unwrap()
    }

    async fn order(&mut self, order: &str, at: &str) {
        let words: Vec<_> = order.splitn(4, ' ').collect();
        match words[..] {
            ["publish" | "update", ..] => {
                let (user, event) = new_event(order).unwrap_or_else(|| panic!("{at}: {order}"));
                self.hub.publish(&user, event).await.unwrap();
            }
            ["revoke", user, session] => {
                self.call("admin", "DELETE", &format!("users/{user}/sessions/{session}"), "").await;
            }
            ["share", owner, note, member] => {
                let (user, role) = member.split_once(' ').unwrap();
                let body = json!({"user": user, "role": role}).to_string();
                self.call(owner, "POST", &format!("notes/{note}/members"), &body).await;
            }
            ["unshare", user, note, member] => {
                self.call(user, "DELETE", &format!("notes/{note}/members/{member}"), "").await;
            }
            ["drain"] => {
                let hub = self.hub.clone();
                actix_web::rt::spawn(async move { hub.shutdown().await });
            }
            ["database", "away"] => {
                let path = self.config.database.url.strip_prefix("sqlite://").unwrap();
                let mut lock = SqliteConnection::establish(path).unwrap();
                lock.batch_execute("PRAGMA busy_timeout = 5000; BEGIN EXCLUSIVE").unwrap();
                self.lock = Some(lock);
            }
            ["database", "back"] => self.lock = None,
            _ => panic!("{at}: {order}"),
        }
    }

    /// Calls the API in the name of `user`; it must be taken.
    async fn call(&self, user: &str, method: &str, path: &str, body: &str) {
        let scopes = if user == "admin" { &[Scope::Admin][..] } else { &[] };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}/api/v1/{path}", self.address))
            .header("Authorization", format!("Bearer {}", self.token(user, scopes, 600)))
            .body(body.to_owned())
            .unwrap();
        let call = move || ureq::run(request).unwrap();
        assert!(tokio::task::spawn_blocking(call).await.unwrap().status().is_success());
    }
}

/// `publish USER TYPE [DATA]` or `update USER ACCOUNT ACTION silent|loud TYPE [DATA]`.
fn new_event(line: &str) -> Option<(UserId, NewEvent)> {
    let (verb, rest) = line.split_once(' ')?;
    let (user, mut rest) = rest.split_once(' ')?;
    let mut event = NewEvent::default();
    match verb {
        "publish" => {}
        "update" => {
            let mut words = rest.splitn(4, ' ');
            event.account = Some(words.next()?.to_owned());
            event.action = Some(serde_json::from_value(json!(words.next()?)).unwrap());
            event.silent = words.next()? == "silent";
            rest = words.next()?;
        }
        _ => return None,
    }
    let (kind, data) = match rest.split_once(' ') {
        Some((kind, data)) => (kind, Some(data)),
        None => (rest, None),
    };
    event.kind = kind.to_owned();
    if let Some(data) = data {
        event = event.data(&serde_json::from_str::<Value>(data).unwrap()).unwrap();
    }
    Some((UserId::new(user).unwrap(), event))
}

/// Alice's, for her personal account.
fn limited_token(secret_file: &Path) -> String {
    let secret = std::fs::read(secret_file).unwrap();
    let exp = clock::wall().0 / 1_000 + 600;
    let claims = json!({"sub": "alice", "exp": exp, "accounts": ["personal"]});
    let key = jsonwebtoken::EncodingKey::from_secret(secret.trim_ascii());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

async fn next(socket: &mut Socket, at: &str) -> Message {
    let frame = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    frame.unwrap_or_else(|_| panic!("{at}: nothing comes")).unwrap().unwrap()
}

async fn next_text(socket: &mut Socket, at: &str) -> Value {
    match next(socket, at).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{at}: {other:?}"),
    }
}

async fn closed(socket: &mut Socket, code: u16, at: &str) {
    match next(socket, at).await {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), code, "{at}"),
        other => panic!("{at}: {other:?}"),
    }
}

/// Puts known names in: `"$alice"` becomes alice's token, `$long` the letter x a MiB long.
fn filled(line: &str, names: &HashMap<String, String>) -> String {
    let mut line = line.replace("$long", &"x".repeat(1024 * 1024));
    for (name, value) in names {
        line = line.replace(&format!("\"${name}\""), &format!("\"{value}\""));
    }
    line
}

/// The same, but for `*` and for names that are still free, at whatever depth.
fn compare(wanted: &Value, frame: &Value, names: &mut HashMap<String, String>, at: &str) {
    let (Some(wanted), Some(given)) = (wanted.as_object(), frame.as_object()) else {
        match wanted.as_str() {
            Some("*") => {}
            Some(name) if name.starts_with('$') => {
                let value = frame.as_str().unwrap_or_else(|| panic!("{at}: {name} is no text"));
                names.insert(name[1..].to_owned(), value.to_owned());
            }
            _ => assert_eq!(wanted, frame, "{at}"),
        }
        return;
    };
    let keys = |object: &serde_json::Map<String, Value>| {
        let mut keys: Vec<_> = object.keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(wanted), keys(given), "{at}: {frame}");
    for (key, value) in wanted {
        compare(value, &given[key], names, &format!("{at}: {key}"));
    }
}
