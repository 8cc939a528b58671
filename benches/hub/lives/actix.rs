//! What the crates allow that the hub is made of: an actix-web application with a WebSocket actor for
//! each connection, which looks at one token, and a route that hands what is published to the actors, at
//! once or when a thread has appended it to SQLite with FULL; acks are read and forgotten.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, StreamHandler};
use actix_web::http::header::AUTHORIZATION;
use actix_web::rt::net::TcpStream;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws::{self, Message, ProtocolError, WebsocketContext};
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::durable::{Batch, Stored, commit};
use super::raw::Door;

thread_local! {
    /// There is one worker.
    static TOPICS: RefCell<HashMap<String, Vec<Addr<Session>>>> = RefCell::default();
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Say(ByteString);

struct Session(Arc<Door>);

impl Actor for Session {
    type Context = WebsocketContext<Self>;
}

impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, said: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        let Ok(Message::Text(said)) = said else { return };
        match said.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["sub", topic, token] if self.0.lets_in(token) => {
                TOPICS.with_borrow_mut(|topics| {
                    topics.entry(topic.to_owned()).or_default().push(ctx.address());
                });
                ctx.text("ok");
            }
            ["ack", _] => {}
            ["ping"] => ctx.text("pong"),
            _ => ctx.stop(),
        }
    }
}

impl Handler<Say> for Session {
    type Result = ();

    fn handle(&mut self, Say(text): Say, ctx: &mut Self::Context) {
        ctx.text(text);
    }
}

async fn open(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
) -> Result<HttpResponse, actix_web::Error> {
    ws::start(Session(door.into_inner()), &request, payload)
}

async fn publish(
    request: HttpRequest,
    topic: web::Path<String>,
    body: String,
    door: web::Data<Door>,
) -> HttpResponse {
    if !is_let_in(&request, &door) {
        return HttpResponse::Unauthorized().finish();
    }
    say(&topic, &ByteString::from(body));
    HttpResponse::Created().finish()
}

fn is_let_in(request: &HttpRequest, door: &Door) -> bool {
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    bearer.and_then(|bearer| bearer.strip_prefix("Bearer ")).is_some_and(|t| door.lets_in(t))
}

fn say(topic: &str, text: &ByteString) {
    TOPICS.with_borrow(|topics| {
        for follower in topics.get(topic).into_iter().flatten() {
            follower.do_send(Say(text.clone()));
        }
    });
}

/// An event of a batch that is to be stored.
#[derive(Deserialize)]
struct Event {
    topic: String,
    data: Box<RawValue>,
}

/// Who waits for the answer to a batch.
type Waiting = oneshot::Sender<()>;

/// Answers when every event of the batch is on disk.
async fn store(
    request: HttpRequest,
    body: web::Bytes,
    door: web::Data<Door>,
    batches: web::Data<Sender<Batch<Waiting>>>,
) -> HttpResponse {
    if !is_let_in(&request, &door) {
        return HttpResponse::Unauthorized().finish();
    }
    let events: Vec<Event> = serde_json::from_slice(&body).unwrap();
    let events = events.into_iter().map(|event| (event.topic, event.data.get().to_owned()));
    let (publisher, answer) = oneshot::channel();
    batches.send(Batch { publisher, events: events.collect() }).unwrap();
    answer.await.unwrap();
    HttpResponse::Created().finish()
}

/// Hands what is on disk to the actors, on their worker.
async fn deliver(mut stored: UnboundedReceiver<Stored<Waiting>>) {
    while let Some(Stored { texts, answers }) = stored.recv().await {
        for (topic, text) in texts {
            say(&topic, &ByteString::from(text));
        }
        for (publisher, _) in answers {
            // The publisher may be gone.
            let _ = publisher.send(());
        }
    }
}

pub(crate) fn serve(port: u16, key_file: &str) {
    run(port, key_file, |app| {
        app.route("/pub/{topic}", web::post().to(publish));
    });
}

/// What is published is stored first.
pub(crate) fn serve_stored(port: u16, key_file: &str) {
    let (batches, waiting) = channel();
    let (done, stored) = unbounded_channel();
    thread::spawn(move || commit(&waiting, &done));
    let batches = web::Data::new(batches);
    let stored = Arc::new(Mutex::new(Some(stored)));
    run(port, key_file, move |app| {
        if let Some(stored) = stored.lock().unwrap().take() {
            actix_web::rt::spawn(deliver(stored));
        }
        app.app_data(batches.clone()).route("/pub", web::post().to(store));
    });
}

/// Serves connections, and what `routes` adds for publishers.
fn run(port: u16, key_file: &str, routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) {
    let door = web::Data::new(Door::new(Path::new(key_file)));
    actix_web::rt::System::new().block_on(async {
        let app = move || {
            App::new()
                .app_data(door.clone())
                .route("/", web::get().to(open))
                .configure(routes.clone())
        };
        let server =
            HttpServer::new(app).workers(1).backlog(4_096).max_connections(100_000).on_connect(
                |io, _| {
                    if let Some(stream) = io.downcast_ref::<TcpStream>() {
                        stream.set_nodelay(true).unwrap();
                    }
                },
            );
        server.bind(("127.0.0.1", port)).unwrap().run().await.unwrap();
    });
}
