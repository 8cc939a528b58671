//! Socket.IO on actix: long-polling, WebSocket and the way from one to the other.
//!
//! A session lives on the worker that opened it, as one task. Its outbox and the way to it are
//! shared: a poll, or the WebSocket it moves to, may be at any worker.

mod beats;
mod credentials;
mod directory;
mod handle;
mod handlers;
mod inbox;
mod namespaces;
mod polling;
mod pulse;
mod recovery;
mod refusal;
mod request;
mod session;
mod socket;
mod state;
mod websocket;

use actix_web::web;

pub use self::handlers::{IoHandlers, IoNamespace};
pub use self::socket::{IoArgs, IoError, IoSocket};
pub use self::state::SocketIoState;
use crate::registry::Worker;

/// Mounts every path.
pub fn configure(worker: &Worker, state: &SocketIoState, services: &mut web::ServiceConfig) {
    for (index, mount) in state.mounts().iter().enumerate() {
        let at = request::At { worker: worker.clone(), state: state.clone(), index };
        let path = mount.path.as_str();
        let paths = [path.to_owned(), path.trim_end_matches('/').to_owned()];
        services.service(web::resource(paths).route(web::to(move |request, payload| {
            let at = at.clone();
            async move { request::serve(at, request, payload).await }
        })));
    }
}
