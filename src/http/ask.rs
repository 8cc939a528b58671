//! Asking an actor from an HTTP call: a bounded wait, and 503 when no answer comes.

use std::time::Duration;

use actix::{Message, Recipient};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::{ApiError, Code};

/// How long a call waits for an actor, mailbox and answer together.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Sends the message made of a reply channel, and waits for what comes back.
///
/// # Errors
/// `unavailable` when the actor is gone, or has not answered within [`ANSWER_WAIT_MAX`].
pub(super) async fn ask<M, T>(
    actor: &Recipient<M>,
    message: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Result<T, ApiError>
where
    M: Message<Result = ()> + Send + 'static,
{
    ask_within(ANSWER_WAIT_MAX, actor, message).await
}

/// [`ask`] with a wait of its own.
///
/// # Errors
/// `unavailable` when the actor is gone, or has not answered within `at_most`.
pub(super) async fn ask_within<M, T>(
    at_most: Duration,
    actor: &Recipient<M>,
    message: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Result<T, ApiError>
where
    M: Message<Result = ()> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let asked = async {
        actor.send(message(reply)).await.map_err(|_| away())?;
        answer.await.map_err(|_| away())
    };
    match timeout(at_most, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(away()),
    }
}

/// Nobody answered.
pub(super) fn away() -> ApiError {
    ApiError::new(Code::Unavailable, "the database cannot be reached")
}
