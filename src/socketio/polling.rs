//! Polls and POSTs of one session, at whatever worker they come in.
//!
//! Two polls at once, two POSTs at once, and a poll that is given up all end the session: what
//! was answered to whom can no longer be told.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::oneshot;

use super::handle::{Handle, Received, Transport};
use super::refusal::Refusal;
use super::request::At;
use crate::dialect::socketio::polling::{Payload, PollBody};
use crate::protocol::CloseCode;
use crate::registry::SocketHandle;

/// What waits for a client goes out in pieces of about this many bytes.
const POLL_BYTES_MAX: usize = 1024 * 1024;

/// How long a poll waits while a WebSocket is tried: the client wants its answer to go on.
const PROBING_WAIT: Duration = Duration::from_millis(100);

/// How long a request waits for its refusal whose session is at a WebSocket, or on its way there:
/// its client takes that as the end of the way, and is to have heard what was said on it.
const MOVED_WAIT: Duration = Duration::from_millis(20);

/// What comes of a wait.
enum Waited {
    /// There is something to answer.
    Body(PollBody),
    /// The session went to a WebSocket that was being tried when the poll came.
    Moved,
    /// The client went away.
    Gone,
}

/// Ends the session when its poll is dropped before it has an answer.
struct GivenUp<'a>(Option<&'a Handle>);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.0 {
            log::debug!(connection_id:% = handle.connection; "a poll was given up: its session ends");
            handle.end(None);
        }
    }
}

/// Answers a poll with what waits for the client, once there is something.
pub(super) async fn poll(
    request: &HttpRequest,
    handle: Arc<Handle>,
) -> Result<HttpResponse, Refusal> {
    let came_to = handle.transport();
    if came_to == Transport::WebSocket {
        return Err(moved().await);
    }
    let Some(_turn) = handle.begin_poll() else {
        log::debug!(connection_id:% = handle.connection; "two polls at once: their session ends");
        handle.end(None);
        return Err(Refusal::BadRequest);
    };
    let socket = request.conn_data::<Arc<SocketHandle>>().cloned();
    let mut given_up = GivenUp(Some(&handle));
    let waited = wait(&handle, came_to, socket.as_deref()).await;
    given_up.0 = None;
    match waited {
        Waited::Body(body) => {
            if body.is_last {
                // It has had the last word.
                handle.ended.cancel();
            }
            Ok(answer(body.text))
        }
        Waited::Moved => Err(moved().await),
        Waited::Gone => {
            handle.end(None);
            Err(Refusal::BadRequest)
        }
    }
}

/// Refuses a request that comes too late for its transport.
pub(super) async fn moved() -> Refusal {
    tokio::time::sleep(MOVED_WAIT).await;
    Refusal::BadRequest
}

/// Waits for something to answer.
async fn wait(handle: &Handle, came_to: Transport, socket: Option<&SocketHandle>) -> Waited {
    let mut body = PollBody::default();
    let is_bodys = || handle.transport() == Transport::WebSocket;
    loop {
        let turned = handle.turned.notified();
        let transport = handle.transport();
        for frames in handle.outbox.take(POLL_BYTES_MAX, is_bodys) {
            body.push(&frames);
        }
        if !body.text.is_empty() {
            return Waited::Body(body);
        }
        if transport == Transport::WebSocket && came_to == Transport::Probing {
            // Its client said it would poll no more.
            return Waited::Moved;
        }
        if transport == Transport::WebSocket || handle.ended.is_cancelled() {
            return Waited::Body(nothing());
        }
        let probing = async {
            match transport {
                Transport::Probing => tokio::time::sleep(PROBING_WAIT).await,
                Transport::Polling | Transport::WebSocket => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = handle.outbox.filled(is_bodys) => {}
            () = handle.ended.cancelled() => {}
            () = turned => {}
            () = probing => return Waited::Body(nothing()),
            () = closed(socket) => return Waited::Gone,
        }
    }
}

fn nothing() -> PollBody {
    PollBody { text: "6".to_owned(), is_last: false }
}

/// The answer to a poll there is nothing for.
pub(super) fn noop() -> HttpResponse {
    answer(nothing().text)
}

/// Waits until the other side has closed; for ever when that cannot be told.
async fn closed(socket: Option<&SocketHandle>) {
    match socket {
        Some(socket) => socket.closed().await,
        None => std::future::pending().await,
    }
}

/// Takes the packets of a POST.
pub(super) async fn post(
    at: &At,
    payload: web::Payload,
    handle: Arc<Handle>,
) -> Result<HttpResponse, Refusal> {
    if handle.transport() == Transport::WebSocket {
        return Err(moved().await);
    }
    let Some(_turn) = handle.begin_post() else {
        log::debug!(connection_id:% = handle.connection; "two POSTs at once: their session ends");
        handle.end(None);
        return Err(Refusal::BadRequest);
    };
    let body = tokio::select! {
        body = read(payload, at.state.settings().max_payload) => body?,
        // Whoever sends it slowly does not outlive the session.
        () = handle.ended.cancelled() => return Err(Refusal::UnknownSid),
    };
    let Ok(payload) = Payload::parse(body) else {
        handle.end(Some(CloseCode::ProtocolError));
        return Err(Refusal::BadRequest);
    };
    let (reply, taken) = oneshot::channel();
    if handle.inbox.send(Received::Payload(payload, reply)).await.is_err() {
        return Err(Refusal::UnknownSid);
    }
    match taken.await {
        Ok(Ok(())) => Ok(html("ok")),
        Ok(Err(_)) | Err(_) => Err(Refusal::BadRequest),
    }
}

async fn read(mut payload: web::Payload, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    let mut is_too_large = false;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refusal::BadRequest)?;
        if body.len() + chunk.len() > bytes_max {
            // The rest is read all the same, so that the answer is.
            is_too_large = true;
            body = BytesMut::new();
        }
        if !is_too_large {
            body.extend_from_slice(&chunk);
        }
    }
    if is_too_large { Err(Refusal::TooLarge) } else { Ok(body.freeze()) }
}

/// The answer to a poll.
pub(super) fn answer(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; charset=UTF-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text)
}

/// The answer to a POST: a type some clients insist on.
fn html(text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text)
}
