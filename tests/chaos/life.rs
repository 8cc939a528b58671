//! Everybody who uses the cluster meanwhile, and how it is said to be well at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::USERS;
use crate::device::{Device, Kind};
use crate::history::History;
use crate::publisher::{Naming, Publisher};
use crate::random::Random;
use crate::world::{NODES, World, eventually, user};

/// Of each user.
const DEVICES: [Kind; 4] = [Kind::Replay, Kind::FullSync, Kind::Replay, Kind::Plain];

/// Whoever waits for a home that is away publishes nothing meanwhile, so there are several.
const PUBLISHERS: [Naming; 9] = [
    Naming::Event,
    Naming::Event,
    Naming::Event,
    Naming::Key,
    Naming::Key,
    Naming::Batch,
    Naming::None,
    Naming::None,
    Naming::Broadcast,
];

pub(crate) struct Life {
    pub(crate) history: Arc<History>,
    over: Arc<AtomicBool>,
    devices: Vec<JoinHandle<()>>,
    publishers: Vec<JoinHandle<()>>,
}

impl Life {
    pub(crate) async fn start(world: &World, seed: u64) -> Self {
        let history = Arc::new(History::default());
        let over = Arc::new(AtomicBool::new(false));
        let places = &world.places;
        let mut seeds = Random::new(seed);
        let mut life = Self { history, over, devices: Vec::new(), publishers: Vec::new() };
        for user in 0..USERS {
            for (number, kind) in DEVICES.into_iter().enumerate() {
                let random = Random::new(seeds.next());
                let device = Device::new(user, number, kind, places, &life.history, random);
                life.devices.push(tokio::spawn(device.follow(Arc::clone(&life.over))));
            }
        }
        // A session counts from its first auth_ok on.
        let reliable = DEVICES.iter().filter(|kind| **kind != Kind::Plain).count();
        eventually("the devices attach", || async {
            (0..USERS).all(|user| life.history.sessions_of(user).len() == reliable)
        })
        .await;
        for naming in PUBLISHERS {
            let random = Random::new(seeds.next());
            let publisher = Publisher::new(naming, places, &life.history, random);
            life.publishers.push(tokio::spawn(publisher.publish(Arc::clone(&life.over))));
        }
        life
    }

    /// Waits until the cluster is well again, then compares; says what there was.
    pub(crate) async fn finish(self, world: &World) -> String {
        world.settle().await;
        for node in 0..NODES {
            for number in 0..USERS {
                let (user, name) = (user(number), Uuid::now_v7());
                self.history.attempted(&[number], name);
                let event = json!({"type": "added", "data": {"name": name}, "event_id": name});
                eventually("every node takes events for everybody", || async {
                    matches!(world.publish(node, &user, &event).await.status, 200 | 201)
                })
                .await;
            }
        }
        self.over.store(true, Ordering::Release);
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
        eventually("every promise is in the log", || async {
            self.history.compare(&world.logs().await) == 0
        })
        .await;
        self.history.settle(Duration::from_secs(60)).await;
        for device in &self.devices {
            assert!(!device.is_finished(), "a device gave up");
            device.abort();
        }
        let lost = self.history.lost();
        let wrong = self.history.wrong();
        let (first, count) = (lost.iter().take(20).cloned().collect::<Vec<_>>(), lost.len());
        assert!(
            lost.is_empty() && wrong.is_empty(),
            "{count} lost:\n{}\nwrong:\n{}\n{}",
            first.join("\n"),
            wrong.join("\n"),
            world.keep()
        );
        world.check().await;
        assert!(self.history.promised() > 100, "only {} promises", self.history.promised());
        self.history.summary()
    }
}
