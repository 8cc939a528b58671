//! What the hub's own server does with a socket: HTTP/1, and past it once it is upgraded.
//!
//! actix-http would keep an upgraded connection inside its dispatcher, with two buffers of 8 KiB.
//! Here the application answers the handshake like any other request, and then the body of its
//! answer is written to the socket and what the socket says is the payload of the request, with
//! nothing kept between two reads. An application that mounts the hub has the dispatcher's way.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{poll_fn, ready};
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::body::{BodySize, BoxBody, MessageBody, to_bytes_limited};
use actix_http::error::PayloadError;
use actix_http::h1::{Codec, Message};
use actix_http::{BoxedPayloadStream, HttpService, Payload, Request, Response, StatusCode};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service, map_config,
};
use actix_web::dev::{AppConfig, Server, ServiceResponse};
use actix_web::rt::net::TcpStream;
use bytes::{Buf, Bytes};
use futures_util::{SinkExt, Stream};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::Interest;

use crate::config::ServerConfig;
use crate::ws;

/// Connections the kernel may hold before they are accepted: everyone comes back at once after
/// a restart.
const BACKLOG: i32 = 4_096;

/// Bytes of an answer that is no upgrade.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Bytes read at once, into memory that all connections of a thread share.
const READ_BYTES: usize = 64 * 1024;

/// Chunks of a body that are written with one system call.
const SLICES_MAX: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// An address that is ours; nobody can connect yet.
pub(super) struct Bound(socket2::Socket);

/// Takes an address.
///
/// # Errors
/// When it cannot be had.
pub(super) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // The address of a hub that just stopped is free at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(Bound(socket))
}

impl Bound {
    /// Lets connections come.
    ///
    /// # Errors
    /// When another program listens there by now.
    pub(super) fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?;
        Ok(self.0.into())
    }
}

/// Starts to serve what `app` describes, once per worker.
///
/// # Errors
/// When the listener cannot be used.
pub(super) fn serve<A, S>(
    listener: TcpListener,
    settings: &ServerConfig,
    app: impl Fn() -> A + Clone + Send + 'static,
) -> io::Result<Server>
where
    A: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
{
    let head_timeout = Duration::from_millis(settings.head_timeout_ms);
    let keep_alive = Duration::from_millis(settings.keep_alive_ms);
    let each = move || {
        let app = app.clone();
        fn_factory(move || {
            let starting = map_config(app(), |()| AppConfig::default()).new_service(());
            async move {
                let app = Rc::new(starting.await?);
                let upgraded = Rc::clone(&app);
                let upgrades = fn_factory(move || {
                    let app = Rc::clone(&upgraded);
                    let answering =
                        move |(request, framed)| answer(Rc::clone(&app), request, framed);
                    ready(Ok::<_, ()>(fn_service(answering)))
                });
                HttpService::build()
                    .client_request_timeout(head_timeout)
                    .keep_alive(keep_alive)
                    .on_connect_ext(|io: &TcpStream, extensions| ws::on_connect(io, extensions))
                    .upgrade(upgrades)
                    .h1(fn_factory(move || ready(Ok::<_, ()>(Rc::clone(&app)))))
                    .tcp()
                    .new_service(())
                    .await
            }
        })
    };
    let server = Server::build()
        .workers(settings.workers_or_cores())
        .max_concurrent_connections(settings.connections_max)
        .shutdown_timeout(1)
        .disable_signals()
        .listen("hub", listener, each)?;
    Ok(server.run())
}

/// Asks the application, and lets the connection go its own way if the answer is an upgrade.
async fn answer<S>(
    app: Rc<S>,
    request: Request,
    mut framed: Framed<TcpStream, Codec>,
) -> Result<(), actix_web::Error>
where
    S: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let socket = Rc::new(Socket::default());
    let heard: BoxedPayloadStream = Box::pin(Heard(Rc::clone(&socket)));
    let payload = Payload::Stream { payload: heard };
    let (request, _) = request.replace_payload(payload);
    // A handshake has no body, and what follows it is read later.
    let response = match app.call(request).await {
        Ok(response) => response.into(),
        Err(error) => Response::from(error),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(refuse(response, framed).await?);
    }
    let (response, body) = response.into_parts();
    if let Err(error) = framed.feed(Message::Item((response, BodySize::Stream))).await {
        socket.end();
        return Err(io::Error::other(error).into());
    }
    let FramedParts { io, read_buf, write_buf, .. } = framed.into_parts();
    let handshake = Handshake { answer: write_buf.freeze(), behind: read_buf.freeze() };
    socket.handshake.set(Some(Box::new(handshake)));
    let stream = Rc::new(io);
    // Not as a part of the dispatcher's future, which is large.
    actix::spawn(async move {
        let ended = match write_out(&stream, &socket, body).await {
            Ok(()) => SockRef::from(&*stream).shutdown(Shutdown::Write),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            log::debug!("an upgraded connection was gone before its end: {error}");
        }
        socket.end();
    });
    Ok(())
}

