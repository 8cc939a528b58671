//! What a call to a webhook gives back: the data of a reply, or why there is none.

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::hooks::Webhooks;
use super::post::Answer;
use super::target::{Cause, Failure};
use crate::commands::{ClientCommand, CommandError, CommandHandler, CommandReply};
use crate::protocol::{SessionId, UserId};

/// The longest code and message of a refusal that are passed on, in bytes.
const CODE_BYTES_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 512;

/// A client's command as it is posted, beside `id`, `kind` and `at`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CommandBody<'a> {
    /// Who.
    pub user: &'a UserId,
    /// On which session.
    pub session: &'a SessionId,
    /// In which account.
    pub account: &'a str,
    /// What is to be done.
    pub name: &'a str,
    /// With what: passed through as the text it came as.
    pub data: Option<&'a RawValue>,
}

impl CommandBody<'_> {
    /// The `kind` of its post.
    pub const KIND: &'static str = "command";
}

/// Why a call has no data to give back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// `webhooks.commands_url` is not set.
    #[error("no webhook takes commands")]
    NoWebhook,
    /// Too many posts wait; the call is a dead letter.
    #[error("too many commands wait for the webhook")]
    Overloaded,
    /// The webhook will not have it; the call is a dead letter.
    #[error("{message}")]
    Refused {
        /// As the webhook says, or `refused`.
        code: String,
        /// As the webhook says, or that it refused.
        message: String,
    },
    /// No attempt succeeded, or the hub is stopping; the call is a dead letter.
    #[error("the webhook did not take the command")]
    Unavailable,
    /// The webhook took it, but what it answered is not JSON, or too long.
    #[error("the webhook's answer cannot be read")]
    BadAnswer,
}

impl CallError {
    /// What a client is told, for programs.
    pub fn code(&self) -> &str {
        match self {
            CallError::NoWebhook => "unknown_command",
            CallError::Overloaded => "overloaded",
            CallError::Refused { code, .. } => code,
            CallError::Unavailable => "unavailable",
            CallError::BadAnswer => "bad_answer",
        }
    }
}

/// Commands are posted, and the answer is the reply.
impl CommandHandler for Webhooks {
    fn handle<'a>(
        &'a self,
        command: ClientCommand,
    ) -> BoxFuture<'a, Result<CommandReply, CommandError>> {
        async move {
            let ClientCommand { user, session, account, name, data } = &command;
            let body = CommandBody { user, session, account, name, data: data.as_deref() };
            match self.call(CommandBody::KIND, &body).await {
                Ok(data) => Ok(CommandReply { data }),
                Err(error) => Err(CommandError::new(error.code(), error.to_string())),
            }
        }
        .boxed()
    }
}

/// The data of an answer; an empty body is none.
pub(super) fn data(answer: Answer) -> Result<Option<Box<RawValue>>, CallError> {
    let body = answer.body.ok_or(CallError::BadAnswer)?;
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(body).map_err(|_| CallError::BadAnswer)?;
    RawValue::from_string(text).map(Some).map_err(|_| CallError::BadAnswer)
}

/// What a failure means for a call.
pub(super) fn error(failure: Failure) -> CallError {
    match failure.cause {
        Cause::Full => CallError::Overloaded,
        Cause::Unavailable | Cause::Stopped => CallError::Unavailable,
        Cause::Refused(answer) => refusal(&answer.body.unwrap_or_default()),
    }
}

/// A refusal as the webhook explains it: `{"code","message"}`, both optional.
fn refusal(body: &[u8]) -> CallError {
    #[derive(Default, Deserialize)]
    struct Refusal {
        code: Option<String>,
        message: Option<String>,
    }

    let told: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = told.code.filter(|code| (1..=CODE_BYTES_MAX).contains(&code.len()));
    let mut message = told.message.unwrap_or_else(|| "the webhook refused the command".to_owned());
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    CallError::Refused { code: code.unwrap_or_else(|| "refused".to_owned()), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: Option<&[u8]>) -> Answer {
        Answer { status: 200, retry_after: None, body: body.map(<[u8]>::to_vec) }
    }

    #[test]
    fn a_json_body_is_data_and_an_empty_one_is_none() {
        let read = |body| data(answer(Some(body))).map(|data| data.map(|raw| raw.to_string()));
        assert_eq!(read(b"{\"b\":1.0, \"a\":2}"), Ok(Some("{\"b\":1.0, \"a\":2}".to_owned())));
        assert_eq!(read(b"null"), Ok(Some("null".to_owned())));
        assert_eq!((read(b""), read(b" \r\n")), (Ok(None), Ok(None)));
        for bad in [&b"OK"[..], b"{} {}", b"\"\xff\""] {
            assert_eq!(read(bad), Err(CallError::BadAnswer), "{bad:?}");
        }
        assert!(data(answer(None)).is_err_and(|error| error == CallError::BadAnswer));
    }

    #[test]
    fn a_refusal_says_what_the_webhook_says() {
        let told = |body: &str| match refusal(body.as_bytes()) {
            CallError::Refused { code, message } => (code, message),
            other => panic!("{other:?}"),
        };
        let fallback = "the webhook refused the command";
        for (body, code, message) in [
            (r#"{"code":"quota","message":"no room"}"#, "quota", "no room"),
            (r#"{"code":"","other":1}"#, "refused", fallback),
            (r#"{"code":7}"#, "refused", fallback),
            ("<html>", "refused", fallback),
        ] {
            assert_eq!(told(body), (code.to_owned(), message.to_owned()), "{body}");
        }
        let (_, long) = told(&format!(
            r#"{{"message":"{}"}}"#,
            "\u{e9}".repeat(1_000).replacen('\u{e9}', "e", 1)
        ));
        assert_eq!(long.len(), MESSAGE_BYTES_MAX - 1, "cut between characters");
    }
}
