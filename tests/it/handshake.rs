//! Upgrades: who gets a WebSocket, and what the others are told.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::program::Program;
use crate::raw::{FIN, HANDSHAKE, Raw, TEXT, frame};
use crate::world::{Database, TestHub};

/// Longer than anything these tests wait for.
const DEADLINE: Duration = Duration::from_secs(10);

/// What crosses the wire does not depend on the database.
fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

async fn hub() -> TestHub {
    TestHub::start(Database::Sqlite, |_| {}).await
}

/// The head of the answer to an upgrade with these headers.
async fn answer(hub: &TestHub, line: &str, headers: &str) -> String {
    Raw::request(hub, &format!("{line}\r\n{headers}\r\n")).await.1
}

#[test]
fn the_key_is_answered_and_nothing_is_agreed_that_was_not_asked() {
    on_sqlite(|| async {
        let hub = hub().await;
        for path in ["/ws", "/", "/updates", "/?session_id=tab", "/ws?x=%20"] {
            let line = format!("GET {path} HTTP/1.1");
            let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            let head = answer(&hub, &line, &format!("{HANDSHAKE}{extension}")).await.to_lowercase();
            assert!(head.starts_with("http/1.1 101"), "{path}: {head}");
            assert!(
                head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
                "{head}"
            );
            assert!(head.contains("upgrade: websocket\r\n"), "{head}");
            assert!(head.contains("connection: upgrade\r\n"), "{head}");
            assert!(!head.contains("sec-websocket-extensions"), "{head}");
            assert!(!head.contains("sec-websocket-protocol"), "{head}");
        }
    });
}

#[test]
fn headers_may_be_spelled_and_listed_in_any_way() {
    on_sqlite(|| async {
        let hub = hub().await;
        let headers = "host: hub\r\nCONNECTION: keep-alive, UPGRADE\r\nuPgRaDe: h2c, WebSocket\r\n\
            sec-websocket-version:13\r\nSEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Origin: http://HUB\r\nContent-Length: 0\r\n";
        for line in ["GET /ws HTTP/1.1", "GET / HTTP/1.1"] {
            let head = answer(&hub, line, headers).await;
            assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        }
    });
}

