//! Which command the hub answers, and what a command handler says to it.

use serde::Serialize;
use serde_json::value::RawValue;

/// What a client calls a command of its own: a JSON string or number, given back as it came.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Reference(Box<RawValue>);

impl Reference {
    /// The longest one taken, in bytes of JSON text.
    pub const BYTES_MAX: usize = 256;

    /// Takes a string or a number of at most [`Self::BYTES_MAX`] bytes.
    pub fn new(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let is_name = text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        (is_name && text.len() <= Self::BYTES_MAX).then(|| Self(raw.to_owned()))
    }
}

impl PartialEq for Reference {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Reference {}

/// Which command a push answers, for dialects whose replies say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyTo {
    /// The account the command was said in; none is the default account.
    pub account: Option<String>,
    /// What the client calls the command, if it wants to know its reply.
    pub reference: Option<Reference>,
}

/// What a command handler answers.
#[derive(Clone, Debug, Default)]
pub struct CommandReply {
    /// The reply's data, as JSON text.
    pub data: Option<Box<RawValue>>,
}

impl PartialEq for CommandReply {
    fn eq(&self, other: &Self) -> bool {
        let text = |reply: &Self| reply.data.as_ref().map(|raw| raw.get().to_owned());
        text(self) == text(other)
    }
}

impl Eq for CommandReply {}

/// Why a command was not obeyed; the client is told both.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CommandError {
    /// A name for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl CommandError {
    /// An error of this code and message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}
