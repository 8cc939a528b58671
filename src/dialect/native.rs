//! The native dialect of `/ws`: one JSON object per text frame, tagged by `type`.

use super::{DecodeError, Dialect};
use crate::protocol::{Command, Event, Push};

/// The native dialect.
#[derive(Debug)]
pub struct Native;

impl Dialect for Native {
    fn decode(&self, _frame: &str) -> Result<Command, DecodeError> {
        Err(DecodeError::InvalidFormat)
    }

    fn encode(&self, _push: &Push) -> Option<String> {
        None
    }

    fn encode_event(&self, _event: &Event) -> String {
        String::new()
    }
}
