//! What the API answers when it cannot do what was asked: `application/problem+json` (RFC 9457).
//!
//! The only file that knows statuses of errors.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::AuthError;
use crate::delivery::messages::PublishError;
use crate::persistence::messages::StoreError;

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
    /// Too much is waiting; try again in a moment.
    Overloaded,
    /// The database is away; try again with the same `event_id`.
    Unavailable,
}

impl Code {
    fn status(self) -> StatusCode {
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
            Code::Overloaded | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
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
            Code::Overloaded => "Overloaded",
            Code::Unavailable => "Temporarily unavailable",
        }
    }

    fn name(self) -> String {
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
    allow: Option<&'static str>,
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
        Self { code, detail: detail.into(), allow: None }
    }

    /// A field that is not as it must be.
    pub fn field(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidField, detail)
    }

    /// A method this resource does not know; `allow` lists those it does.
    pub fn method(allow: &'static str) -> Self {
        let detail = format!("this resource takes {allow}");
        Self { code: Code::MethodNotAllowed, detail, allow: Some(allow) }
    }

    /// A body that is not what it must be.
    pub fn json(error: &serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Data => Self::field(error.to_string()),
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => Self::new(Code::InvalidJson, error.to_string()),
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
        match self.code {
            Code::Unauthenticated => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            Code::TokenExpired => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""));
            }
            Code::Overloaded | Code::Unavailable => {
                response.insert_header((RETRY_AFTER, "1"));
            }
            Code::InvalidJson
            | Code::InvalidField
            | Code::TooLarge
            | Code::BatchTooLarge
            | Code::Forbidden
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::Conflict
            | Code::CursorExpired => {}
        }
        if let Some(allow) = self.allow {
            response.insert_header((ALLOW, allow));
        }
        let body = serde_json::to_string(&self.problem()).unwrap_or_default();
        response.content_type("application/problem+json").body(body)
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        let code = match &error {
            PublishError::Invalid(crate::protocol::EventError::TooLarge { .. }) => Code::TooLarge,
            PublishError::Invalid(_) => Code::InvalidField,
            PublishError::Conflict => Code::Conflict,
            PublishError::Overloaded => Code::Overloaded,
            PublishError::Unavailable => Code::Unavailable,
            PublishError::Forbidden => Code::Forbidden,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::new(Code::Overloaded, "the store has too much waiting"),
            // What the database said is for the log, not for a caller.
            StoreError::Database(_) | StoreError::Closed => {
                Self::new(Code::Unavailable, "the database cannot be reached")
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Invalid => Code::Unauthenticated,
            AuthError::Expired => Code::TokenExpired,
            AuthError::KeysUnavailable => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}