/// Sends an answer that is no upgrade, and ends the connection.
async fn refuse(
    mut response: Response<BoxBody>,
    mut framed: Framed<TcpStream, Codec>,
) -> io::Result<()> {
    response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    let (response, body) = response.into_parts();
    let body = match to_bytes_limited(body, REFUSAL_BYTES_MAX).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let size = BodySize::Sized(body.len() as u64);
    framed.feed(Message::Item((response, size))).await.map_err(io::Error::other)?;
    if !body.is_empty() {
        framed.feed(Message::Chunk(Some(body))).await.map_err(io::Error::other)?;
    }
    framed.feed(Message::Chunk(None)).await.map_err(io::Error::other)?;
    SinkExt::<Message<(Response<()>, BodySize)>>::flush(&mut framed).await.map_err(io::Error::other)
}

/// A socket whose handshake is being answered, then that of an upgraded connection.
#[derive(Default)]
struct Socket {
    stream: OnceCell<Rc<TcpStream>>,
    /// None once it is dealt with.
    handshake: Cell<Option<Box<Handshake>>>,
    is_ended: Cell<bool>,
    /// Who waits for it to be opened, to say something, or to end.
    waker: RefCell<Option<Waker>>,
}

/// What a handshake leaves to be done.
struct Handshake {
    answer: Bytes,
    /// What came right behind it.
    behind: Bytes,
}

impl Socket {
    fn open(&self, stream: Rc<TcpStream>, handshake: Box<Handshake>) {
        self.handshake.set(Some(handshake));
        // It is opened once.
        let _ = self.stream.set(stream);
        self.wake();
    }

    fn end(&self) {
        self.is_ended.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// What the other side says after its handshake.
struct Heard(Rc<Socket>);

impl Stream for Heard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let socket = &*self.0;
        if socket.is_ended.get() {
            return Poll::Ready(None);
        }
        let Some(stream) = socket.stream.get() else {
            return socket.wait(cx);
        };
        if let Some(handshake) = socket.handshake.take()
            && !handshake.behind.is_empty()
        {
            return Poll::Ready(Some(Ok(handshake.behind)));
        }
        loop {
            match stream.poll_read_ready(cx) {
                Poll::Pending => return socket.wait(cx),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(Ok(())) => {}
            }
            return match SCRATCH.with_borrow_mut(|scratch| read(stream, scratch)) {
                Ok(bytes) if bytes.is_empty() => Poll::Ready(None),
                Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => continue,
                Err(error) => Poll::Ready(Some(Err(error.into()))),
            };
        }
    }
}

/// Reads what there is. Where less comes than there is room for, the socket is known to be empty, as to
/// Tokio's own `poll_read`: without that each read would be followed by one that finds nothing.
fn read(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<Bytes> {
    let mut bytes = 0;
    let outcome = stream.try_io(Interest::READABLE, || {
        bytes = (&*SockRef::from(stream)).read(scratch)?;
        if cfg!(target_os = "linux") && (1..scratch.len()).contains(&bytes) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match outcome {
        Err(error) if bytes == 0 => Err(error),
        _ => Ok(Bytes::copy_from_slice(scratch.get(..bytes).unwrap_or_default())),
    }
}

/// Writes the answer of the handshake, together with what the body has by then, and the body until it
/// ends; what it has at once goes out at once. Nothing may be heard before the answer is out: to whom
/// has spoken, the outbox writes past this.
async fn write_out(stream: &Rc<TcpStream>, socket: &Socket, body: BoxBody) -> io::Result<()> {
    let mut body = pin!(body);
    let mut handshake = socket.handshake.take();
    let answer = handshake.as_mut().map(|handshake| std::mem::take(&mut handshake.answer));
    let mut chunks: Vec<Bytes> = answer.into_iter().collect();
    loop {
        let is_over = poll_fn(|cx| {
            while chunks.len() < SLICES_MAX {
                match body.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(chunk))) => chunks.push(chunk),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(true),
                    Poll::Pending if chunks.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(false)
        })
        .await;
        write_all(stream, &mut chunks).await?;
        if let Some(handshake) = handshake.take() {
            socket.open(Rc::clone(stream), handshake);
        }
        if is_over {
            return Ok(());
        }
        // Most have nothing more to say for long.
        chunks = Vec::new();
    }
}

async fn write_all(stream: &TcpStream, chunks: &mut Vec<Bytes>) -> io::Result<()> {
    while !chunks.is_empty() {
        stream.writable().await?;
        let slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut written = match stream.try_write_vectored(&slices) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        chunks.retain_mut(|chunk| {
            let whole = written.min(chunk.len());
            chunk.advance(whole);
            written -= whole;
            !chunk.is_empty()
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use actix_web::rt::net::TcpListener;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn is_ready(stream: &TcpStream) -> bool {
        stream.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    async fn heard(stream: &TcpStream, scratch: &mut [u8]) -> Bytes {
        loop {
            stream.readable().await.unwrap();
            match read(stream, scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.unwrap(),
            }
        }
    }

    #[actix::test]
    async fn a_socket_that_said_less_than_there_is_room_for_is_not_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut scratch = [0; 8];
        client.write_all(b"hello").await.unwrap();
        assert_eq!(heard(&stream, &mut scratch).await, "hello");
        assert_eq!(is_ready(&stream), !cfg!(target_os = "linux"));
        client.write_all(b"as many+").await.unwrap();
        assert_eq!(heard(&stream, &mut scratch).await, "as many+");
        assert!(is_ready(&stream), "there may be more");
        client.write_all(b"end").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(heard(&stream, &mut scratch).await, "end");
        assert_eq!(heard(&stream, &mut scratch).await, "");
    }
}
