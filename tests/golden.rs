//! Golden transcripts of each dialect: `>` is what a client says, `<` what the hub answers.
//!
//! Each transcript is played against a hub over a real socket. `*` stands for any value that
//! differs from run to run; `$name` for one that is taken from an earlier frame or made up here;
//! `! publish …` and `! update …` publish; `x 4401` expects the end of the connection with that
//! code.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use actix_web::{App, HttpServer};
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use staffetta::auth::{Secret, sign};
use staffetta::{
    ClientCommand, CommandError, CommandHandler, CommandReply, Config, Hub, NewEvent, UserId,
    clock, on_connect,
};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

#[test]
fn every_transcript_of_ws_is_played_as_written() {
    play_all("native", "/ws", 8);
}

#[test]
fn every_transcript_of_updates_is_played_as_written() {
    play_all("updates", "/updates", 9);
}

fn play_all(dialect: &str, path: &str, least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(dialect);
    let mut played = 0;
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = format!("{dialect}/{}", file.file_name().unwrap().to_string_lossy());
        actix_web::rt::System::new().block_on(play(&name, path, &text));
        played += 1;
    }
    assert!(played >= least, "only {played} transcripts");
}

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

async fn play(name: &str, path: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.database.url = format!("sqlite://{}", folder.path().join("hub.db").display());
    config.auth.secret_file = folder.path().join("secret");
    config.auth.leeway_s = 0;
    config.ws.auth_timeout_ms = 2_000;
    config.ws.close_grace_ms = 100;
    config.limits.frames_per_minute_max = 8;
    config.limits.connections_per_user_max = 1;
    config.server.workers = 1;
    let hub = Hub::builder().config(config.clone()).commands(Echo).start().await.unwrap();
    let mounted = hub.clone();
    let server = HttpServer::new(move || App::new().configure(mounted.routes()))
        .workers(1)
        .on_connect(on_connect)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let url = format!("ws://{}{path}", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    let (secret, _) = Secret::load_or_create(&config.auth.secret_file).unwrap();
    let token = |user: &str, ttl| {
        let user = UserId::new(user).unwrap();
        sign(&secret, &user, &[], Duration::from_secs(ttl), clock::wall()).unwrap()
    };
    let mut names: HashMap<String, String> = HashMap::new();
    for (name, value) in [
        ("alice", token("alice", 600)),
        ("bob", token("bob", 600)),
        ("expired", token("alice", 0)),
        ("limited", limited_token(&config.auth.secret_file)),
    ] {
        names.insert(name.to_owned(), value);
    }
    let (mut socket, _) = connect_async(&url).await.unwrap();
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        let (kind, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        match kind {
            "> " => {
                socket.send(Message::text(filled(rest, &names))).await.unwrap();
            }
            "< " => {
                let frame = next_text(&mut socket, &at).await;
                let wanted: Value = serde_json::from_str(&filled(rest, &names)).unwrap();
                compare(&wanted, &frame, &mut names, &at);
            }
            "! " => {
                let (user, event) = new_event(rest).unwrap_or_else(|| panic!("{at}: {rest}"));
                hub.publish(&user, event).await.unwrap();
            }
            "x " => closed(&mut socket, rest.parse().unwrap(), &at).await,
            _ => assert!(line.is_empty() || line.starts_with('#'), "{at}: {line}"),
        }
    }
    handle.stop(false).await;
    drop(hub);
    actix_web::rt::System::current().stop();
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

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

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

/// Puts known names in: `"$alice"` becomes alice's token, `$x*7` the letter x seven times.
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
