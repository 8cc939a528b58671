//! How events are published: at a rate, whatever the server does, or as fast as it takes them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;

use super::publisher::{Published, Publisher, Until};
use super::tally::{Tally, until};
use crate::server::Server;

/// Events on their way to everybody at most, as fast as can be: no queue of any candidate is full.
const WINDOW: u64 = 256;
const CHUNK: u64 = 64;

/// Publishers as fast as can be: one hands over while the other waits for its answer.
const FLAT_OUT: usize = 2;

/// How long nothing at all may arrive before the rest counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Publishes one event to each of these, at `rate` a second, and waits for `deliveries` of all.
pub(crate) async fn at_rate(
    server: &Server,
    topics: &[String],
    rate: u64,
    deliveries: u64,
    tally: &Rc<Tally>,
) {
    let mut known = topics.to_vec();
    known.sort();
    known.dedup();
    let mut ways = Vec::new();
    for _ in 0..server.candidate.publishers() {
        let mut publisher = Publisher::open(server, &known, Until::Sent).await;
        let (sender, mut orders) = unbounded_channel::<Published>();
        spawn_local(async move {
            while let Some(event) = orders.recv().await {
                publisher.publish(&[event]).await;
            }
        });
        ways.push(sender);
    }
    let awaited = tally.seen() + deliveries;
    let start = tally.now();
    for (n, topic) in topics.iter().enumerate() {
        let due = start + Duration::from_micros(n as u64 * 1_000_000 / rate);
        until(tally.at(due)).await;
        let event = Published { topic: topic.clone(), data: Tally::data(due) };
        ways[n % ways.len()].send(event).unwrap();
    }
    arrived(tally, awaited).await;
}

/// Publishes to one topic that many follow, as fast as can be, and waits until everything arrived:
/// how many deliveries it was.
pub(crate) async fn flat_out(
    server: &Server,
    topic: &str,
    followers: u64,
    during: Duration,
    tally: &Rc<Tally>,
) -> u64 {
    let (before, end) = (tally.seen(), tally.now() + during);
    let published = Rc::new(Cell::new(0));
    let mut publishing = Vec::new();
    for _ in 0..FLAT_OUT {
        let known = [topic.to_owned()];
        let mut publisher = Publisher::open(server, &known, Until::Sent).await;
        let (published, tally, topic) = (Rc::clone(&published), Rc::clone(tally), topic.to_owned());
        publishing.push(spawn_local(async move {
            while tally.now() < end {
                published.set(published.get() + CHUNK);
                let data = Tally::data(tally.now());
                let event = || Published { topic: topic.clone(), data: data.clone() };
                let chunk: Vec<_> = (0..CHUNK).map(|_| event()).collect();
                publisher.publish(&chunk).await;
                let behind = published.get().saturating_sub(WINDOW);
                arrived(&tally, before + behind * followers).await;
            }
        }));
    }
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let deliveries = published.get() * followers;
    arrived(tally, before + deliveries).await;
    deliveries
}

/// Waits until so many have arrived.
pub(crate) async fn arrived(tally: &Tally, awaited: u64) {
    let mut seen = tally.seen();
    while tokio::time::timeout(SILENCE_MAX, tally.reaches(awaited)).await.is_err() {
        assert!(tally.seen() > seen, "{seen} of {awaited} events arrived");
        seen = tally.seen();
    }
}
