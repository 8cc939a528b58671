//! What the API answers when it cannot do what was asked: `application/problem+json` (RFC 9457).
//!
//! The only file that knows statuses of errors.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{AuthError, Scope};
use crate::delivery::messages::PublishError;
use crate::persistence::messages::StoreError;

/// The media type of every error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What a caller with a bad token is told; one without is told `Bearer` only.
const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// What went wrong, by a name a program may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body is not JSON.
    InvalidJson,
    /// A field is unknown, missing, or has the wrong shape.
    InvalidField,
    /// The body passes `server.body_bytes_max`, or an event `publish.data_bytes_max`.
    TooLarge,
    /// The batch passes `publish.batch_events_max`.
    BatchTooLarge,
    /// No credentials, or none that are good.
    Unauthenticated,
    /// The token was good once.
    TokenExpired,
    /// The credentials do not allow this.
    Forbidden,
    /// There is nothing of this name.
    NotFound,
    /// There is something, but not for this method.
    MethodNotAllowed,
    /// The `event_id` or key was used for another body.
    Conflict,
    /// The log no longer reaches back to this cursor: do a full sync.
    CursorExpired,
    /// The body is compressed, or not `application/json`.
    UnsupportedMediaType,
    /// This caller publishes too much, or credentials from its address keep failing; try again after
    /// `Retry-After`.
    RateLimited,
    /// The body took too long to come.
    TooSlow,
    /// Too much is waiting; try again in a moment.
    Overloaded,
    /// The database is away; try again with the same `event_id`.
    Unavailable,
}

impl Code {
    /// All there are.
    pub(super) const ALL: [Code; 16] = [
        Code::InvalidJson,
        Code::InvalidField,
        Code::TooLarge,
        Code::BatchTooLarge,
        Code::Unauthenticated,
        Code::TokenExpired,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::Conflict,
        Code::CursorExpired,
        Code::UnsupportedMediaType,
        Code::RateLimited,
        Code::TooSlow,
        Code::Overloaded,
        Code::Unavailable,
    ];

    pub(super) fn status(self) -> StatusCode {
        match self {
            Code::InvalidJson => StatusCode::BAD_REQUEST,
            Code::InvalidField => StatusCode::UNPROCESSABLE_ENTITY,
            Code::TooLarge | Code::BatchTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::Unauthenticated | Code::TokenExpired => StatusCode::UNAUTHORIZED,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Code::Conflict => StatusCode::CONFLICT,
            Code::CursorExpired => StatusCode::GONE,
            Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Code::Overloaded | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Code::InvalidJson => "The body is not valid JSON",
            Code::InvalidField => "A field is not as it must be",
            Code::TooLarge => "Too large",
            Code::BatchTooLarge => "Too many events in one batch",
            Code::Unauthenticated => "Not authenticated",
            Code::TokenExpired => "The token has expired",
            Code::Forbidden => "Not allowed",
            Code::NotFound => "Not found",
            Code::MethodNotAllowed => "Method not allowed",
            Code::Conflict => "Used for another event",
            Code::CursorExpired => "The log no longer reaches back to this cursor",
            Code::UnsupportedMediaType => "Unsupported media type",
            Code::RateLimited => "Too often",
            Code::TooSlow => "The body took too long",
            Code::Overloaded => "Overloaded",
            Code::Unavailable => "Temporarily unavailable",
        }
    }

    pub(super) fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// An error on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong.
    pub code: Code,
    /// What exactly, for people. Never holds a token or a payload.
    pub detail: String,
    header: Option<(HeaderName, String)>,
}

/// An error as it is spelled.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:staffetta:problem:<code>`.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This problem, for people.
    detail: String,
    /// The kind of problem, for programs.
    code: Code,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let header = match code {
            Code::Unauthenticated => Some((WWW_AUTHENTICATE, "Bearer".to_owned())),
            Code::TokenExpired => Some((WWW_AUTHENTICATE, INVALID_TOKEN.to_owned())),
            Code::RateLimited | Code::Overloaded | Code::Unavailable => {
                Some((RETRY_AFTER, "1".to_owned()))
            }
            Code::InvalidJson
            | Code::InvalidField
            | Code::TooLarge
            | Code::BatchTooLarge
            | Code::Forbidden
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::Conflict
            | Code::CursorExpired
            | Code::UnsupportedMediaType
            | Code::TooSlow => None,
        };
        Self { code, detail: detail.into(), header }
    }

    /// A field that is not as it must be.
    pub fn field(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidField, detail)
    }

    /// A method this resource does not know; `allow` lists those it does.
    pub fn method(allow: String) -> Self {
        let detail = format!("this resource takes {allow}");
        Self { code: Code::MethodNotAllowed, detail, header: Some((ALLOW, allow)) }
    }

    /// A caller that publishes too much, and when to come back.
    pub fn too_often(pause: Duration) -> Self {
        Self::wait(pause, "publish again")
    }

    /// An address whose credentials keep failing, and when to come back.
    pub fn fails_too_often(pause: Duration) -> Self {
        Self::wait(pause, "too many failed authentications from this address: try again")
    }

    fn wait(pause: Duration, advice: &str) -> Self {
        let seconds = (pause.as_millis().div_ceil(1_000)).max(1);
        let detail = format!("{advice} in {seconds} s");
        Self {
            header: Some((RETRY_AFTER, seconds.to_string())),
            ..Self::new(Code::RateLimited, detail)
        }
    }

    /// A caller that is known but lacks a scope (RFC 6750, section 3).
    pub fn lacks(scope: Scope) -> Self {
        let scope = scope.name();
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        Self {
            header: Some((WWW_AUTHENTICATE, challenge)),
            ..Self::new(Code::Forbidden, format!("this needs the scope \"{scope}\""))
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.code.status().as_u16()
    }

    /// How it is spelled.
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("urn:staffetta:problem:{}", self.code.name()),
            title: self.code.title(),
            status: self.status(),
            detail: self.detail.clone(),
            code: self.code,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.title(), self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.code.status());
        if let Some((name, value)) = &self.header {
            response.insert_header((name.clone(), value.as_str()));
        }
        let body = serde_json::to_string(&self.problem()).unwrap_or_default();
        response.content_type(PROBLEM_JSON).body(body)
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        let code = match &error {
            PublishError::Invalid(crate::protocol::EventError::TooLarge { .. }) => Code::TooLarge,
            PublishError::Invalid(_) => Code::InvalidField,
            PublishError::Conflict => Code::Conflict,
            PublishError::Overloaded => Code::Overloaded,
            PublishError::Unavailable | PublishError::Moved => Code::Unavailable,
            PublishError::Forbidden => Code::Forbidden,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::new(Code::Overloaded, "the store has too much waiting"),
            StoreError::Database(_) | StoreError::Closed | StoreError::Moved => {
                // What the database said is for the log, not for a caller.
                log::warn!("a call failed at the store: {error}");
                Self::new(Code::Unavailable, "the database cannot be reached")
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let told = error.to_string();
        match error {
            AuthError::Invalid => Self {
                header: Some((WWW_AUTHENTICATE, INVALID_TOKEN.to_owned())),
                ..Self::new(Code::Unauthenticated, told)
            },
            AuthError::Expired => Self::new(Code::TokenExpired, told),
            AuthError::KeysUnavailable => Self::new(Code::Unavailable, told),
        }
    }
}
