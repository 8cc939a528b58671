//! TLS: the whole protocol over it, nothing in the clear, and a new certificate without a restart.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{Connector, MaybeTlsStream, client_async_tls_with_config};

use crate::device::Device;
use crate::program::{API_KEY, Program};
use crate::world::eventually;

const SETTINGS: &str = "[server.tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";

/// Writes a fresh certificate for `localhost`, and its key.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

async fn program() -> (Program, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    (Program::start_in(folder, SETTINGS).await, trusted)
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A device behind something that keeps every byte the hub sends.
async fn tapped(
    program: &Program,
    trusted: &CertificateDer<'static>,
) -> (Device, Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, port) = (listener.local_addr().unwrap(), program.port);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tap = Arc::clone(&seen);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let hub = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_hub, mut to_hub)) =
            (client.into_split(), hub.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_hub).await });
        let mut chunk = vec![0; 65_536];
        while let Ok(read @ 1..) = from_hub.read(&mut chunk).await {
            tap.lock().unwrap().extend_from_slice(&chunk[..read]);
            to_client.write_all(&chunk[..read]).await.unwrap();
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = Some(Connector::Rustls(trusting(trusted)));
    let url = format!("wss://localhost:{}/ws", address.port());
    let (socket, _) = client_async_tls_with_config(url, stream, None, connector).await.unwrap();
    assert!(matches!(socket.get_ref(), MaybeTlsStream::Rustls(_)));
    (Device { socket }, seen)
}

/// The kinds of the TLS records in a stream, which must be whole.
fn records(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, 3, minor, high, low, rest @ ..] = bytes {
        let length = usize::from(*high) << 8 | usize::from(*low);
        assert!((1..=4).contains(minor) && length <= 16_640, "no record of TLS");
        assert!(rest.len() >= length, "half a record");
        kinds.push(*kind);
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "no record of TLS: {:?}", String::from_utf8_lossy(bytes));
    kinds
}

#[test]
fn a_device_over_tls_gets_everything_and_nothing_in_the_clear() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let (program, trusted) = program().await;
        let (mut device, seen) = tapped(&program, &trusted).await;
        assert_eq!(device.next().await["type"], "connection_established");
        let token = program.token("alice", &[]);
        let ok = device.auth(&token, json!("tab"), json!({"offline": "replay"})).await;
        assert_eq!(ok["type"], "auth_ok");
        // Acks come back, so that a socket without TLS would now be written to past its body.
        for seq in 1..=40 {
            let body = json!({"type": "added", "data": {"n": seq, "pad": "p".repeat(2_000)}});
            let answer = https(&program, &trusted, "/api/v1/users/alice/events", &body).await;
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
            device.acked(seq).await;
        }
        program.signal("TERM");
        assert_eq!(device.next().await["type"], "reconnect");
        device.closed(1012).await;
        drop(device);
        let kinds = records(&seen.lock().unwrap());
        let data = kinds.iter().filter(|kind| **kind == 23).count();
        assert!(data >= 40, "{kinds:?}");
        let text = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
        assert!(!text.contains("added") && !text.contains("pppp") && !text.contains("event_id"));
        assert!(program.ended().await.0.success());
    });
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_bad_one_is_not() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let (program, first) = program().await;
        let (mut device, _) = tapped(&program, &first).await;
        assert_eq!(device.next().await["type"], "connection_established");
        fs::write(program.file("key.pem"), "nonsense").unwrap();
        program.signal("HUP");
        program.says("the certificate in use stays: server.tls.key_file").await;
        assert!(handshake(&program, &first).await);
        let second = certify(program.folder.path());
        program.signal("HUP");
        eventually("the new certificate is used", || handshake(&program, &second)).await;
        assert!(!handshake(&program, &first).await);
        let token = program.token("alice", &[]);
        assert_eq!(device.auth(&token, json!("tab"), json!({})).await["type"], "auth_ok");
    });
}

#[test]
fn who_speaks_no_tls_is_told_nothing() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let (program, _) = program().await;
        let mut socket = TcpStream::connect(("127.0.0.1", program.port)).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    });
}

/// Whether the hub shows this certificate.
async fn handshake(program: &Program, trusted: &CertificateDer<'static>) -> bool {
    let stream = TcpStream::connect(("127.0.0.1", program.port)).await.unwrap();
    let connector = Some(Connector::Rustls(trusting(trusted)));
    let url = format!("wss://localhost:{}/ws", program.port);
    client_async_tls_with_config(url, stream, None, connector).await.is_ok()
}

/// Posts over TLS, and says the whole answer.
async fn https(
    program: &Program,
    trusted: &CertificateDer<'static>,
    path: &str,
    body: &serde_json::Value,
) -> String {
    let (config, port, body) = (trusting(trusted), program.port, body.to_string());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = rustls::ClientConnection::new(config, name).unwrap();
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // The end may come without a goodbye.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    })
    .await
    .unwrap()
}
