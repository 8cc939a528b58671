//! The Autobahn fuzzing client against our frames: an echo server on the hub's own frame path.
//!
//! Runs when `STAFFETTA_TEST_AUTOBAHN` holds the command that starts `wstest`
//! (`tests/autobahn.sh` does it); otherwise it says that it was left out.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt;
use serde_json::{Value, json};
use staffetta::dialect::frame;
use staffetta::registry::SocketHandle;
use staffetta::ws::assembly::{Assembly, Incoming, MessageLimits};
use staffetta::ws::inbound::Inbound;
use staffetta::ws::outbox::{Outbox, OutboxBody};

/// More than the largest message of the suite.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// Longer than a client takes to read why the connection ends.
const LINGER: Duration = Duration::from_millis(250);

/// What the suite may say of a case.
const PASSED: &[&str] = &["OK", "NON-STRICT", "INFORMATIONAL"];

async fn upgrade(request: HttpRequest, payload: web::Payload) -> actix_web::Result<HttpResponse> {
    let mut response = actix_web_actors::ws::handshake(&request)?;
    let outbox = Arc::new(Outbox::new(MESSAGE_MAX));
    let socket = request.conn_data::<Arc<SocketHandle>>().cloned();
    actix_web::rt::spawn(echo(Inbound::new(payload, MESSAGE_MAX), Arc::clone(&outbox)));
    Ok(response.body(OutboxBody { outbox, socket }))
}

/// Says again what it hears, until either side ends the connection.
async fn echo(mut inbound: Inbound, outbox: Arc<Outbox>) {
    let limits = MessageLimits { soft_max: MESSAGE_MAX, hard_max: MESSAGE_MAX };
    let mut assembly = Assembly::default();
    while let Some(frame) = inbound.next().await {
        let incoming = match frame {
            Ok(frame) => assembly.take(frame, limits),
            Err(code) => Some(Incoming::Broken(code)),
        };
        let answer = match incoming {
            None | Some(Incoming::Pong) => continue,
            Some(Incoming::Text(text)) => frame::text(&text),
            Some(Incoming::Binary(bytes)) => frame::binary(&bytes),
            Some(Incoming::Ping(payload)) => frame::pong(&payload),
            Some(Incoming::TooLarge) => panic!("larger than {MESSAGE_MAX} bytes"),
            Some(Incoming::Close(code)) => {
                outbox.close(frame::close(code, ""));
                break;
            }
            Some(Incoming::Broken(code)) => {
                outbox.close(frame::close(Some(code.code()), code.reason()));
                let rest = async { while inbound.next().await.is_some() {} };
                let _ = tokio::time::timeout(LINGER, rest).await;
                break;
            }
        };
        outbox.push(answer);
    }
    outbox.finish();
}

/// Starts the echo server on a free port and a thread of its own.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let server = HttpServer::new(|| App::new().default_service(web::get().to(upgrade)))
            .workers(1)
            .disable_signals()
            .on_connect(staffetta::on_connect)
            .listen(listener)
            .unwrap();
        actix_web::rt::System::new().block_on(server.run()).unwrap();
    });
    port
}

#[test]
fn the_fuzzing_client_finds_no_failure() {
    let Ok(wstest) = std::env::var("STAFFETTA_TEST_AUTOBAHN") else {
        eprintln!("left out: STAFFETTA_TEST_AUTOBAHN is not set");
        return;
    };
    let port = serve();
    let folder = tempfile::tempdir().unwrap();
    let cases = std::env::var("AUTOBAHN_CASES").unwrap_or_else(|_| "*".to_owned());
    let spec = json!({
        "outdir": folder.path().join("reports"),
        "servers": [{"agent": "staffetta", "url": format!("ws://127.0.0.1:{port}")}],
        "cases": cases.split(',').collect::<Vec<_>>(),
        // Compression is never negotiated.
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    let path = folder.path().join("fuzzing.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    let mut words = wstest.split_whitespace();
    let client = Command::new(words.next().unwrap())
        .args(words)
        .args(["--mode", "fuzzingclient", "--spec"])
        .arg(&path)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    let index = std::fs::read(folder.path().join("reports/index.json")).unwrap();
    judge(&serde_json::from_slice(&index).unwrap());
}

/// Prints the count of each verdict; panics when a case failed.
fn judge(index: &Value) {
    let cases = index["staffetta"].as_object().unwrap();
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let mut failed = Vec::new();
    let mut lenient = Vec::new();
    for (name, verdict) in cases {
        let (behavior, close) = (&verdict["behavior"], &verdict["behaviorClose"]);
        let (behavior, close) = (behavior.as_str().unwrap(), close.as_str().unwrap());
        *counts.entry(behavior).or_default() += 1;
        if behavior == "NON-STRICT" {
            lenient.push(name);
        }
        if !PASSED.contains(&behavior) || !PASSED.contains(&close) {
            failed.push(format!("{name}: {behavior}, closing {close}"));
        }
    }
    eprintln!("{} cases: {counts:?}; not strict: {lenient:?}", cases.len());
    assert!(!cases.is_empty() && failed.is_empty(), "{failed:#?}");
}
