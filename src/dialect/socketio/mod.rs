//! The dialect of Socket.IO: an event's name and its arguments, nothing appended.
//!
//! Pure. Three spellings of one event: as it is; with an ack id, which is its `seq`; and with its
//! `seq` as one more argument, which is where connection state recovery goes on from.

pub mod engine;
pub mod events;
pub mod packet;
pub mod polling;
#[cfg(test)]
mod tests;

use bytestring::ByteString;
use serde_json::json;
use serde_json::value::RawValue;

use self::packet::{ROOT, spell_event};
use super::{DecodeError, Dialect};
use crate::protocol::{Command, Event, Push, Seq};

/// What the `seq` in an offset comes after, so that no argument of anyone's is taken for one.
const OFFSET: &str = "seq-";

/// Where recovery goes on from, as an event carries it.
pub fn spell_offset(seq: Seq) -> String {
    format!("{OFFSET}{seq}")
}

/// The place an offset names; none when it is none of ours.
pub fn parse_offset(offset: &str) -> Option<Seq> {
    let seq = offset.strip_prefix(OFFSET)?.parse().ok()?;
    (seq >= 0).then_some(Seq(seq))
}

/// What is said of an event beside its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marking {
    /// Nothing.
    Bare,
    /// An ack id.
    Acked,
    /// Where recovery goes on from.
    Offset,
}

/// The Socket.IO dialect.
#[derive(Debug)]
pub struct SocketIo(pub Marking);

impl Dialect for SocketIo {
    /// Its packets may come in several frames, and are no [`Command`]s: `src/socketio` reads them.
    fn decode(&self, _frame: &ByteString) -> Result<Command, DecodeError> {
        Err(DecodeError::InvalidFormat)
    }

    fn encode(&self, push: &Push) -> Option<String> {
        match push {
            Push::AuthOk { session, need_full_sync, cursor, .. } => {
                let session = json!([{
                    "session_id": session,
                    "need_full_sync": need_full_sync,
                    "cursor": cursor,
                }]);
                Some(spell_event(ROOT, "session", &session.to_string(), None, 0))
            }
            Push::Established
            | Push::AuthSuccess { .. }
            | Push::AuthFailed(_)
            | Push::Pong { .. }
            | Push::Note(_)
            | Push::Extension(_)
            | Push::Error(_)
            | Push::Reply(_)
            | Push::Reconnect { .. } => None,
        }
    }

    fn encode_event(&self, event: &Event) -> String {
        let content = &event.content;
        let args = content.args.as_deref().map(RawValue::get);
        let data = content.data.as_deref().map(RawValue::get);
        let args = events::arguments(args, data);
        match (self.0, event.seq) {
            (Marking::Acked, Some(seq)) => {
                spell_event(ROOT, &content.kind, &args, Some(seq.0.unsigned_abs()), 0)
            }
            (Marking::Offset, Some(seq)) => {
                let args = args.trim();
                let inner = args.strip_suffix(']').unwrap_or(args).trim_end();
                let comma = if inner == "[" { "" } else { "," };
                let args = format!("{inner}{comma}\"{}\"]", spell_offset(seq));
                spell_event(ROOT, &content.kind, &args, None, 0)
            }
            (Marking::Bare, _) | (Marking::Acked | Marking::Offset, None) => {
                spell_event(ROOT, &content.kind, &args, None, 0)
            }
        }
    }
}
