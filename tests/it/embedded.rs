//! The hub inside another application: `examples/embedded.rs`, as a program of its own.

use std::io::{BufRead, BufReader};
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

/// Cargo names the folder of examples nowhere, and builds them only when all tests are asked for.
fn example() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/embedded");
    if !path.exists() {
        let build = Command::new(env!("CARGO")).args(["build", "--example", "embedded"]).status();
        assert!(build.unwrap().success());
    }
    path
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
    let mut child = Command::new(example())
        .args(["127.0.0.1:0".as_ref(), database.as_os_str()])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let _application = Application(child);
    let base = first.trim().strip_prefix("listening on ").unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
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
