//! What a reader that reads nothing costs everybody else.

use std::rc::Rc;

use staffetta::auth::Scope;

use super::{follow_all, open_all, who};
use crate::candidate::Candidate::PlainStored;
use crate::load::http::Http;
use crate::load::subscriber::{Opening, Subscriber};
use crate::load::tally::{Tally, Times};
use crate::plan::Plan;
use crate::server::Server;
use crate::table::{Column, Table};

const READERS: u64 = 3;
const EVENT_BYTES: usize = 64 * 1024;

const COLUMNS: &[Column] = &[("MB the hub grew by", 1), ("events the others got each", 0)];

pub(crate) async fn run(plan: &'static Plan) -> bool {
    let events = plan.owed / 60;
    let megabytes = events as usize * EVENT_BYTES / 1024 / 1024;
    let title =
        format!("One reader is stuck while {megabytes} MB go to it and to {READERS} others");
    let mut table = Table::new(&title, COLUMNS);
    table.turn("Staffetta", "Staffetta, plain", measure(events)).await;
    table.print()
}

async fn measure(events: u64) -> Vec<f64> {
    let server = Rc::new(Server::start(PlainStored).await);
    let _stuck = Subscriber::open(&server, &who(&server, "alice", 0), Opening::New).await;
    let devices: Vec<_> = (1..=READERS).map(|n| who(&server, "alice", n)).collect();
    let readers = open_all(&server, &devices, Opening::New).await;
    let tally = Tally::new(Times::PassedOver);
    let following = follow_all(readers, events, &tally);
    let token = server.token("app", &[Scope::Publish]);
    let mut http = Http::connect(server.port).await;
    let filling = "x".repeat(EVENT_BYTES);
    let body = format!(r#"{{"type":"added","data":{{"x":"{filling}"}},"ephemeral":true}}"#);
    let before = server.resident();
    let mut peak = before;
    for n in 0..events {
        let (status, text) = http.call("POST", "/api/v1/users/alice/events", &token, &body).await;
        assert_eq!(status, 201, "{text}");
        if n % 64 == 0 {
            peak = peak.max(server.resident());
        }
    }
    for reader in following {
        reader.await.unwrap();
    }
    vec![(peak - before) as f64 / 1024.0 / 1024.0, (tally.seen() / READERS) as f64]
}
