//! The way of a given-up post to the store: bounded, and a few at a time, so that a receiver that
//! is away never crowds out the log.

use actix::Recipient;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::stage::{Stage, Stages};
use crate::metrics::Metrics;
use crate::persistence::messages::{DeadLetter, SaveDeadLetters};

/// Letters that may wait to be written; beyond, they are lost.
const WAITING_MAX: usize = 256;

/// Where given-up posts go. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Letters {
    queue: Sender<DeadLetter>,
    metrics: Metrics,
}

impl Letters {
    /// The way in, and the other end for [`write_all`].
    pub(super) fn new(metrics: Metrics) -> (Self, Receiver<DeadLetter>) {
        let (queue, letters) = channel(WAITING_MAX);
        (Self { queue, metrics }, letters)
    }

    /// Keeps a letter, or loses it if too many wait.
    pub(super) fn keep(&self, letter: DeadLetter) {
        let (id, target) = (letter.id, letter.target.clone());
        match self.queue.try_send(letter) {
            Ok(()) => self.metrics.webhook_post("dead"),
            Err(_) => {
                self.metrics.webhook_post("lost");
                log::error!("post {id} to webhooks.{target}_url is lost: the store is too slow");
            }
        }
    }
}

/// Writes letters as they come, until the hub is closed. The next few wait until the store has
/// taken the last.
pub(super) async fn write_all(
    mut letters: Receiver<DeadLetter>,
    store: Recipient<SaveDeadLetters>,
    stages: Stages,
) {
    let mut batch = Vec::new();
    loop {
        let count = tokio::select! {
            biased;
            count = letters.recv_many(&mut batch, WAITING_MAX) => count,
            () = stages.reached(Stage::Closed) => {
                letters.close();
                letters.recv_many(&mut batch, WAITING_MAX).await
            }
        };
        if let Some(DeadLetter { target, last_error, .. }) = batch.last() {
            log::warn!("{count} posts are dead letters, the last to {target}: {last_error}");
        }
        let written = batch.is_empty() || {
            store.send(SaveDeadLetters(std::mem::take(&mut batch))).await.is_ok()
        };
        if !written {
            log::error!("{count} posts to webhooks are lost: the store is closed");
        }
        if count == 0 {
            return;
        }
    }
}
