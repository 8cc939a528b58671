//! What an HTTP request of Engine.IO is told that is not served: the only file that knows its
//! error codes and their statuses.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;

use crate::ws::upgrade::whole_seconds;

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No transport of this name.
    UnknownTransport,
    /// No session of this name, or it is over.
    UnknownSid,
    /// A session begins with a GET.
    BadMethod,
    /// Anything else that is wrong.
    BadRequest,
    /// The page it comes from may not connect.
    Forbidden,
    /// Not Engine.IO 4.
    UnsupportedVersion,
    /// The body passes the bound.
    TooLarge,
    /// Too many come from there, or too many of their tokens were not good: how long to wait.
    TooMany(Duration),
    /// The hub is going away, or full.
    Unavailable,
}

impl Refusal {
    /// The answer.
    pub(super) fn response(self) -> HttpResponse {
        let (status, code, message) = match self {
            Refusal::UnknownTransport => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
            Refusal::UnknownSid => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
            Refusal::BadMethod => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
            Refusal::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request"),
            Refusal::Forbidden => (StatusCode::FORBIDDEN, 4, "Forbidden"),
            Refusal::UnsupportedVersion => {
                (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version")
            }
            Refusal::TooLarge => return HttpResponse::PayloadTooLarge().finish(),
            Refusal::TooMany(pause) => {
                return HttpResponse::TooManyRequests()
                    .insert_header((RETRY_AFTER, whole_seconds(pause)))
                    .finish();
            }
            Refusal::Unavailable => {
                return HttpResponse::ServiceUnavailable()
                    .insert_header((RETRY_AFTER, "1"))
                    .finish();
            }
        };
        HttpResponse::build(status)
            .content_type("application/json")
            .body(format!("{{\"code\":{code},\"message\":\"{message}\"}}"))
    }
}
