//! Why the hub ends a connection: the only file that knows close codes.

/// Why a connection ended. The hub never closes with 1000: note clients would not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1001: the hub is going away.
    GoingAway,
    /// 1002: the client broke the WebSocket protocol.
    ProtocolError,
    /// 1007: a text frame was not UTF-8.
    InvalidText,
    /// 1009: a frame passed the hard cap.
    TooBig,
    /// 1011: the hub failed at something it should have done.
    InternalError,
    /// 1012: the hub restarts; a `reconnect` frame came before.
    Restart,
    /// 4401: no token in time, a refused token, or one that ended.
    AuthFailed,
    /// 4403: the session was revoked.
    Revoked,
    /// 4408: an event stayed unacked through every redelivery; the session is deleted.
    GaveUp,
    /// 4409: a newer connection of the same session took over.
    Replaced,
    /// 4413: the client reads too slowly for what it is sent.
    TooSlow,
    /// 4429: a limit was passed.
    LimitExceeded,
}

/// Whether and when a client should come back after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconnectAdvice {
    /// At once, with the usual backoff.
    Reconnect,
    /// Only after a fresh token.
    ReconnectWithFreshToken,
    /// Not by itself: another tab took over, or the session is revoked.
    Stay,
}

impl CloseCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            CloseCode::GoingAway => 1001,
            CloseCode::ProtocolError => 1002,
            CloseCode::InvalidText => 1007,
            CloseCode::TooBig => 1009,
            CloseCode::InternalError => 1011,
            CloseCode::Restart => 1012,
            CloseCode::AuthFailed => 4401,
            CloseCode::Revoked => 4403,
            CloseCode::GaveUp => 4408,
            CloseCode::Replaced => 4409,
            CloseCode::TooSlow => 4413,
            CloseCode::LimitExceeded => 4429,
        }
    }

    /// The reason text on the wire and in logs; at most 123 bytes (RFC 6455, 5.5).
    pub fn reason(self) -> &'static str {
        match self {
            CloseCode::GoingAway => "going away",
            CloseCode::ProtocolError => "protocol error",
            CloseCode::InvalidText => "invalid UTF-8",
            CloseCode::TooBig => "message too big",
            CloseCode::InternalError => "internal error",
            CloseCode::Restart => "restarting",
            CloseCode::AuthFailed => "authentication failed",
            CloseCode::Revoked => "session revoked",
            CloseCode::GaveUp => "gave up: events unacknowledged",
            CloseCode::Replaced => "replaced by a newer connection",
            CloseCode::TooSlow => "reading too slowly",
            CloseCode::LimitExceeded => "limit exceeded",
        }
    }

    /// Whether the client should come back.
    pub fn advice(self) -> ReconnectAdvice {
        match self {
            CloseCode::AuthFailed => ReconnectAdvice::ReconnectWithFreshToken,
            CloseCode::Revoked | CloseCode::Replaced => ReconnectAdvice::Stay,
            CloseCode::GoingAway
            | CloseCode::ProtocolError
            | CloseCode::InvalidText
            | CloseCode::TooBig
            | CloseCode::InternalError
            | CloseCode::Restart
            | CloseCode::GaveUp
            | CloseCode::TooSlow
            | CloseCode::LimitExceeded => ReconnectAdvice::Reconnect,
        }
    }
}
