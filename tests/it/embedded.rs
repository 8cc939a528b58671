//! The hub inside other applications: the examples, each as a program of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

struct Application(Child);

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cargo names the folder of examples nowhere, and builds them only when all tests are asked for:
/// one that is missing, or older than its source, is built here.
fn example(name: &str) -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.rs"));
    let changed_at = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    if changed_at(&path) < changed_at(&source) {
        let build = Command::new(env!("CARGO")).args(["build", "--example", name]).status();
        assert!(build.unwrap().success());
    }
    path
}

/// Starts an example in `folder`; says where it listens.
fn start(name: &str, args: &[&OsStr], folder: &Path) -> (Application, String) {
    let mut child = Command::new(example(name))
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let application = Application(child);
    let base = first.trim().strip_prefix("listening on ").unwrap().to_owned();
    (application, base)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn next(
    socket: &mut (impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
) -> Value {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        match frame.unwrap().unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => return json!({"closed": u16::from(frame.unwrap().code)}),
            _ => {}
        }
    }
}

#[test]
fn a_photo_application_publishes_to_its_users_devices() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("photos.db");
    let args = ["127.0.0.1:0".as_ref(), database.as_os_str()];
    let (_application, base) = start("embedded", &args, folder.path());
    runtime().block_on(async {
        let url = format!("{}/hub/ws", base.replace("http", "ws"));
        let (mut socket, _) = connect_async(&url).await.unwrap();
        let auth = json!({"type": "auth", "token": "alice:letmein", "session_id": "phone"});
        socket.send(Message::text(auth.to_string())).await.unwrap();
        assert_eq!(next(&mut socket).await["type"], "connection_established");
        assert_eq!(next(&mut socket).await["type"], "auth_ok");

        let upload = base.clone();
        tokio::task::spawn_blocking(move || {
            let agent = ureq::agent();
            agent.post(format!("{upload}/photos")).header("X-User", "alice").send("jpeg").unwrap();
            agent.delete(format!("{upload}/photos/1")).header("X-User", "alice").call().unwrap();
            let health = agent.get(format!("{upload}/hub/healthz")).call().unwrap();
            assert_eq!(health.status(), 200);
        })
        .await
        .unwrap();
        let added = next(&mut socket).await;
        assert_eq!(
            (&added["type"], &added["id"], &added["bytes"]),
            (&json!("added"), &json!(1), &json!(4))
        );
        assert_eq!(next(&mut socket).await["type"], "removed");

        let (mut banned, _) = connect_async(&url).await.unwrap();
        let auth = json!({"type": "auth", "token": "banned:letmein", "session_id": null});
        banned.send(Message::text(auth.to_string())).await.unwrap();
        assert_eq!(next(&mut banned).await["type"], "connection_established");
        assert_eq!(next(&mut banned).await["type"], "auth_failed");
        assert_eq!(next(&mut banned).await["closed"], 4401);
    });
}

#[test]
fn devices_are_told_to_come_back_when_their_application_ends() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("photos.db");
    let args = ["127.0.0.1:0".as_ref(), database.as_os_str()];
    let (mut application, base) = start("embedded", &args, folder.path());
    runtime().block_on(async {
        let url = format!("{}/hub/ws", base.replace("http", "ws"));
        let (mut socket, _) = connect_async(&url).await.unwrap();
        let auth = json!({"type": "auth", "token": "alice:letmein", "session_id": "phone"});
        socket.send(Message::text(auth.to_string())).await.unwrap();
        assert_eq!(next(&mut socket).await["type"], "connection_established");
        assert_eq!(next(&mut socket).await["type"], "auth_ok");
        let process = rustix::process::Pid::from_child(&application.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        assert_eq!(next(&mut socket).await["type"], "reconnect");
        assert_eq!(next(&mut socket).await["closed"], 1012);
    });
    assert!(application.0.wait().unwrap().success());
}

#[test]
fn dice_are_rolled_for_every_device_of_a_user() {
    let folder = tempfile::tempdir().unwrap();
    let (_application, base) = start("extension", &["127.0.0.1:0".as_ref()], folder.path());
    let staffetta = Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(["token", "alice"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let token = String::from_utf8(staffetta.stdout).unwrap();
    runtime().block_on(async {
        let url = format!("{}/ws", base.replace("http", "ws"));
        let attach = async |session: &str| {
            let (mut socket, _) = connect_async(&url).await.unwrap();
            let auth = json!({"type": "auth", "token": token.trim(), "session_id": session});
            socket.send(Message::text(auth.to_string())).await.unwrap();
            assert_eq!(next(&mut socket).await["type"], "connection_established");
            assert_eq!(next(&mut socket).await["type"], "auth_ok");
            socket
        };
        let (mut phone, mut tablet) = (attach("phone").await, attach("tablet").await);
        let roll = json!({"type": "roll", "sides": 2});
        phone.send(Message::text(roll.to_string())).await.unwrap();
        let seen = next(&mut tablet).await;
        assert_eq!((&seen["type"], &seen["sides"]), (&json!("rolled"), &json!(2)));
        let heard = [next(&mut phone).await, next(&mut phone).await];
        assert!(heard.iter().all(|frame| frame["rolled"] == seen["rolled"]), "{heard:?}");
        assert!(heard.iter().any(|frame| frame["published"] == true), "{heard:?}");
        assert!(heard.iter().any(|frame| frame["event_id"] == seen["event_id"]), "{heard:?}");
    });
}
