//! What a client asks of the hub, whichever dialect spelled it.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::{EventId, NoteCommand, OfflinePolicy, ReplyTo, Seq, SessionId, SignedFrame};

/// One thing a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Says who it is.
    Auth(AuthRequest),
    /// Settles deliveries.
    Ack(Ack),
    /// Asks for a sign of life.
    Ping(ReplyTo),
    /// Says that the full sync it was told to do is done.
    SyncComplete(ReplyTo),
    /// Asks something of the application.
    Call(Call),
    /// Asks something about notes.
    Note(NoteCommand),
    /// Says any of these in a signed envelope.
    Signed(SignedFrame),
    /// Something this dialect does not know: an extension may.
    Other {
        /// Its `type`.
        kind: String,
        /// The whole frame as received.
        frame: ByteString,
    },
}

impl Command {
    /// What its answer names.
    pub fn reply_to(&self) -> ReplyTo {
        match self {
            Command::Auth(request) => request.reply_to.clone(),
            Command::Ping(to) | Command::SyncComplete(to) => to.clone(),
            Command::Call(call) => call.reply_to.clone(),
            Command::Ack(_) | Command::Note(_) | Command::Signed(_) | Command::Other { .. } => {
                ReplyTo::default()
            }
        }
    }
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
    /// What the answer names.
    pub reply_to: ReplyTo,
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
    /// This event.
    Event(EventId),
    /// These events.
    Events(Vec<EventId>),
    /// The event at this place.
    At(Seq),
    /// Everything at or below this place.
    UpTo(Seq),
}

impl Ack {
    /// Of one event; of a name that is no event's, an unknown ack, which settles nothing.
    pub fn of(event: Option<EventId>) -> Self {
        event.map_or(Self::Events(Vec::new()), Self::Event)
    }
}

/// A command for the application's handler.
#[derive(Clone, Debug)]
pub struct Call {
    /// What the answer names; its account is the command's.
    pub reply_to: ReplyTo,
    /// Which command.
    pub name: String,
    /// Its data, as JSON text; none for null.
    pub data: Option<Box<RawValue>>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        let data = |call: &Self| call.data.as_ref().map(|raw| raw.get().to_owned());
        self.reply_to == other.reply_to && self.name == other.name && data(self) == data(other)
    }
}

impl Eq for Call {}
