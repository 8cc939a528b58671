//! What the crates allow that the hub is made of: an actix-web application whose WebSocket actor looks
//! at one token, and does nothing else.

use std::path::Path;
use std::sync::Arc;

use actix::{Actor, ActorContext, StreamHandler};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws::{self, Message, ProtocolError, WebsocketContext};

use super::raw::Door;

struct Session(Arc<Door>);

impl Actor for Session {
    type Context = WebsocketContext<Self>;
}

impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, said: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        let Ok(Message::Text(said)) = said else { return };
        match said.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["sub", _, token] if self.0.lets_in(token) => ctx.text("ok"),
            _ => ctx.stop(),
        }
    }
}

async fn open(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
) -> Result<HttpResponse, actix_web::Error> {
    ws::start(Session(door.into_inner()), &request, payload)
}

pub(crate) fn serve(port: u16, key_file: &str) {
    let door = web::Data::new(Door::new(Path::new(key_file)));
    actix_web::rt::System::new().block_on(async {
        let app = move || App::new().app_data(door.clone()).route("/", web::get().to(open));
        let server = HttpServer::new(app).workers(1).backlog(4_096).max_connections(100_000);
        server.bind(("127.0.0.1", port)).unwrap().run().await.unwrap();
    });
}
