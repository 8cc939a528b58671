//! One WebSocket, from handshake to close.

pub(crate) mod admission;
pub mod assembly;
pub mod heartbeat;
pub mod inbound;
pub(crate) mod origin;
pub mod outbox;
pub mod rate;
mod session;
pub(crate) mod upgrade;

use actix_web::{guard, web};

pub use self::upgrade::on_connect;
use crate::registry::Worker;

/// Mounts `/ws`, upgrades of the scope's root, which note and photo clients use, and `/updates`.
pub fn configure(worker: &Worker, services: &mut web::ServiceConfig) {
    let native = || web::get().to(upgrade::native);
    let is_upgrade = guard::fn_guard(|context| {
        let upgrade = context.head().headers().get("upgrade").and_then(|value| value.to_str().ok());
        let mut protocols = upgrade.unwrap_or_default().split(',');
        protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
    });
    services
        .app_data(web::ThinData(worker.clone()))
        .service(web::resource("/ws").route(native()))
        .service(web::resource("/updates").route(web::get().to(upgrade::updates)))
        .service(web::resource(["", "/"]).guard(is_upgrade).route(native()));
}
