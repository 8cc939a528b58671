//! Whoever webhooks post to: a real HTTP server that checks every signature and answers as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use staffetta::clock;
use staffetta::config::WebhooksConfig;
use staffetta::webhooks::sign::{self, SignedHeaders, verify};

use crate::world::eventually;

pub(crate) const SECRET: &str = "a secret of thirty-two bytes, ok";

/// One answer; without any, it is 200 and empty.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    Status(u16, &'static str),
    Header(u16, (&'static str, String)),
    Long,
    Hang,
}

/// One post as it came, its signature checked.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) body: Value,
}

#[derive(Default)]
struct State {
    reactions: VecDeque<Reaction>,
    received: Vec<Received>,
}

/// A running receiver.
pub(crate) struct Receiver {
    port: u16,
    state: Arc<Mutex<State>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Asks for the end; the future only waits for it.
        drop(self.handle.stop(false));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()));
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let (started, starting) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let data = Data::from(shared);
                let app = move || App::new().app_data(data.clone()).default_service(web::to(take));
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server.shutdown_timeout(0).bind("127.0.0.1:0").unwrap();
                let port = server.addrs()[0].port();
                let server = server.run();
                started.send((port, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (port, handle) =
            tokio::task::spawn_blocking(move || starting.recv().unwrap()).await.unwrap();
        Self { port, state, handle, thread: Some(thread) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Where it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Takes commands, patient but quick.
    pub(crate) fn takes_commands(&self, config: &mut WebhooksConfig) {
        config.commands_url = Some(self.url("/commands"));
        config.secret = Some(SECRET.to_owned());
        config.backoff_ms = 5;
        config.backoff_ms_max = 20;
    }

    /// Takes the hub's own events.
    pub(crate) fn takes_events(&self, config: &mut WebhooksConfig) {
        config.events_url = Some(self.url("/events"));
        config.secret = Some(SECRET.to_owned());
    }

    /// Answers the next posts so.
    pub(crate) fn react(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.state().reactions.extend(reactions);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// The events of every post so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let posts = self.received();
        let events = posts.iter().filter_map(|post| post.body["events"].as_array());
        events.flatten().cloned().collect()
    }

    /// Waits until an event of the hub came in.
    pub(crate) async fn wait_for_event(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let find = || self.events().into_iter().find(|event| event["kind"] == kind && is_it(event));
        eventually(kind, || async { find().is_some() }).await;
        find().unwrap()
    }
}

async fn take(request: HttpRequest, body: Bytes, state: Data<Mutex<State>>) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp) = (header(sign::ID_HEADER), header(sign::TIMESTAMP_HEADER));
    let signature = header(sign::SIGNATURE_HEADER);
    let headers = SignedHeaders { id: &id, timestamp: &timestamp, signature: &signature };
    let now_s = clock::wall().0 / 1_000;
    if verify(SECRET.as_bytes(), headers, &body, sign::TOLERANCE_S, now_s).is_err() {
        return HttpResponse::Unauthorized().finish();
    }
    assert_eq!(header("content-type"), "application/json");
    let text = String::from_utf8(body.to_vec()).unwrap();
    let reaction = {
        let mut state = state.lock().unwrap();
        let (path, body) = (request.path().to_owned(), serde_json::from_str(&text).unwrap());
        state.received.push(Received { path, id, text, body });
        state.reactions.pop_front()
    };
    let answer = |status| HttpResponse::build(u16::try_into(status).unwrap());
    match reaction.unwrap_or(Reaction::Status(200, "")) {
        Reaction::Status(status, body) => answer(status).body(body),
        Reaction::Header(status, header) => answer(status).insert_header(header).finish(),
        Reaction::Long => answer(200).body("1".repeat(2 * 1024 * 1024)),
        Reaction::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            answer(500).finish()
        }
    }
}
