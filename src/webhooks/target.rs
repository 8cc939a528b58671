//! One receiver and the posts on their way to it: how many, how many at once, and until when.

use std::sync::Arc;

use actix::ArbiterHandle;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};

use super::attempts::{AttemptPolicy, Attempts, Next, Outcome};
use super::letters::Letters;
use super::post::{Answer, Post, Receiver};
use super::room::{Room, Seat};
use super::stage::{Stage, Stages};
use crate::clock;
use crate::metrics::Metrics;
use crate::persistence::messages::DeadLetter;

/// Why a post was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// The attempts made.
    pub(super) attempts: u32,
    /// For people.
    pub(super) error: String,
}

/// Why a post was not taken, for programs.
#[derive(Debug)]
pub(super) enum Cause {
    /// Too many wait.
    Full,
    /// The receiver will not have it, however often it is tried.
    Refused(Answer),
    /// No attempt succeeded.
    Unavailable,
    /// The hub is stopping.
    Stopped,
}

/// Gets what came of a post, once that is decided.
pub(super) type Reply = oneshot::Sender<Result<Answer, Failure>>;

/// What a target is made of.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) receiver: Arc<Receiver>,
    pub(super) room: Room,
    /// Posts under way at once.
    pub(super) slots: Arc<Semaphore>,
    /// Replays under way at once.
    pub(super) replays: Semaphore,
    pub(super) policy: AttemptPolicy,
    pub(super) letters: Letters,
    pub(super) stages: Stages,
    pub(super) arbiter: ArbiterHandle,
    pub(super) metrics: Metrics,
}

impl Target {
    /// Takes a post in hand, and returns at once. If it is given up, it is a dead letter before
    /// `reply` hears of it.
    pub(super) fn submit(self: &Arc<Self>, post: Post, reply: Option<Reply>) {
        let Some(seat) = self.room.enter(post.body.len()) else {
            let error = "queue_full".to_owned();
            self.bury(post, Failure { cause: Cause::Full, attempts: 0, error }, reply);
            return;
        };
        let target = Arc::clone(self);
        // Not spawned only if the hub has ended: then `reply` is dropped.
        self.arbiter.spawn(async move { target.see_through(post, reply, seat).await });
    }

    /// Posts once, at once; none when too many are at it.
    pub(super) async fn post_once(&self, post: Post) -> Option<Result<Answer, Failure>> {
        let _permit = match self.replays.try_acquire() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return None,
        };
        let post = Arc::new(post);
        let answer = self.post(&post, None).await;
        let mut attempts = Attempts::new(AttemptPolicy { attempts_max: 1, ..self.policy });
        let next = attempts.after(outcome(&answer), 0.0);
        Some(match (next, answer) {
            (Next::Done, Ok(answer)) => Ok(answer),
            (_, answer) => Err(failure(answer, &attempts)),
        })
    }

    async fn see_through(&self, post: Post, reply: Option<Reply>, seat: Seat) {
        let post = Arc::new(post);
        let mut attempts = Attempts::new(self.policy);
        let result = tokio::select! {
            result = self.attempt_all(&post, &mut attempts) => result,
            () = self.stages.reached(Stage::GivingUp) => {
                let error = "the hub stopped".to_owned();
                Err(Failure { cause: Cause::Stopped, attempts: attempts.made(), error })
            }
        };
        match result {
            Ok(answer) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.map(|reply| reply.send(Ok(answer)));
            }
            Err(failure) => self.bury(Arc::unwrap_or_clone(post), failure, reply),
        }
        drop(seat);
    }

    async fn attempt_all(
        &self,
        post: &Arc<Post>,
        attempts: &mut Attempts,
    ) -> Result<Answer, Failure> {
        loop {
            // Fair: a post that failed stands at the end again.
            let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
            let answer = self.post(post, slot).await;
            match (attempts.after(outcome(&answer), random()), answer) {
                (Next::Done, Ok(answer)) => return Ok(answer),
                (Next::Again(pause), answer) => {
                    let Failure { error, .. } = failure(answer, attempts);
                    log::debug!("post {} to {} failed: {error}", post.id, self.name);
                    tokio::time::sleep(pause).await;
                }
                (Next::Done | Next::GiveUp, answer) => return Err(failure(answer, attempts)),
            }
        }
    }

    /// Posts on a thread that may block; `slot` is free again when that is over.
    async fn post(
        &self,
        post: &Arc<Post>,
        slot: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Result<Answer, String> {
        let (receiver, post) = (Arc::clone(&self.receiver), Arc::clone(post));
        let posting = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            receiver.post(&post, clock::wall())
        });
        let answer = posting.await.unwrap_or_else(|_| Err("the attempt broke off".to_owned()));
        let is_taken = answer.as_ref().is_ok_and(|answer| (200..=299).contains(&answer.status));
        self.metrics.webhook_post(if is_taken { "taken" } else { "failed" });
        answer
    }

    fn bury(&self, post: Post, failure: Failure, reply: Option<Reply>) {
        self.letters.keep(DeadLetter {
            id: post.id,
            target: self.name.to_owned(),
            kind: post.kind,
            body: post.body,
            attempts: failure.attempts,
            last_error: failure.error.clone(),
            created_at: post.created_at,
            failed_at: clock::wall(),
        });
        let _ = reply.map(|reply| reply.send(Err(failure)));
    }
}

fn outcome(answer: &Result<Answer, String>) -> Outcome {
    match answer {
        Ok(answer) => Outcome::Answered { status: answer.status, retry_after: answer.retry_after },
        Err(_) => Outcome::Unanswered,
    }
}

fn failure(answer: Result<Answer, String>, attempts: &Attempts) -> Failure {
    let attempts = attempts.made();
    match answer {
        Err(error) => Failure { cause: Cause::Unavailable, attempts, error },
        Ok(answer) => {
            let error = format!("answered {}", answer.status);
            let is_final =
                (300..=499).contains(&answer.status) && !matches!(answer.status, 408 | 425 | 429);
            let cause = if is_final { Cause::Refused(answer) } else { Cause::Unavailable };
            Failure { cause, attempts, error }
        }
    }
}

/// Evenly spread over 0 to 1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are merely alike.
    if getrandom::fill(&mut bytes).is_err() {
        return 1.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
