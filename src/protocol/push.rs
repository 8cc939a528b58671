//! What the hub says to one connection, apart from events.

use bytestring::ByteString;

use super::{ClientError, CommandError, CommandReply, NotePush, Seq, SessionId, Timestamp, UserId};

/// One thing the hub says; each dialect has its own spelling, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The connection is open and waits for `auth`.
    Established,
    /// A reliable session is attached.
    AuthOk {
        /// Who it is.
        user: UserId,
        /// Its name from now on.
        session: SessionId,
        /// Whether the client must fetch its whole state.
        need_full_sync: bool,
        /// Everything at or below is settled for this session; after a full sync, the end of the
        /// user's log. Never ahead of what the client has, so it may be kept as it is.
        cursor: Seq,
    },
    /// A plain session is attached.
    AuthSuccess {
        /// Who it is.
        user: UserId,
        /// The key for signed envelopes: 64 hexadecimal characters.
        secret: String,
    },
    /// The token was refused.
    AuthFailed(AuthRefusal),
    /// The answer to a ping.
    Pong {
        /// When it was answered.
        timestamp: Timestamp,
    },
    /// Something about notes.
    Note(NotePush),
    /// What an extension says: the text of one JSON object.
    Extension(ByteString),
    /// The client said something wrong.
    Error(ClientError),
    /// A command was obeyed, or not.
    Reply(Result<CommandReply, CommandError>),
    /// Come back after this pause: the hub is about to close.
    Reconnect {
        /// The pause, in milliseconds, already jittered.
        retry_after_ms: u64,
    },
}

/// Why a token was refused, as far as a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthRefusal {
    /// It is not good.
    Failed,
    /// It was good once.
    Expired,
}
