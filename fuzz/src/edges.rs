//! What comes in beside the dialects: WebSocket frames, the configuration, bodies and queries.

use std::path::PathBuf;

use actix_http::Payload;
use actix_web::FromRequest;
use actix_web::test::TestRequest;
use actix_web::web;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use staffetta::Config;
use staffetta::config::Sources;
use staffetta::http::fuzzing;
use staffetta::ws::assembly::{Assembly, Incoming, MessageLimits};
use staffetta::ws::inbound::Inbound;

const LIMITS: MessageLimits = MessageLimits { soft_max: 1_024, hard_max: 4_096 };

pub fn frames(data: &[u8]) {
    let mut payload = Payload::from(Bytes::copy_from_slice(data));
    let request = TestRequest::default().to_http_request();
    let Some(Ok(payload)) = web::Payload::from_request(&request, &mut payload).now_or_never()
    else {
        return;
    };
    let mut inbound = Inbound::new(payload, LIMITS.hard_max);
    let mut assembly = Assembly::default();
    while let Some(Some(Ok(frame))) = inbound.next().now_or_never() {
        match assembly.take(frame, LIMITS) {
            Some(Incoming::Text(text)) => assert!(text.len() <= LIMITS.soft_max),
            Some(Incoming::Binary(bytes)) => assert!(bytes.len() <= LIMITS.soft_max),
            Some(Incoming::Ping(payload)) => assert!(payload.len() <= 125),
            Some(Incoming::Broken(_)) => return,
            Some(Incoming::TooLarge | Incoming::Pong | Incoming::Close(_)) | None => {}
        }
    }
}

/// A file; from the first line `--` on, lines of `KEY=value` for the environment or, in lower
/// case, flags.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (file, rest) = text.split_once("\n--\n").unwrap_or((text, ""));
    let pairs = rest.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let (environment, flags) = pairs.partition(|(key, _)| key.starts_with("STAFFETTA_"));
    let file = Some((PathBuf::from("config.toml"), file.to_owned()));
    match Config::load(&Sources { file, environment, flags }) {
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty(), "refused without a word"),
    }
}

pub fn publish(data: &[u8]) {
    fuzzing::publish_bodies(data);
}

pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    fuzzing::query(text);
}
