//! From an HTTP request to what serves it: a new session, a poll, a POST, a WebSocket.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    CACHE_CONTROL, HeaderValue, ORIGIN, UPGRADE, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};

use super::handle::{Handle, Transport};
use super::refusal::Refusal;
use super::session::Session;
use super::state::SocketIoState;
use super::{credentials, polling, websocket};
use crate::auth::Address;
use crate::clock;
use crate::dialect::socketio::engine::handshake;
use crate::gate::Seat;
use crate::registry::{SocketHandle, Worker};
use crate::ws::origin::{client_address, page};

/// The version of Engine.IO that is spoken.
const VERSION: &str = "4";

/// Where a request came in.
#[derive(Clone)]
pub(super) struct At {
    pub(super) worker: Worker,
    pub(super) state: SocketIoState,
    pub(super) index: usize,
}

/// What a request asks for.
#[derive(Default)]
struct Query {
    version: Option<String>,
    transport: Option<String>,
    sid: Option<String>,
}

/// Serves a request of any method.
pub(super) async fn serve(at: At, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let mut response = match route(&at, &request, payload).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(),
    };
    allow_origin(&at, &request, &mut response);
    response
}

async fn route(
    at: &At,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    if request.method() == Method::OPTIONS {
        return Ok(preflight(request));
    }
    let query = Query::read(request);
    let is_upgrade = request
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let transport = match query.transport.as_deref() {
        Some("polling") => Transport::Polling,
        Some("websocket") => Transport::WebSocket,
        Some(_) | None => return Err(Refusal::UnknownTransport),
    };
    if !page(request, &at.worker.parts().gate).may_connect() {
        at.worker.parts().metrics.refused("origin");
        return Err(Refusal::Forbidden);
    }
    let Some(sid) = &query.sid else {
        if request.method() != Method::GET {
            return Err(Refusal::BadMethod);
        }
        if is_upgrade != (transport == Transport::WebSocket) {
            return Err(Refusal::BadRequest);
        }
        if query.version.as_deref() != Some(VERSION) {
            return Err(Refusal::UnsupportedVersion);
        }
        // Sessions that poll outlive their sockets, which are what the server counts.
        let connections_max = at.state.config().server.connections_max;
        if at.worker.is_draining() || at.worker.connections_count() >= connections_max {
            return Err(Refusal::Unavailable);
        }
        let seat = enter(at, request)?;
        return match transport {
            Transport::Polling | Transport::Probing => open(at, request, seat),
            Transport::WebSocket => websocket::open(at, request, payload, seat),
        };
    };
    let handle = at.state.directory().get(sid).filter(|handle| handle.mount == at.index);
    let handle = handle.ok_or(Refusal::UnknownSid)?;
    let is_poll = transport == Transport::Polling && request.method() == Method::GET;
    if is_poll && handle.take_noop() {
        return Ok(polling::noop());
    }
    if handle.is_dead(clock::now()) {
        return Err(Refusal::UnknownSid);
    }
    match (transport, request.method()) {
        (Transport::WebSocket, &Method::GET) if is_upgrade => {
            websocket::join(at, request, payload, handle).await
        }
        (Transport::Polling, &Method::GET) if !is_upgrade => polling::poll(request, handle).await,
        (Transport::Polling, &Method::POST) => polling::post(at, payload, handle).await,
        _ => Err(Refusal::BadRequest),
    }
}

impl Query {
    fn read(request: &HttpRequest) -> Self {
        let mut query = Self::default();
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        for (name, value) in pairs.map(web::Query::into_inner).unwrap_or_default() {
            match name.as_str() {
                "EIO" => query.version = Some(value),
                "transport" => query.transport = Some(value),
                "sid" => query.sid = Some(value),
                _ => {}
            }
        }
        query
    }
}

/// Opens a session that begins with polls; the answer is its handshake.
fn open(at: &At, request: &HttpRequest, seat: Seat) -> Result<HttpResponse, Refusal> {
    let handle = start(at, request, Transport::Polling, seat)?;
    Ok(polling::answer(handshake_of(at, &handle, Transport::Polling)))
}

/// Starts the task of a new session on this worker.
pub(super) fn start(
    at: &At,
    request: &HttpRequest,
    transport: Transport,
    seat: Seat,
) -> Result<Arc<Handle>, Refusal> {
    let socket = request.conn_data::<Arc<SocketHandle>>().cloned();
    let token = credentials::token(request, page(request, &at.worker.parts().gate));
    Session::start(
        at,
        (token, address(at, request).map(Address::from), seat),
        transport,
        socket.filter(|_| transport == Transport::WebSocket),
    )
    .ok_or(Refusal::Unavailable)
}

/// Lets a new session in, unless too many come from there.
fn enter(at: &At, request: &HttpRequest) -> Result<Seat, Refusal> {
    let (parts, now) = (at.worker.parts(), clock::now());
    let address = address(at, request);
    match address.and_then(|address| parts.failures.pause(address.into(), now)) {
        Some(pause) => {
            parts.metrics.refused("failures");
            Err(Refusal::TooMany(pause))
        }
        None => parts.gate.enter(address, now).map_err(|pause| {
            parts.metrics.refused("rate");
            Refusal::TooMany(pause)
        }),
    }
}

/// Where a request comes from.
fn address(at: &At, request: &HttpRequest) -> Option<IpAddr> {
    client_address(request, &at.state.config().server.trusted_proxies)
}

/// The open packet of a session.
pub(super) fn handshake_of(at: &At, handle: &Handle, transport: Transport) -> String {
    let settings = at.state.settings();
    handshake(
        &handle.sid,
        transport == Transport::Polling,
        settings.ping_interval_ms,
        settings.ping_timeout_ms,
        settings.max_payload,
    )
}

/// Lets the page that asks read the answer.
fn allow_origin(at: &At, request: &HttpRequest, response: &mut HttpResponse) {
    let Some(origin) = request.headers().get(ORIGIN) else { return };
    let page = page(request, &at.worker.parts().gate);
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if page.may_use_cookies() {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else if page.may_connect() {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

fn preflight(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "600"))
        .insert_header((CACHE_CONTROL, "no-store"));
    if let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()));
    }
    response.finish()
}
