//! One push: an empty message to a push service (RFC 8030), on a thread that may block.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{VapidKey, install_provider};
use crate::backoff::retry_after;
use crate::protocol::Timestamp;

/// What a push service did with a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It will wake the device.
    Taken,
    /// It knows the device no more.
    Gone,
    /// It, or the way to it, is overloaded or away; it may say for how long.
    Away(Option<Duration>),
    /// It does not take this one.
    Refused,
}

/// Push services, as one signer speaks to them.
pub(super) struct PushService {
    key: Arc<VapidKey>,
    agent: ureq::Agent,
    ttl_s: u64,
}

impl PushService {
    /// Waits at most `timeout` for each answer.
    pub(super) fn new(key: Arc<VapidKey>, timeout: Duration, ttl_s: u64) -> Self {
        install_provider();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("staffetta/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Self { key, agent, ttl_s }
    }

    /// Wakes the device at `endpoint`, which is of `origin`. Of several pushes that wait for a
    /// device the last is enough (`Topic`).
    pub(super) fn wake(&self, endpoint: &str, origin: &str, now: Timestamp) -> Outcome {
        let Some(authorization) = self.key.authorization(origin, now) else {
            return Outcome::Refused;
        };
        let answer = self
            .agent
            .post(endpoint)
            .header("Authorization", authorization)
            .header("TTL", self.ttl_s.to_string())
            .header("Topic", "wake")
            .header("Urgency", "high")
            .send_empty();
        let Ok(answer) = answer else { return Outcome::Away(None) };
        match answer.status().as_u16() {
            200..=299 => Outcome::Taken,
            404 | 410 => Outcome::Gone,
            429 | 500..=599 => {
                let asked = answer.headers().get("Retry-After");
                Outcome::Away(asked.and_then(|value| retry_after(value.to_str().ok()?)))
            }
            _ => Outcome::Refused,
        }
    }
}
