//! What is measured, a file for each scenario.

pub(crate) mod backlog;
pub(crate) mod durable;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod reconnect;
pub(crate) mod scale;
pub(crate) mod stuck;
pub(crate) mod unicast;

use std::rc::Rc;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};

use crate::load::subscriber::{Opening, Subscriber, Who};
use crate::load::tally::Tally;
use crate::server::Server;

/// Devices that connect at the same time.
const AT_ONCE: usize = 64;

/// No end to what a device follows.
pub(crate) const ENDLESS: u64 = u64::MAX;

/// A device of this user.
pub(crate) fn who(server: &Server, topic: &str, device: u64) -> Who {
    Who {
        topic: topic.to_owned(),
        session: format!("{topic}-{device}"),
        token: server.token(topic, &[]),
        recovery: String::new(),
    }
}

/// Opens all of these, [`AT_ONCE`] at a time, in no order.
pub(crate) async fn open_all(
    server: &Rc<Server>,
    devices: &[Who],
    opening: Opening,
) -> Vec<Subscriber> {
    let doors = Rc::new(Semaphore::new(AT_ONCE));
    let opening: Vec<_> = devices
        .iter()
        .cloned()
        .map(|who| {
            let (server, doors) = (Rc::clone(server), Rc::clone(&doors));
            spawn_local(async move {
                let _turn = doors.acquire().await.unwrap();
                Subscriber::open(&server, &who, opening).await
            })
        })
        .collect();
    let mut opened = Vec::with_capacity(devices.len());
    for subscriber in opening {
        opened.push(subscriber.await.unwrap());
    }
    opened
}

/// Has all of these take `count` events each.
pub(crate) fn follow_all(
    subscribers: Vec<Subscriber>,
    count: u64,
    tally: &Rc<Tally>,
) -> Vec<JoinHandle<Subscriber>> {
    let follow = |subscriber: Subscriber| spawn_local(subscriber.follow(count, Rc::clone(tally)));
    subscribers.into_iter().map(follow).collect()
}
