//! What must never be in a log, at any level: credentials, and what users say to each other.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use staffetta::auth::Scope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::program::{API_KEY, Program};

const KEY: &str = "a-configured-key-0123456789";
const SECRET: &str = "the-secret-that-webhooks-are-signed-with";
const PASSWORD: &str = "a-password-in-a-url";
const PAYLOAD: &str = "what-alice-says-to-herself";
const NOTE: &str = "what-is-in-the-note";
const BAD_TOKEN: &str = "not-a-token-but-a-secret-all-the-same";

/// Sends a request as it is, and takes what comes within a moment.
async fn raw(program: &Program, request: String) {
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", program.port)).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut answer)).await;
    assert!(matches!(read, Ok(Ok(1..))), "{request} is not answered");
}

async fn devices(program: &Program, token: &str) {
    let bearer = format!("Bearer {token}");
    let pair = format!("bearer, {token}");
    for (path, headers) in [
        ("/ws", vec![("authorization", bearer.as_str())]),
        ("/ws?session_id=tab", vec![("sec-websocket-protocol", pair.as_str())]),
        (&format!("/updates?token={token}"), vec![]),
    ] {
        let mut device = Device::connect_port(program.port, path, &headers).await.unwrap();
        device.next_raw().await;
        device.send_raw(Message::text(format!("{{\"type\":\"{PAYLOAD}\""))).await;
        device.next_raw().await;
    }
    for token in [token, BAD_TOKEN] {
        let mut device = Device::connect_port(program.port, "/ws", &[]).await.unwrap();
        device.next().await;
        device.auth(token, json!("tab"), json!({"offline": "replay"})).await;
        let note = json!({"type": "note_update", "noteId": "n", "changes": {"content": NOTE}});
        device.send(note).await;
        device.next_raw().await;
    }
    let path = "/socket.io/?EIO=4&transport=websocket";
    let cookie = format!("immich_access_token={token}");
    for headers in [vec![("x-api-key", token)], vec![("cookie", &cookie)], vec![]] {
        let mut io = Device::connect_port(program.port, path, &headers).await.unwrap();
        io.next_raw().await;
        io.send_raw(Message::text(format!("40{}", json!({"token": token})))).await;
        io.next_raw().await;
        io.send_raw(Message::text(format!("42[\"{PAYLOAD}\",{{\"a\":\"{NOTE}\"}}]"))).await;
        io.send_raw(Message::text(format!("4{PAYLOAD}"))).await;
    }
}

/// An answer tells nobody the credential it was asked with.
fn hides((_, text): &(u16, String), credential: &str) {
    assert!(!text.contains(credential), "{text}");
}

async fn calls(program: &Program, token: &str) {
    let path = "/api/v1/users/alice/events";
    for key in [API_KEY, KEY, BAD_TOKEN, token] {
        for body in [
            json!({"type": "added", "data": {"text": PAYLOAD}}).to_string(),
            json!({"type": "added", "whatever": PAYLOAD}).to_string(),
            format!("{{\"{PAYLOAD}\""),
        ] {
            let refused = program.call(key, "POST", path, &body).await;
            hides(&refused, key);
        }
        hides(&program.call(key, "GET", "/api/v1/sync?cursor=0", "").await, key);
        hides(&program.call(key, "GET", "/api/v1/nothing", "").await, key);
    }
    raw(program, format!("GET /updates?token={token} HTTP/1.1\r\nHost: hub\r\n\r\n")).await;
    raw(program, format!("POST {path} HTTP/9.9\r\nAuthorization: Bearer {KEY}\r\n\r\n")).await;
    let poll = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: hub\r\n";
    raw(program, format!("{poll}Cookie: immich_access_token={token}\r\n\r\n")).await;
}

#[test]
fn a_full_run_at_trace_logs_no_credential_and_no_payload() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let sha256 = hex::encode(Sha256::digest(KEY));
        let settings = |pause: u32| {
            format!(
                "[log]\nlevel = \"trace\"\n[server]\ndrain_ms = 50\n\
                 [webhooks]\nsecret = \"{SECRET}\"\nattempts_max = 2\nbackoff_ms = {pause}\n\
                 events_url = \"http://hub:{PASSWORD}@127.0.0.1:9/\"\n\
                 commands_url = \"http://hub:{PASSWORD}@127.0.0.1:9/\"\n\
                 events = [\"session_opened\", \"delivery_settled\"]\n\
                 [auth]\napi_keys = [{{ name = \"app\", sha256 = \"{sha256}\", scopes = [\"publish\"] }}]\n"
            )
        };
        let program = Program::start(&settings(10)).await;
        let token = program.token("alice", &[]);
        let publisher = program.token("app", &[Scope::Publish, Scope::Admin]);
        let own = std::fs::read_to_string(program.file("staffetta.secret")).unwrap();
        devices(&program, &token).await;
        calls(&program, &token).await;
        calls(&program, &publisher).await;
        program.reload(&settings(11));
        program.says("after a restart only: webhooks.backoff_ms").await;
        program.signal("TERM");
        let (status, folder) = program.ended().await;
        assert!(status.success());
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(log.contains("TRACE") && log.contains("DEBUG staffetta"), "nothing to look at");
        for hidden in [
            KEY, SECRET, PASSWORD, PAYLOAD, NOTE, BAD_TOKEN, API_KEY, &token, &publisher,
            own.trim(), &sha256,
        ] {
            let found = log.lines().find(|line| line.contains(hidden));
            assert_eq!(found, None, "{hidden} is in the log");
        }
    });
}
