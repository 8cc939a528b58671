//! What a client asks of the hub, whichever dialect spelled it.

use bytestring::ByteString;

use super::{EventId, OfflinePolicy, Seq, SessionId};

/// One thing a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Says who it is.
    Auth(AuthRequest),
    /// Settles deliveries.
    Ack(Ack),
    /// Asks for a sign of life.
    Ping,
    /// Says that the full sync it was told to do is done.
    SyncComplete,
    /// Something this dialect does not know: an extension may.
    Other {
        /// Its `type`.
        kind: String,
        /// The whole frame as received.
        frame: ByteString,
    },
}

/// An `auth` frame.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// The token. Never logged.
    pub token: String,
    /// Which session it wants to be.
    pub session: SessionRequest,
    /// What becomes of events published while it is away; none keeps what the session has.
    pub offline: Option<OfflinePolicy>,
    /// Whether `need_full_sync` holds until the client says the sync is done.
    pub confirm_sync: bool,
}

impl std::fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthRequest")
            .field("session", &self.session)
            .field("offline", &self.offline)
            .field("confirm_sync", &self.confirm_sync)
            .finish_non_exhaustive()
    }
}

/// Which session an `auth` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionRequest {
    /// None: the connection cannot ack.
    Plain,
    /// A new one, named by the hub.
    New,
    /// This one; unknown, it is created under this name.
    Named(SessionId),
}

/// What a client settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// These events.
    Events(Vec<EventId>),
    /// Everything at or below this place.
    UpTo(Seq),
}
