//! What may be asked of Persistence about devices to be woken.

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use super::StoreError;
use crate::protocol::{SessionId, Timestamp, UserId};

/// Changes what is known of a device to be woken.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WritePush {
    /// Whose device.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// What changes.
    pub change: PushChange,
    /// Gets whether there was such a device, once it is durable.
    pub reply: oneshot::Sender<Result<bool, StoreError>>,
}

/// A change of a device to be woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushChange {
    /// It is woken there from now on.
    Register {
        /// Where.
        endpoint: String,
        /// When it said so.
        at: Timestamp,
    },
    /// It is woken no more.
    Forget,
    /// It was woken just now, or could not be.
    Woken(Option<Timestamp>),
}

/// Finds devices for which something has waited, and which were not woken since they were last
/// seen to ack. Whether one is connected, the store does not know.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListPushes {
    /// Something published at or before this time waits.
    pub before: Timestamp,
    /// Sessions up to this one are left out.
    pub after: Option<SessionId>,
    /// At most this many.
    pub devices_max: usize,
    /// Gets them.
    pub reply: oneshot::Sender<Result<Vec<Sleeper>, StoreError>>,
}

/// A device to be woken, if it is not connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleeper {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// Where.
    pub endpoint: String,
}

/// Everything others ask of Persistence about devices to be woken.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the recipient of the message it is named after")]
pub struct PushPort {
    pub write: Recipient<WritePush>,
    pub list: Recipient<ListPushes>,
}
