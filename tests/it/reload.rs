//! SIGHUP, a drain by request, and time limits, on the program itself.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::device::Device;
use crate::program::{API_KEY, Program};

fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

fn key(name: &str, key: &str) -> String {
    let sha256 = hex::encode(Sha256::digest(key));
    format!("{{ name = \"{name}\", sha256 = \"{sha256}\", scopes = [\"publish\"] }}")
}

const EVENTS: &str = "/api/v1/users/alice/events";
const EVENT: &str = r#"{"type":"a"}"#;

#[test]
fn sighup_reads_the_settings_again_and_a_bad_file_changes_nothing() {
    run(|| async {
        let with = |keys: &str, server: &str, log: &str| {
            format!("[auth]\napi_keys = [{keys}]\n[server]\n{server}\n[log]\nlevel = \"{log}\"\n")
        };
        let old = key("old", "the-old-key");
        let program = Program::start(&with(&old, "", "info")).await;
        let publish = async |key: &str| program.call(key, "POST", EVENTS, EVENT).await.0;
        let origin = [("origin", "https://app.example")];
        assert_eq!((publish("the-old-key").await, publish("the-new-key").await), (201, 401));
        assert!(Device::connect_port(program.port, "/ws", &origin).await.is_err());

        let new = key("new", "the-new-key");
        let origins = "allowed_origins = [\"https://app.example\"]\ndrain_ms = 100";
        program.reload(&with(&new, origins, "debug"));
        let changed = "changed at once: auth.api_keys, log.level, server.allowed_origins";
        program.says(changed).await;
        program.says("after a restart only: server.drain_ms").await;
        assert_eq!((publish("the-old-key").await, publish("the-new-key").await), (401, 201));
        assert_eq!(publish(API_KEY).await, 201, "the key of the environment stays");
        assert!(Device::connect_port(program.port, "/ws", &origin).await.is_ok());
        program.says("DEBUG").await;

        program.reload("[server]\nallowed_origins = [\"app.example\"]\nwhat = 1\n");
        program.says("nothing changes, the settings are not good").await;
        program.says("server.what").await;
        assert_eq!(publish("the-new-key").await, 201);
        assert!(Device::connect_port(program.port, "/ws", &origin).await.is_ok());
        assert!(!program.log().contains("the-new-key"));
    });
}

#[test]
fn an_administrator_drains_the_hub_and_it_goes_on_publishing() {
    run(|| async {
        let settings = "[server]\ndrain_ms = 50\n[log]\nformat = \"json\"\nlevel = \"debug\"\n";
        let program = Program::start(settings).await;
        let mut device = Device::connect_port(program.port, "/ws", &[]).await.unwrap();
        assert_eq!(device.next().await["type"], "connection_established");
        let drain = "/api/v1/drain";
        let publisher = program.token("app", &[staffetta::auth::Scope::Publish]);
        assert_eq!(program.call(&publisher, "POST", drain, "").await.0, 403);
        assert_eq!(program.call("", "GET", "/readyz", "").await.0, 200);
        let drained = program.call(API_KEY, "POST", drain, "").await;
        assert_eq!(drained, (200, r#"{"connections":1}"#.to_owned()));
        assert_eq!(device.next().await["type"], "reconnect");
        device.closed(1012).await;
        assert_eq!(program.call("", "GET", "/readyz", "").await.0, 503);
        assert_eq!(program.call("", "GET", "/healthz", "").await.0, 200);
        assert!(Device::connect_port(program.port, "/ws", &[]).await.is_err());
        assert_eq!(program.call(API_KEY, "POST", EVENTS, EVENT).await.0, 201);
        program.signal("TERM");
        let log = program.file("log");
        let (status, _folder) = program.ended().await;
        assert!(status.success());
        drop(log);
    });
}

#[test]
fn a_log_in_json_has_an_object_a_line_with_the_ids_of_requests_and_connections() {
    run(|| async {
        let program = Program::start(
            "[server]\ndrain_ms = 50\n[log]\nformat = \"json\"\nlevel = \"debug\"\n",
        )
        .await;
        assert_eq!(program.call(API_KEY, "POST", EVENTS, EVENT).await.0, 201);
        program.says("request_id").await;
        let token = program.token("bob", &[]);
        let mut device = Device::connect_port(program.port, "/ws", &[]).await.unwrap();
        device.next().await;
        device.auth(&token, json!("tab"), json!({})).await;
        assert_eq!(program.call(API_KEY, "POST", "/api/v1/drain", "").await.0, 200);
        assert_eq!(device.next().await["type"], "reconnect");
        device.closed(1012).await;
        program.says("closing").await;
        let lines: Vec<serde_json::Value> =
            program.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = lines.iter().find(|line| line["request_id"].is_string()).unwrap();
        assert_eq!(of["message"], "POST /api/v1/users/{user}/events: 201");
        assert_eq!((&of["level"], of["time"].is_string()), (&"DEBUG".into(), true));
        let line = |start: &str| {
            let is_it = |line: &&Value| line["message"].as_str().unwrap().starts_with(start);
            lines.iter().find(is_it).unwrap_or_else(|| panic!("{start} is not in the log"))
        };
        let (opened, closed) = (line("authenticated as"), line("closing"));
        assert!(opened["connection_id"].is_string(), "{opened}");
        assert_eq!(opened["connection_id"], closed["connection_id"]);
        assert_eq!(closed["code"], "1012");
        let drained = line("draining, as an administrator asked");
        assert!(drained["request_id"].is_string(), "a line of its call: {drained}");
    });
}

/// Reads to the end, which must come.
async fn read_all(socket: &mut TcpStream, answer: &mut String) {
    let reading = socket.read_to_string(answer);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the end").unwrap();
}

#[test]
fn a_request_that_comes_too_slowly_is_given_up() {
    run(|| async {
        let settings = "[server]\nhead_timeout_ms = 1500\nkeep_alive_ms = 1000\n";
        let program = Program::start(settings).await;
        let slow = async |request: &str| {
            let mut socket = TcpStream::connect(("127.0.0.1", program.port)).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            read_all(&mut socket, &mut answer).await;
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        };
        tokio::join!(
            slow("GET /healthz HTTP/1.1\r\n"),
            slow("GET /healthz HTTP/1.1\r\nHost: hub\r\nX-Slow")
        );
        let mut socket = TcpStream::connect(("127.0.0.1", program.port)).await.unwrap();
        let request = "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        read_all(&mut socket, &mut answer).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "answered, then closed: {answer}");
    });
}
