//! Publishes by any node, in each of the ways that a publish can be named, and again under the same
//! name until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use staffetta::auth::Scope;
use uuid::Uuid;

use crate::USERS;
use crate::history::History;
use crate::node::{Call, Places};
use crate::random::Random;
use crate::world::{NODES, user};

/// How a publisher names what it publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By an `event_id`.
    Event,
    /// By an `Idempotency-Key`; the hub draws the id.
    Key,
    /// Several at once, each by an `event_id`.
    Batch,
    /// Not at all: it is tried once.
    None,
    /// By an `event_id`, for everybody.
    Broadcast,
}

pub(crate) struct Publisher {
    naming: Naming,
    places: Places,
    token: String,
    history: Arc<History>,
    random: Random,
}

/// One thing to be published, and the sessions that were there before, by user.
struct Item {
    name: Uuid,
    users: Vec<(usize, Vec<String>)>,
}

impl Publisher {
    pub(crate) fn new(
        naming: Naming,
        places: &Places,
        history: &Arc<History>,
        random: Random,
    ) -> Self {
        Self {
            naming,
            places: places.clone(),
            token: places.token("publisher", &[Scope::Publish]),
            history: Arc::clone(history),
            random,
        }
    }

    pub(crate) async fn publish(mut self, over: Arc<AtomicBool>) {
        while !over.load(Ordering::Acquire) {
            let count = if self.naming == Naming::Batch { 4 } else { 1 };
            let items: Vec<Item> = (0..count).map(|_| self.item()).collect();
            // What has a name is tried until it is answered, also when all is over.
            while !self.once(&items).await && self.naming != Naming::None {
                tokio::time::sleep(Duration::from_millis(20 + self.random.below(80))).await;
            }
            let pause = if self.naming == Naming::Broadcast { 500 } else { 20 };
            tokio::time::sleep(Duration::from_millis(5 + self.random.below(pause))).await;
        }
    }

    fn item(&mut self) -> Item {
        let users = match self.naming {
            Naming::Broadcast => (0..USERS).collect(),
            Naming::Event | Naming::Key | Naming::Batch | Naming::None => {
                vec![self.random.below(USERS as u64) as usize]
            }
        };
        let name = Uuid::now_v7();
        self.history.attempted(&users, name);
        // Sessions that are there before the first try are owed it.
        let with_sessions = |user| (user, self.history.sessions_of(user));
        Item { name, users: users.into_iter().map(with_sessions).collect() }
    }

    fn call(&self, items: &[Item]) -> Call {
        let (method, wait_max) = ("POST", Duration::from_secs(5));
        let event = |item: &Item| json!({"type": "added", "data": {"name": item.name}});
        let named = |item: &Item| {
            let mut event = event(item);
            event["event_id"] = json!(item.name);
            event
        };
        let first = &items[0];
        let path = format!("/api/v1/users/{}/events", user(first.users[0].0));
        let key = (self.naming == Naming::Key).then(|| first.name.to_string());
        let (path, body) = match self.naming {
            Naming::Event => (path, named(first)),
            Naming::Broadcast => ("/api/v1/broadcast".to_owned(), named(first)),
            Naming::Key | Naming::None => (path, event(first)),
            Naming::Batch => {
                let of_user = |item: &Item| {
                    let mut event = named(item);
                    event["user"] = json!(user(item.users[0].0));
                    event
                };
                ("/api/v1/events".to_owned(), items.iter().map(of_user).collect())
            }
        };
        Call { method, path, body: body.to_string(), key, wait_max }
    }

    /// Tries once; says whether everything was taken.
    async fn once(&mut self, items: &[Item]) -> bool {
        let node = self.random.below(NODES as u64) as usize;
        let answer = self.places.call(node, &self.token, self.call(items)).await;
        let results = match (answer.status, self.naming) {
            (0, _) => {
                self.history.unheard();
                return false;
            }
            (503, _) if answer.retry_after.is_some() => {
                self.history.refused();
                return false;
            }
            (200, Naming::Batch) => answer.body.as_array().cloned().unwrap_or_default(),
            (200 | 201, Naming::Event | Naming::Key | Naming::None) | (202, Naming::Broadcast) => {
                vec![answer.body.clone()]
            }
            _ => Vec::new(),
        };
        if results.len() != items.len() {
            self.history.complain(format!("a publish was answered {answer:?}"));
            return true;
        }
        let results: Vec<_> = results.iter().map(stored).collect();
        if results.iter().any(Option::is_none) {
            self.history.refused();
            return false;
        }
        for (item, (id, seq)) in items.iter().zip(results.into_iter().flatten()) {
            match seq {
                Some(seq) => {
                    let (user, sessions) = &item.users[0];
                    self.history.promise(*user, item.name, id, seq, sessions);
                }
                None => self.history.promise_all(item.name, id, item.users.clone()),
            }
        }
        true
    }
}

/// What a publish became: its id, and its place unless it is a broadcast; none if it was refused.
fn stored(result: &Value) -> Option<(Uuid, Option<i64>)> {
    let id = Uuid::parse_str(result["event_id"].as_str()?).ok()?;
    Some((id, result["seq"].as_i64()))
}
