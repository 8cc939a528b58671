//! A hub with a message type of its own: `{"type":"roll","sides":6}` on `/ws` rolls dice for
//! everybody who hears the user's events.
//!
//! `cargo run --example extension`, or with an address of your own: `-- 127.0.0.1:4000`. Then send
//! the frame on a connection that is authenticated with a token of `staffetta token alice`. The one
//! who rolls gets `{"type":"rolled",…}` as a reply, and every device of the user gets it as an
//! event.

use std::sync::OnceLock;

use actix_web::{App, HttpServer};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use staffetta::extension::{ClientMessage, Connected, Extension, Handled};
use staffetta::{Hub, NewEvent, on_connect};

/// Rolls dice.
struct Dice(&'static OnceLock<Hub>);

impl Dice {
    async fn roll(&self, connection: &Connected, frame: &str) -> Handled {
        let frame: Value = serde_json::from_str(frame).unwrap_or_default();
        let sides = frame.get("sides").and_then(Value::as_u64).unwrap_or(6).clamp(2, 100);
        let rolled = uuid::Uuid::new_v4().as_u128() as u64 % sides + 1;
        let outcome = json!({"sides": sides, "rolled": rolled});
        let event = NewEvent::new("rolled").data(&outcome);
        let published = match (self.0.get(), event) {
            (Some(hub), Ok(event)) => hub.publish(&connection.user, event).await.is_ok(),
            (Some(_) | None, _) => false,
        };
        let reply = json!({"type": "rolled", "rolled": rolled, "published": published});
        Handled::Reply(reply.to_string().into())
    }
}

impl Extension for Dice {
    fn on_message<'a>(
        &'a self,
        connection: &'a Connected,
        message: &'a ClientMessage,
    ) -> BoxFuture<'a, Handled> {
        async move {
            match message.kind.as_str() {
                "roll" => self.roll(connection, &message.frame).await,
                _ => Handled::NotMine,
            }
        }
        .boxed()
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The extension publishes with the hub it is a part of.
    static HUB: OnceLock<Hub> = OnceLock::new();
    let hub = Hub::builder().extension(Dice(&HUB)).start().await?;
    HUB.get_or_init(|| hub.clone());
    let mounted = hub.clone();
    let server = HttpServer::new(move || App::new().configure(mounted.routes()));
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let server = server.on_connect(on_connect).disable_signals().bind(address)?;
    for address in server.addrs() {
        use std::io::Write;
        writeln!(std::io::stdout(), "listening on http://{address}")?;
    }
    Ok(hub.serve(server.run()).await?)
}
