//! Publishes under names of its own, and again under the same name until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use staffetta::auth::Scope;
use uuid::Uuid;

use crate::USERS;
use crate::history::History;
use crate::hub::Process;

pub(crate) struct Publisher {
    number: usize,
    base: String,
    token: String,
    history: Arc<History>,
}

impl Publisher {
    pub(crate) fn new(number: usize, process: &Process, history: &Arc<History>) -> Self {
        Self {
            number,
            base: format!("http://127.0.0.1:{}", process.port),
            token: process.token("publisher", &[Scope::Publish]),
            history: Arc::clone(history),
        }
    }

    pub(crate) async fn publish(self, over: Arc<AtomicBool>) {
        let mut n = 0usize;
        while !over.load(Ordering::Acquire) {
            let user = (self.number + n) % USERS;
            n += 1;
            let id = Uuid::now_v7();
            // Sessions that are there before the first try are owed it.
            let sessions = self.history.sessions_of(user);
            let seq = loop {
                let body = json!({"type": "added", "data": {"name": id}, "event_id": id});
                if let Some(seq) = self.once(user, body.to_string()).await {
                    break seq;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            self.history.promise(user, id, seq, &sessions);
        }
    }

    async fn once(&self, user: usize, body: String) -> Option<i64> {
        let url = format!("{}/api/v1/users/user-{user}/events", self.base);
        let token = self.token.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_global(Some(Duration::from_secs(5)))
                .build()
                .into();
            let mut response = agent
                .post(url)
                .header("Authorization", format!("Bearer {token}"))
                .send(body)
                .ok()?;
            response.body_mut().read_to_string().ok()
        });
        let text = answer.await.unwrap()?;
        serde_json::from_str::<Value>(&text).ok()?["seq"].as_i64()
    }
}
