//! Sessions on a WebSocket: from the start, or after a probe.
//!
//! The socket may be at another worker than its session: frames go to the session's task one
//! after the other, and its outbox is drained from here.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::handshake;
use bytes::Bytes;
use futures_util::StreamExt;

use super::handle::{Handle, Received, Transport};
use super::polling::moved;
use super::refusal::Refusal;
use super::request::{At, handshake_of, start};
use crate::dialect::frame;
use crate::dialect::socketio::engine::EnginePacket;
use crate::gate::Seat;
use crate::protocol::CloseCode;
use crate::registry::SocketHandle;
use crate::ws::assembly::{Assembly, Incoming, MessageLimits};
use crate::ws::inbound::Inbound;
use crate::ws::outbox::{Outbox, OutboxBody};
use crate::ws::upgrade::{pad, verify};

/// How long a probe may take.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(10);

/// What an opened WebSocket is read by.
struct Reader {
    inbound: Inbound,
    assembly: Assembly,
    limits: MessageLimits,
    socket: Option<Arc<SocketHandle>>,
    grace: Duration,
}

/// Opens a session on a WebSocket.
pub(super) fn open(
    at: &At,
    request: &HttpRequest,
    payload: web::Payload,
    seat: Seat,
) -> Result<HttpResponse, Refusal> {
    verify(request).map_err(|_| Refusal::BadRequest)?;
    let mut response = handshake(request).map_err(|_| Refusal::BadRequest)?;
    let handle = start(at, request, Transport::WebSocket, seat)?;
    let opened = handshake_of(at, &handle, Transport::WebSocket);
    handle.say(&opened);
    let outbox = Arc::clone(&handle.outbox);
    let reader = Reader::new(at, request, payload);
    pad(&mut response, reader.socket.as_ref());
    let socket = reader.socket.clone();
    actix_web::rt::spawn(async move { reader.serve(handle, None).await });
    Ok(response.body(OutboxBody { outbox, socket }))
}

/// Tries a WebSocket for a session that polls.
pub(super) async fn join(
    at: &At,
    request: &HttpRequest,
    payload: web::Payload,
    handle: Arc<Handle>,
) -> Result<HttpResponse, Refusal> {
    verify(request).map_err(|_| Refusal::BadRequest)?;
    let mut response = handshake(request).map_err(|_| Refusal::BadRequest)?;
    if !handle.change(Transport::Polling, Transport::Probing) {
        return Err(moved().await);
    }
    let lobby = Rc::new(Lobby::default());
    let mut reader = Reader::new(at, request, payload);
    pad(&mut response, reader.socket.as_ref());
    let body = LobbyBody {
        lobby: Rc::clone(&lobby),
        outbox: Arc::clone(&handle.outbox),
        socket: reader.socket.clone(),
    };
    actix_web::rt::spawn(async move {
        let probed = tokio::time::timeout(PROBE_WAIT_MAX, reader.probe(&handle, &lobby)).await;
        if probed == Ok(true) {
            lobby.set(Stage::Joined);
            reader.serve(handle, Some(&lobby)).await;
            return;
        }
        // It goes on with polls, as if nothing had been tried.
        handle.change(Transport::Probing, Transport::Polling);
        lobby.push(frame::close(None, ""));
        reader.linger().await;
        lobby.set(Stage::Ended);
    });
    Ok(response.body(body))
}

impl Reader {
    fn new(at: &At, request: &HttpRequest, payload: web::Payload) -> Self {
        let bytes_max = at.state.settings().max_payload;
        Self {
            inbound: Inbound::new(payload, bytes_max),
            assembly: Assembly::default(),
            limits: MessageLimits { soft_max: bytes_max, hard_max: bytes_max },
            socket: request.conn_data::<Arc<SocketHandle>>().cloned(),
            grace: Duration::from_millis(at.state.config().ws.close_grace_ms),
        }
    }

