//! What publishers send and are told, as it is spelled.
//!
//! `data` and `args` pass through as the text that came in.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::{ApiError, Code};
use crate::delivery::messages::Receipt;
use crate::protocol::{Action, EventId, NewEvent, Seq, SessionId, UserId};

/// The longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// An event to publish.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventBody<'a> {
    /// Whose it is: in a batch only.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    user: Option<std::borrow::Cow<'a, str>>,
    /// Its type: 1 to 128 bytes.
    #[serde(rename = "type")]
    kind: String,
    /// Anything; an object's fields are spread into the frame.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    /// A UUID of the publisher's, so that publishing again is recognised.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    event_id: Option<EventId>,
    /// The account it belongs to, for `/updates`.
    #[serde(default)]
    account: Option<String>,
    /// What happened to the items, for `/updates`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    action: Option<Action>,
    /// Whether devices should stay quiet about it, for `/updates`.
    #[serde(default)]
    silent: Option<bool>,
    /// For how long it may be delivered, in milliseconds; at least 1.
    #[serde(default)]
    ttl_ms: Option<u64>,
    /// For live sessions only: never stored, no ack.
    #[serde(default)]
    ephemeral: Option<bool>,
    /// The session that must not get it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    exclude_session: Option<SessionId>,
    /// The arguments of a Socket.IO event: an array.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    args: Option<Box<RawValue>>,
}

impl<'a> EventBody<'a> {
    /// Reads one event.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, ApiError> {
        // serde reads a struct from an array too; an object is asked for.
        if text.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
            return Err(ApiError::field("an event is an object, not an array"));
        }
        let body: Self = serde_json::from_slice(text).map_err(|error| ApiError::json(&error))?;
        if body.ttl_ms == Some(0) {
            return Err(ApiError::field("ttl_ms must be at least 1"));
        }
        Ok(body)
    }

    /// The event of a single publish, whose user is in the path.
    pub(super) fn for_path(self, key: Option<String>) -> Result<NewEvent, ApiError> {
        if self.user.is_some() {
            return Err(ApiError::field("unknown field `user`: it is in the path"));
        }
        Ok(self.event(key))
    }

    /// The user and event of a batch's item.
    pub(super) fn for_batch(self) -> Result<(UserId, NewEvent), ApiError> {
        let user = self.user.as_deref().ok_or_else(|| ApiError::field("missing field `user`"))?;
        let user = user_id(user)?;
        Ok((user, self.event(None)))
    }

    fn event(self, idempotency_key: Option<String>) -> NewEvent {
        NewEvent {
            kind: self.kind,
            data: self.data,
            // An event's own name says more than a key.
            idempotency_key: idempotency_key.filter(|_| self.event_id.is_none()),
            id: self.event_id,
            account: self.account,
            action: self.action,
            silent: self.silent.unwrap_or(false),
            ttl_ms: self.ttl_ms,
            ephemeral: self.ephemeral.unwrap_or(false),
            exclude_session: self.exclude_session,
            args: self.args,
        }
    }
}

/// A user named in a path or a body.
pub(super) fn user_id(name: &str) -> Result<UserId, ApiError> {
    UserId::new(name).map_err(|error| ApiError::field(format!("user {error}")))
}

/// An `Idempotency-Key` header.
pub(super) fn idempotency_key(value: &[u8]) -> Result<String, ApiError> {
    let is_good = (1..=KEY_BYTES_MAX).contains(&value.len())
        && value.iter().all(|byte| (0x20..0x7f).contains(byte));
    if !is_good {
        let rule = format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} visible characters");
        return Err(ApiError::field(rule));
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// What a publisher is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptBody {
    /// In a batch: 201, or 200 for an event published before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// The event's name.
    #[schema(value_type = uuid::Uuid)]
    event_id: EventId,
    /// Its place in the user's log; null for an ephemeral event.
    #[schema(value_type = Option<i64>)]
    seq: Option<Seq>,
    /// Who was there.
    sessions: SessionCounts,
    /// Present and true when the event was published before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    /// With `wait=acked`: the sessions that acked in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    acked: Option<Vec<SessionId>>,
    /// With `wait=acked`: the live sessions that did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    unacked: Option<Vec<SessionId>>,
}

/// How many sessions a user had when an event was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionCounts {
    /// With a connection, plain connections among them.
    live: u32,
    /// Without.
    offline: u32,
}

impl ReceiptBody {
    pub(super) fn new(receipt: Receipt) -> Self {
        let (acked, unacked) = match receipt.acked {
            Some(outcome) => (Some(outcome.acked), Some(outcome.unacked)),
            None => (None, None),
        };
        Self {
            status: None,
            event_id: receipt.event_id,
            seq: receipt.seq,
            sessions: SessionCounts { live: receipt.live, offline: receipt.offline },
            duplicate: receipt.duplicate,
            acked,
            unacked,
        }
    }
}

/// One result of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BatchResult {
    /// It was taken.
    Taken(ReceiptBody),
    /// It was not; the others are not held up.
    Refused {
        /// The status it would have got by itself.
        status: u16,
        /// What went wrong, for programs.
        code: Code,
        /// What went wrong, for people.
        detail: String,
    },
}

impl From<ApiError> for BatchResult {
    fn from(error: ApiError) -> Self {
        BatchResult::Refused { status: error.status(), code: error.code, detail: error.detail }
    }
}

impl From<Receipt> for BatchResult {
    fn from(receipt: Receipt) -> Self {
        let status = if receipt.duplicate { 200 } else { 201 };
        BatchResult::Taken(ReceiptBody { status: Some(status), ..ReceiptBody::new(receipt) })
    }
}
