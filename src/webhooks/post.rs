//! One attempt to post: signed, over a connection of its own kind, on a thread that may block.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::sign::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
use crate::auth::{Secret, install_provider};
use crate::backoff::retry_after;
use crate::protocol::Timestamp;

/// The longest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Something to post.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// Its name, the same in every attempt.
    pub(super) id: Uuid,
    /// What it is about.
    pub(super) kind: String,
    /// JSON.
    pub(super) body: String,
    /// When it was made.
    pub(super) created_at: Timestamp,
}

/// What every post about one thing starts with.
#[derive(Serialize)]
pub(super) struct Envelope<'a, T> {
    pub(super) id: Uuid,
    pub(super) kind: &'a str,
    pub(super) at: Timestamp,
    #[serde(flatten)]
    pub(super) body: &'a T,
}

/// What a receiver answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// None for one that is too long.
    pub(super) body: Option<Vec<u8>>,
}

/// Whoever takes the posts of one kind.
pub(super) struct Receiver {
    url: String,
    secret: Secret,
    agent: ureq::Agent,
}

impl Receiver {
    pub(super) fn new(url: String, secret: Secret, timeout: Duration, idle_max: usize) -> Self {
        install_provider();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(url.starts_with("https://"))
            .max_idle_connections_per_host(idle_max)
            .user_agent(concat!("staffetta/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Self { url, secret, agent }
    }

    /// Posts once, and waits for the answer.
    ///
    /// # Errors
    /// Why there was none, in words without the address.
    pub(super) fn post(&self, post: &Post, now: Timestamp) -> Result<Answer, String> {
        let (id, timestamp) = (post.id.to_string(), now.0.div_euclid(1_000));
        let signature = sign(self.secret.bytes(), timestamp, &id, post.body.as_bytes());
        let mut response = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header(ID_HEADER, &id)
            .header(TIMESTAMP_HEADER, timestamp.to_string())
            .header(SIGNATURE_HEADER, signature)
            .send(post.body.as_str())
            .map_err(|error| brief(&error))?;
        let status = response.status().as_u16();
        let asked = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
        let retry_after = asked.and_then(retry_after);
        let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = match read {
            Ok(body) => Some(body),
            Err(ureq::Error::BodyExceedsLimit(_)) => None,
            Err(error) if (200..=299).contains(&status) => return Err(brief(&error)),
            Err(_) => None,
        };
        Ok(Answer { status, retry_after, body })
    }
}

/// What went wrong, without what either side said.
fn brief(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "timed out".to_owned(),
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        ureq::Error::ConnectionFailed => "connection failed".to_owned(),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => format!("TLS failed: {error}"),
        _ => "the answer was no HTTP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn the_fields_of_a_thing_stand_beside_its_name_and_pass_through_as_they_are() {
        #[derive(Serialize)]
        struct Body<'a> {
            data: &'a RawValue,
        }
        let data = RawValue::from_string("{\"b\": 1.0, \"a\":1e2}".to_owned()).unwrap();
        let body = Body { data: &data };
        let envelope = Envelope { id: Uuid::nil(), kind: "command", at: Timestamp(7), body: &body };
        assert_eq!(
            serde_json::to_string(&envelope).unwrap(),
            "{\"id\":\"00000000-0000-0000-0000-000000000000\",\"kind\":\"command\",\"at\":7,\
             \"data\":{\"b\": 1.0, \"a\":1e2}}"
        );
    }
}
