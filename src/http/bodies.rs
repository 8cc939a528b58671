//! What publishers are told, as it is spelled, and the key they may send.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, Code};
use crate::delivery::messages::Receipt;
use crate::protocol::{EventId, Seq, SessionId};

/// The longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

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