    /// The next thing the peer says; none when it is gone.
    async fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.inbound.next().await? {
                Ok(frame) => {
                    if let Some(incoming) = self.assembly.take(frame, self.limits) {
                        return Some(incoming);
                    }
                }
                Err(code) => return Some(Incoming::Broken(code)),
            }
        }
    }

    /// Takes the probe and the upgrade; says whether both came.
    async fn probe(&mut self, handle: &Handle, lobby: &Lobby) -> bool {
        let mut is_probed = false;
        loop {
            let incoming = tokio::select! {
                incoming = self.next() => incoming,
                () = handle.ended.cancelled() => return false,
            };
            match incoming {
                Some(Incoming::Ping(payload)) => lobby.push(frame::pong(&payload)),
                Some(Incoming::Pong) => {}
                Some(Incoming::Text(text)) => match EnginePacket::parse(&text) {
                    Ok(EnginePacket::Ping(text)) if text == "probe" && !is_probed => {
                        is_probed = true;
                        lobby.push(frame::text("3probe"));
                        handle.turned.notify_waiters();
                    }
                    Ok(EnginePacket::Upgrade) if is_probed => {
                        return handle.change(Transport::Probing, Transport::WebSocket);
                    }
                    Ok(_) | Err(_) => return false,
                },
                Some(
                    Incoming::Binary(_)
                    | Incoming::TooLarge
                    | Incoming::Close(_)
                    | Incoming::Broken(_),
                )
                | None => return false,
            }
        }
    }

    /// Hands what the peer says to the session, until one of them is gone.
    async fn serve(mut self, handle: Arc<Handle>, lobby: Option<&Lobby>) {
        let mut is_settled = false;
        let is_gone = loop {
            let incoming = tokio::select! {
                biased;
                () = handle.ended.cancelled() => break false,
                incoming = self.next() => incoming,
            };
            // Not past what was said in the lobby.
            if !is_settled && lobby.is_none_or(Lobby::is_empty) {
                is_settled = true;
                if let Some(socket) = &self.socket {
                    handle.outbox.go_direct(socket);
                }
            }
            let packet = match incoming {
                Some(Incoming::Text(text)) => match EnginePacket::parse(&text) {
                    Ok(packet) => packet,
                    Err(_) => {
                        handle.end(Some(CloseCode::ProtocolError));
                        break false;
                    }
                },
                Some(Incoming::Binary(bytes)) => EnginePacket::Binary(bytes),
                Some(Incoming::Ping(payload)) => {
                    handle.push(frame::pong(&payload));
                    continue;
                }
                Some(Incoming::Pong) => continue,
                Some(Incoming::Close(code)) => {
                    handle.outbox.close(frame::close(code, ""));
                    handle.ended.cancel();
                    break true;
                }
                Some(Incoming::TooLarge) => {
                    handle.end(Some(CloseCode::TooBig));
                    break false;
                }
                Some(Incoming::Broken(code)) => {
                    handle.end(Some(code));
                    break false;
                }
                None => {
                    handle.ended.cancel();
                    break true;
                }
            };
            if handle.inbox.send(Received::Packet(packet)).await.is_err() {
                break false;
            }
        };
        if !is_gone {
            self.linger().await;
        }
        handle.gone.cancel();
        self.cut_later(&handle.outbox).await;
    }

    /// Reads on until the peer has closed too: closing a socket with something unread resets it,
    /// and the peer might never see why.
    async fn linger(&mut self) {
        let grace = self.grace;
        let last = async {
            while let Some(incoming) = self.next().await {
                if matches!(incoming, Incoming::Close(_)) {
                    break;
                }
            }
        };
        if tokio::time::timeout(grace, last).await.is_err()
            && let Some(socket) = &self.socket
        {
            socket.cut();
        }
    }

    /// Ends the socket when its reader is stuck.
    async fn cut_later(&self, outbox: &Outbox) {
        if outbox.is_empty() {
            return;
        }
        tokio::time::sleep(self.grace).await;
        if let Some(socket) = self.socket.as_ref().filter(|_| !outbox.is_empty()) {
            socket.cut();
        }
    }
}

/// What is said on a WebSocket before its session comes to it.
#[derive(Default)]
struct Lobby(RefCell<Waiting>);

#[derive(Default)]
struct Waiting {
    frames: Vec<Bytes>,
    stage: Stage,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Probing,
    Joined,
    Ended,
}

impl Lobby {
    /// Adds a frame; a peer that asks for many and reads none gets no more.
    fn push(&self, frame: Bytes) {
        let mut waiting = self.0.borrow_mut();
        if waiting.frames.len() < 16 {
            waiting.frames.push(frame);
        }
        waiting.wake();
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().frames.is_empty()
    }

    fn set(&self, stage: Stage) {
        let mut waiting = self.0.borrow_mut();
        waiting.stage = stage;
        waiting.wake();
    }
}

impl Waiting {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// The body of an upgrade: first what is said in the lobby, then the outbox of the session.
struct LobbyBody {
    lobby: Rc<Lobby>,
    outbox: Arc<Outbox>,
    /// Closed at once when the body ends.
    socket: Option<Arc<SocketHandle>>,
}

impl MessageBody for LobbyBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = self.next(cx);
        if let (Poll::Ready(None), Some(socket)) = (&next, &self.socket) {
            socket.stop_reading();
        }
        next.map(|frame| frame.map(Ok))
    }
}

impl LobbyBody {
    fn next(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut waiting = self.lobby.0.borrow_mut();
        if !waiting.frames.is_empty() {
            return Poll::Ready(Some(waiting.frames.remove(0)));
        }
        match waiting.stage {
            Stage::Joined => self.outbox.poll_frame(cx),
            Stage::Ended => Poll::Ready(None),
            Stage::Probing => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