#[test]
fn of_the_subprotocols_bearer_is_agreed_and_its_token_taken() {
    on_sqlite(|| async {
        let hub = hub().await;
        let token = hub.token("alice");
        for offer in
            [format!("bearer, {token}"), format!("bearer,{token}"), format!("x, bearer, {token}")]
        {
            let headers = format!("{HANDSHAKE}Sec-WebSocket-Protocol: {offer}\r\n");
            let (mut raw, head) =
                Raw::request(&hub, &format!("GET /ws HTTP/1.1\r\n{headers}\r\n")).await;
            let head = head.to_lowercase();
            assert!(head.contains("sec-websocket-protocol: bearer\r\n"), "{head}");
            assert_eq!(raw.json().await["type"], "connection_established");
            assert_eq!(raw.json().await["type"], "auth_success");
        }
        let headers = format!("{HANDSHAKE}Sec-WebSocket-Protocol: graphql-ws\r\n");
        let head = answer(&hub, "GET /ws HTTP/1.1", &headers).await.to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(!head.contains("sec-websocket-protocol"), "{head}");
        // Without a token it is agreed, and `auth` may follow.
        let headers = format!("{HANDSHAKE}Sec-WebSocket-Protocol: bearer\r\n");
        let (mut raw, _) = Raw::request(&hub, &format!("GET /ws HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(raw.json().await["type"], "connection_established");
        let auth = json!({"type": "auth", "token": token}).to_string();
        raw.send(&frame(FIN | TEXT, auth.as_bytes())).await;
        assert_eq!(raw.json().await["type"], "auth_success");
    });
}

#[test]
fn another_version_is_told_which_one_this_is() {
    on_sqlite(|| async {
        let hub = hub().await;
        for version in ["0", "7", "8", "12", "14", "13, 8", "x", ""] {
            let headers = HANDSHAKE.replace("Version: 13", &format!("Version: {version}"));
            let head = answer(&hub, "GET /ws HTTP/1.1", &headers).await.to_lowercase();
            assert!(head.starts_with("http/1.1 426"), "{version}: {head}");
            assert!(head.contains("sec-websocket-version: 13\r\n"), "{head}");
        }
        let headers = HANDSHAKE.replace("Sec-WebSocket-Version: 13\r\n", "");
        let head = answer(&hub, "GET /ws HTTP/1.1", &headers).await.to_lowercase();
        assert!(head.starts_with("http/1.1 426"), "{head}");
        assert!(head.contains("sec-websocket-version: 13\r\n"), "{head}");
    });
}

#[test]
fn what_is_no_handshake_is_refused() {
    on_sqlite(|| async {
        let hub = hub().await;
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (headers, status) in [
            (HANDSHAKE.replace(key, ""), 400),
            (HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400),
            (HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE+"), 400),
            (HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", ""), 400),
            (HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive"), 400),
            (HANDSHAKE.replace("Connection: Upgrade\r\n", ""), 400),
            (HANDSHAKE.replace("Upgrade: websocket", "Upgrade: h2c"), 400),
            (HANDSHAKE.replace("Upgrade: websocket\r\n", ""), 400),
            ("Host: hub\r\n".to_owned(), 400),
            (format!("{HANDSHAKE}Content-Length: 6\r\n"), 400),
            (format!("{HANDSHAKE}Transfer-Encoding: chunked\r\n"), 400),
        ] {
            let head = answer(&hub, "GET /ws HTTP/1.1", &headers).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {head}");
        }
        let head = answer(&hub, "GET /ws HTTP/1.0", HANDSHAKE).await;
        assert!(head.starts_with("HTTP/1.0 400"), "{head}");
        for method in ["POST", "PUT", "HEAD"] {
            let head = answer(&hub, &format!("{method} /ws HTTP/1.1"), HANDSHAKE).await;
            assert!(head.starts_with("HTTP/1.1 405"), "{method}: {head}");
        }
        let head = answer(&hub, "GET /nowhere HTTP/1.1", HANDSHAKE).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        let head = answer(&hub, "GET / HTTP/1.1", "Host: hub\r\n").await;
        assert!(head.starts_with("HTTP/1.1 307") && head.contains("location: demo/"), "{head}");
    });
}

#[test]
fn headers_are_bounded() {
    on_sqlite(|| async {
        let hub = hub().await;
        let long = format!("{HANDSHAKE}X-Long: {}\r\n", "x".repeat(60_000));
        let head = answer(&hub, "GET /ws HTTP/1.1", &long).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let longer = format!("{HANDSHAKE}X-Long: {}\r\n", "x".repeat(140_000));
        let head = answer(&hub, "GET /ws HTTP/1.1", &longer).await;
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
        let many = format!("{HANDSHAKE}{}", "X-Many: x\r\n".repeat(200));
        let head = answer(&hub, "GET /ws HTTP/1.1", &many).await;
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    });
}

/// What the hub's own server does, which takes the socket from actix-http.
#[test]
fn the_first_frame_comes_with_the_answer_and_what_was_said_behind_the_request_is_heard() {
    on_sqlite(|| async {
        let hub = Program::start("").await;
        let mut socket = TcpStream::connect(("127.0.0.1", hub.port)).await.unwrap();
        let mut said = format!("GET /ws HTTP/1.1\r\n{HANDSHAKE}\r\n").into_bytes();
        said.extend(frame(FIN | TEXT, br#"{"type":"ping"}"#));
        socket.write_all(&said).await.unwrap();
        let mut chunk = [0; 4_096];
        let mut read =
            timeout(DEADLINE, socket.read(&mut chunk)).await.expect("an answer").unwrap();
        let first = String::from_utf8_lossy(&chunk[..read]).into_owned();
        assert!(first.starts_with("HTTP/1.1 101"), "{first}");
        assert!(first.contains("connection_established"), "{first}");
        let mut all = first;
        while !all.contains(r#""type":"pong""#) {
            read = timeout(DEADLINE, socket.read(&mut chunk)).await.expect("a pong").unwrap();
            assert!(read > 0, "the end, after {all}");
            all.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    });
}
