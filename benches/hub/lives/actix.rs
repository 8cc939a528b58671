//! What the crates allow that the hub is made of: an actix-web application with a WebSocket actor for
//! each connection, which looks at one token, and a route that hands what is published to the actors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, StreamHandler};
use actix_web::http::header::AUTHORIZATION;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws::{self, Message, ProtocolError, WebsocketContext};
use bytestring::ByteString;

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
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !bearer.and_then(|bearer| bearer.strip_prefix("Bearer ")).is_some_and(|t| door.lets_in(t)) {
        return HttpResponse::Unauthorized().finish();
    }
    let text = ByteString::from(body);
    TOPICS.with_borrow(|topics| {
        for follower in topics.get(topic.as_str()).into_iter().flatten() {
            follower.do_send(Say(text.clone()));
        }
    });
    HttpResponse::Created().finish()
}

pub(crate) fn serve(port: u16, key_file: &str) {
    let door = web::Data::new(Door::new(Path::new(key_file)));
    actix_web::rt::System::new().block_on(async {
        let app = move || {
            App::new()
                .app_data(door.clone())
                .route("/", web::get().to(open))
                .route("/pub/{topic}", web::post().to(publish))
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
