//! What the hub tells a client that said something wrong; the connection stays open unless the
//! caller also closes it.

/// A refusal on a live connection: its text is part of the wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientError {
    /// The frame is not a JSON object, or a field has the wrong shape.
    InvalidFormat,
    /// Nothing here takes this `type`.
    UnknownType,
    /// The frame passes the soft size limit.
    TooLarge,
    /// Too many frames in the last minute.
    RateLimited,
    /// No `auth` came in time.
    AuthTimeout,
    /// The command needs an authenticated connection.
    AuthRequired,
    /// The signature of an envelope is not good, or one is needed.
    BadSignature,
    /// The user has too many connections.
    TooManyConnections,
    /// The hub cannot do this now (overloaded, or its database is away).
    Unavailable,
}

impl ClientError {
    /// The text on the wire.
    pub fn message(self) -> &'static str {
        match self {
            ClientError::InvalidFormat => "Invalid message format",
            ClientError::UnknownType => "Unknown message type",
            ClientError::TooLarge => "Message too large. Maximum size is 1MB.",
            ClientError::RateLimited => "Rate limit exceeded. Please slow down.",
            ClientError::AuthTimeout => "Authentication timeout. Connection will be closed.",
            ClientError::AuthRequired => "Authentication required",
            ClientError::BadSignature => "Message authentication failed",
            ClientError::TooManyConnections => "Maximum connections exceeded for this user",
            ClientError::Unavailable => "Temporarily unavailable. Please try again.",
        }
    }

    /// The machine-readable name beside the text.
    pub fn code(self) -> &'static str {
        match self {
            ClientError::InvalidFormat => "invalid_format",
            ClientError::UnknownType => "unknown_type",
            ClientError::TooLarge => "too_large",
            ClientError::RateLimited => "rate_limited",
            ClientError::AuthTimeout => "auth_timeout",
            ClientError::AuthRequired => "auth_required",
            ClientError::BadSignature => "bad_signature",
            ClientError::TooManyConnections => "too_many_connections",
            ClientError::Unavailable => "unavailable",
        }
    }
}
