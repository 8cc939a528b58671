//! A small photo application that mounts the hub: its own routes, its own tokens, its own say.
//!
//! `cargo run --example embedded -- 127.0.0.1:8080 photos.db`, then
//!
//! ```text
//! curl -X POST -H 'X-User: alice' --data-binary @photo.jpg http://127.0.0.1:8080/photos
//! curl -X DELETE -H 'X-User: alice' http://127.0.0.1:8080/photos/1
//! ```
//!
//! Devices connect to `ws://127.0.0.1:8080/hub/ws` with the token `<user>:letmein`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder};
use futures_util::future::{BoxFuture, FutureExt, ready};
use serde_json::json;
use staffetta::auth::{AuthError, Authorize, Identity, TokenVerifier};
use staffetta::config::Config;
use staffetta::protocol::Timestamp;
use staffetta::{Hub, NewEvent, UserId, on_connect};

/// The application's own store: the size of each photo.
#[derive(Default)]
struct Photos(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    last: u64,
    sizes: HashMap<(UserId, u64), usize>,
}

impl Photos {
    fn add(&self, user: &UserId, bytes: usize) -> u64 {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.last += 1;
        let id = shelf.last;
        shelf.sizes.insert((user.clone(), id), bytes);
        id
    }

    fn remove(&self, user: &UserId, id: u64) -> bool {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.sizes.remove(&(user.clone(), id)).is_some()
    }
}

/// The application knows its users by its own tokens.
struct AppTokens;

impl TokenVerifier for AppTokens {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        let user = token.strip_suffix(":letmein").and_then(|user| UserId::new(user).ok());
        let identity = user.map(|user| Identity {
            user,
            scopes: Vec::new(),
            accounts: None,
            session: None,
            expires_at: None,
        });
        ready(identity.ok_or(AuthError::Invalid)).boxed()
    }
}

/// Some users may not connect.
struct NoBanned;

impl Authorize for NoBanned {
    fn connect<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, bool> {
        ready(identity.user.as_str() != "banned").boxed()
    }
}

fn user(request: &HttpRequest) -> Option<UserId> {
    UserId::new(request.headers().get("x-user")?.to_str().ok()?).ok()
}

async fn upload(
    request: HttpRequest,
    photo: Bytes,
    photos: Data<Photos>,
    hub: Data<Hub>,
) -> impl Responder {
    let Some(user) = user(&request) else { return HttpResponse::Unauthorized().finish() };
    let id = photos.add(&user, photo.len());
    publish(&hub, &user, "added", json!({"id": id, "bytes": photo.len()})).await
}

async fn delete(
    request: HttpRequest,
    id: Path<u64>,
    photos: Data<Photos>,
    hub: Data<Hub>,
) -> impl Responder {
    let Some(user) = user(&request) else { return HttpResponse::Unauthorized().finish() };
    if !photos.remove(&user, *id) {
        return HttpResponse::NotFound().finish();
    }
    publish(&hub, &user, "removed", json!({"id": *id})).await
}

/// The change is made; now every device hears of it.
async fn publish(hub: &Hub, user: &UserId, kind: &str, data: serde_json::Value) -> HttpResponse {
    let event = match NewEvent::new(kind).data(&data) {
        Ok(event) => event,
        Err(error) => return HttpResponse::InternalServerError().body(error.to_string()),
    };
    match hub.publish(user, event).await {
        Ok(receipt) => HttpResponse::Ok().json(json!({"event_id": receipt.event_id})),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut config = Config::default();
    if let Some(path) = args.next() {
        config.database.url = format!("sqlite://{path}");
    }
    let builder = Hub::builder().config(config).verifier(AppTokens).authorize(NoBanned);
    let hub = builder.start().await?;
    let (photos, mounted) = (Data::new(Photos::default()), hub.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(photos.clone())
            .app_data(Data::new(mounted.clone()))
            .route("/photos", web::post().to(upload))
            .route("/photos/{id}", web::delete().to(delete))
            .service(web::scope("/hub").configure(mounted.routes()))
    });
    let server = server.on_connect(on_connect).disable_signals().workers(2).bind(address)?;
    for address in server.addrs() {
        use std::io::Write;
        writeln!(std::io::stdout(), "listening on http://{address}")?;
    }
    Ok(hub.serve(server.run()).await?)
}
