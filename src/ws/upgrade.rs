//! From an HTTP request to a connection: handshake, credentials, and the socket's second handle.

use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext};
use actix_http::ws::{HandshakeError, verify_handshake};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::http::Version;
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING,
};
use actix_web::rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use actix_web_actors::ws::handshake_with_protocols;

use super::inbound::Inbound;
use super::origin::{client_address, page};
use super::outbox::OutboxBody;
use super::session::{UpgradeToken, WsSession};
use crate::auth::Address;
use crate::clock;
use crate::dialect::DialectKind;
use crate::protocol::{SessionId, SessionRequest};
use crate::registry::{SocketHandle, Wire, Worker};

/// The subprotocol whose second member is the token.
const BEARER: &str = "bearer";

const PADDING: &str = match str::from_utf8(&[b'.'; 720]) {
    Ok(dots) => dots,
    Err(_) => "",
};

/// Makes the answer of a handshake about 900 bytes long, 980 with the first frame behind it, which is
/// less than any client's buffer for it.
///
/// A receiver acks at least every second full-sized segment (RFC 5681, 4.2), and takes the largest
/// it has seen for the full size: at first Linux takes 536 bytes for it. Two events are mostly
/// more, so that every second frame would be acked by a packet of its own, which costs the sender
/// a fifth of a frame's whole CPU. With this it is every fourth. Behind TLS it is certificates that
/// have the same effect.
pub(crate) fn pad(response: &mut HttpResponseBuilder, socket: Option<&Arc<SocketHandle>>) {
    if socket.is_none_or(|socket| socket.is_plain()) {
        let name = HeaderName::from_static("x-padding");
        response.insert_header((name, HeaderValue::from_static(PADDING)));
    }
}

/// For [`actix_web::HttpServer::on_connect`]: keeps a second handle of each accepted socket, and
/// sends small frames at once. By the handle a connection whose reader is stuck is ended, and one
/// that has said goodbye is closed at once; a host that leaves it out lets the first last as long
/// as its reader, and the second for `client_disconnect_timeout`.
pub fn on_connect(io: &dyn Any, extensions: &mut actix_web::dev::Extensions) {
    let (stream, wire) = match (io.downcast_ref::<TcpStream>(), io.downcast_ref::<TlsStream<_>>()) {
        (Some(stream), _) => (stream, Wire::Plain),
        (None, Some(tls)) => (tls.get_ref().0, Wire::Tls),
        (None, None) => return,
    };
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("a socket keeps its delay: {error}");
    }
    match stream.as_fd().try_clone_to_owned() {
        Ok(duplicate) => {
            extensions.insert(Arc::new(SocketHandle::new(duplicate.into(), wire)));
        }
        Err(error) => log::warn!("a socket has no second handle: {error}"),
    }
}

/// Upgrades a request of `/ws`.
///
/// # Errors
/// When the request is no WebSocket handshake (RFC 6455, 4.2.1).
pub(super) async fn native(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::ThinData<Worker>,
) -> Result<HttpResponse, actix_web::Error> {
    upgrade(request, payload, worker, DialectKind::Native).await
}

/// Upgrades a request of `/updates`.
///
/// # Errors
/// As [`native`].
pub(super) async fn updates(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::ThinData<Worker>,
) -> Result<HttpResponse, actix_web::Error> {
    upgrade(request, payload, worker, DialectKind::Updates).await
}

/// Upgrades a request to a connection of this worker.
async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::ThinData<Worker>,
    dialect: DialectKind,
) -> Result<HttpResponse, actix_web::Error> {
    verify(&request)?;
    let mut response = handshake_with_protocols(&request, &[BEARER])?;
    let parts = worker.parts();
    if !page(&request, &parts.gate).may_connect() {
        parts.metrics.refused("origin");
        log::debug!("refused a page of another origin");
        return Ok(HttpResponse::Forbidden().body("pages of this origin may not connect"));
    }
    if worker.is_draining() {
        return Ok(HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "1")).finish());
    }
    if worker.connections_count() >= worker.config().server.connections_max {
        return Ok(HttpResponse::ServiceUnavailable()
            .insert_header((RETRY_AFTER, "1"))
            .body("as many connections as server.connections_max allows"));
    }
    let address = client_address(&request, &worker.config().server.trusted_proxies);
    let now = clock::now();
    let failing = address.and_then(|address| parts.failures.pause(address.into(), now));
    if let Some(pause) = failing {
        parts.metrics.refused("failures");
        return Ok(too_many(pause, "too many failed authentications from this address"));
    }
    let seat = match parts.gate.enter(address, now) {
        Ok(seat) => seat,
        Err(pause) => {
            parts.metrics.refused("rate");
            return Ok(too_many(pause, "too many connections from this address"));
        }
    };
    let socket = request.conn_data::<Arc<SocketHandle>>().cloned();
    pad(&mut response, socket.as_ref());
    let connection = worker.open(dialect, socket.clone());
    let outbox = Arc::clone(&connection.outbox);
    let token = match dialect {
        DialectKind::Native | DialectKind::SocketIo(_) => token(&request),
        DialectKind::Updates => token(&request).or_else(|| in_query(&request, "token")),
    };
    let token = UpgradeToken { token, session: session(&request) };
    let inbound = Inbound::new(payload, worker.config().limits.message_bytes_hard_max);
    WsSession::create(|ctx| {
        ctx.add_stream(inbound);
        let from = (address.map(Address::from), seat);
        WsSession::new(worker.0.clone(), connection, token, from)
    });
    Ok(response.body(OutboxBody { outbox, socket }))
}

fn too_many(pause: Duration, why: &'static str) -> HttpResponse {
    HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, whole_seconds(pause))).body(why)
}

/// How many seconds a pause takes, for `Retry-After`.
pub(crate) fn whole_seconds(pause: Duration) -> u64 {
    (pause.as_millis().div_ceil(1_000) as u64).max(1)
}

/// Refuses what is no handshake of RFC 6455; actix-web-actors alone takes older versions, any key,
/// HTTP/1.0, and a body before the frames.
pub(crate) fn verify(request: &HttpRequest) -> Result<(), HandshakeError> {
    if request.version() < Version::HTTP_11 {
        return Err(HandshakeError::NoWebsocketUpgrade);
    }
    let headers = request.headers();
    let has_length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        // The reason phrase of this one fits whatever is wrong.
        return Err(HandshakeError::BadWebsocketKey);
    }
    verify_handshake(request.head()).map_err(|error| match error {
        // Who names no version is told which one this is, like who names another.
        HandshakeError::NoVersionHeader => HandshakeError::UnsupportedVersion,
        error => error,
    })
}

/// The token that came with the request, in a header or as a subprotocol.
fn token(request: &HttpRequest) -> Option<String> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    if let Some(value) = header(AUTHORIZATION) {
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim().to_owned());
    }
    let mut protocols = header(SEC_WEBSOCKET_PROTOCOL)?.split(',').map(str::trim);
    protocols.find(|protocol| *protocol == BEARER)?;
    protocols.next().map(str::to_owned)
}

/// The session the query asks for: `?session_id=`, empty for a new one.
fn session(request: &HttpRequest) -> Option<SessionRequest> {
    match SessionId::new(&in_query(request, "session_id")?) {
        Ok(name) => Some(SessionRequest::Named(name)),
        Err(_) => Some(SessionRequest::New),
    }
}

fn in_query(request: &HttpRequest, name: &str) -> Option<String> {
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
    query.into_inner().into_iter().find_map(|(key, value)| (key == name).then_some(value))
}
