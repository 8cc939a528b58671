//! Code of the host's, run so that nothing of the hub waits for it without end.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::auth::{AuthError, Identity, TokenVerifier};
use crate::protocol::Timestamp;

/// How long the host may take to say who someone is, or whether they may.
pub(crate) const SAY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Waits for the host's `work`, but not for ever; what panics has answered nothing. `what` is
/// for the log.
pub(crate) async fn bounded<T>(
    what: &str,
    wait_max: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
    // Most say so at once, and a timer would have to look at the clock.
    let answer = match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => tokio::time::timeout(wait_max, work).await,
    };
    match answer {
        Ok(Ok(value)) => Some(value),
        Ok(Err(_)) => {
            log::error!("{what} panicked");
            None
        }
        Err(_) => {
            log::warn!("{what} took longer than {} ms", wait_max.as_millis());
            None
        }
    }
}

/// The host's verifier: keys that do not answer in time are not available.
pub(crate) struct BoundedVerifier(pub(crate) Arc<dyn TokenVerifier>);

impl TokenVerifier for BoundedVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        async move {
            // Also what the host does before it returns a future.
            let verifying = async { self.0.verify(token, now).await };
            let verified = bounded("the host's verifier", SAY_WAIT_MAX, verifying).await;
            verified.unwrap_or(Err(AuthError::KeysUnavailable))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Never answers, or panics before or while it answers.
    struct Broken(&'static str);

    impl TokenVerifier for Broken {
        fn verify<'a>(
            &'a self,
            _token: &'a str,
            _now: Timestamp,
        ) -> BoxFuture<'a, Result<Identity, AuthError>> {
            assert_ne!(self.0, "before", "as asked");
            async move {
                assert_ne!(self.0, "while", "as asked");
                pending().await
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_verifier_that_hangs_or_panics_is_not_available() {
        for how in ["never", "before", "while"] {
            let verifier = BoundedVerifier(Arc::new(Broken(how)));
            let asked_at = tokio::time::Instant::now();
            let verified = verifier.verify("token", Timestamp(0)).await;
            assert!(matches!(verified, Err(AuthError::KeysUnavailable)), "{how}: {verified:?}");
            let waits = if how == "never" { SAY_WAIT_MAX } else { Duration::ZERO };
            assert_eq!(asked_at.elapsed().as_secs(), waits.as_secs(), "{how}");
        }
    }
}
