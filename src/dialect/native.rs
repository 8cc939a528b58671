//! The native dialect of `/ws`: one JSON object per text frame, tagged by `type`.
//!
//! Decoding is hot for acks: one pass over the frame, values parsed only where the type needs
//! them. Payloads pass through as text.

use std::borrow::Cow;
use std::fmt::Write;

use bytestring::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::{DecodeError, Dialect, notes, push_json_string};
use crate::protocol::{
    Ack, AuthRefusal, AuthRequest, ClientError, Command, Event, EventId, OfflinePolicy, Push,
    ReplyTo, Seq, SessionId, SessionRequest, SignedFrame, UserId,
};

/// The native dialect.
#[derive(Debug)]
pub struct Native;

/// What a client may say, as it is spelled on the wire. A value that is present and null is told
/// from one that is absent.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Kind<'a>>,
    #[serde(borrow, default)]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    session_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    offline: Option<&'a RawValue>,
    #[serde(borrow, default)]
    confirm_sync: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_ids: Option<&'a RawValue>,
    #[serde(borrow, default)]
    up_to: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    signature: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    nonce: Option<&'a RawValue>,
}

/// What a frame is: borrowed from it, which an option of a `Cow` is not by itself.
#[derive(Deserialize)]
struct Kind<'a>(#[serde(borrow)] Cow<'a, str>);

const ESTABLISHED: &str =
    r#"{"message":"Please authenticate to continue","type":"connection_established"}"#;

#[derive(Serialize)]
struct AuthOk<'a> {
    cursor: Seq,
    need_full_sync: bool,
    #[serde(rename = "session_id")]
    session: &'a SessionId,
    #[serde(rename = "type")]
    kind: &'a str,
    user: &'a UserId,
}

#[derive(Serialize)]
struct AuthSuccess<'a> {
    message: &'a str,
    #[serde(rename = "sessionSecret")]
    secret: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "userId")]
    user: &'a UserId,
}

/// None is for what cannot be written as JSON: nothing here.
fn text_of(frame: &impl Serialize) -> Option<String> {
    serde_json::to_string(frame).ok()
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Dialect for Native {
    fn decode(&self, frame: &ByteString) -> Result<Command, DecodeError> {
        // serde reads a struct from an array too; an object is asked for.
        if !frame.trim_ascii_start().starts_with('{') {
            return Err(DecodeError::InvalidFormat);
        }
        let incoming: Incoming<'_> =
            serde_json::from_str(frame).map_err(|_| DecodeError::InvalidFormat)?;
        let Some(Kind(kind)) = &incoming.kind else {
            return signed(&incoming, frame).map(Command::Signed);
        };
        match kind.as_ref() {
            "ack" => ack(&incoming).map(Command::Ack),
            "ping" => Ok(Command::Ping(ReplyTo::default())),
            "auth" => auth(&incoming).map(Command::Auth),
            "sync_complete" => Ok(Command::SyncComplete(ReplyTo::default())),
            kind => match notes::decode(kind, frame) {
                Some(note) => note.map(Command::Note),
                None => Ok(Command::Other { kind: kind.to_owned(), frame: frame.clone() }),
            },
        }
    }

    fn encode(&self, push: &Push) -> Option<String> {
        let frame = match push {
            // Every connection gets these, thousands a second after a restart.
            Push::Established => return Some(ESTABLISHED.to_owned()),
            Push::AuthOk { user, session, need_full_sync, cursor } => {
                let (kind, need_full_sync, cursor) = ("auth_ok", *need_full_sync, *cursor);
                return text_of(&AuthOk { cursor, need_full_sync, session, kind, user });
            }
            Push::AuthSuccess { user, secret } => {
                let (kind, message) = ("auth_success", "Authentication successful");
                return text_of(&AuthSuccess { message, secret, kind, user });
            }
            Push::AuthFailed(AuthRefusal::Failed) => json!({
                "type": "auth_failed",
                "message": "Authentication failed",
                "reason": "auth-failed",
            }),
            Push::AuthFailed(AuthRefusal::Expired) => json!({
                "type": "auth_failed",
                "message": "Token expired",
                "reason": "token-expired",
            }),
            Push::Pong { timestamp } => json!({"type": "pong", "timestamp": timestamp}),
            // These two are printed in the contract without a code.
            Push::Error(error @ (ClientError::AuthTimeout | ClientError::TooManyConnections)) => {
                json!({"type": "error", "message": error.message()})
            }
            Push::Error(error) => {
                json!({"type": "error", "message": error.message(), "code": error.code()})
            }
            Push::Reply(_) => return None,
            Push::Extension(text) => return Some(text.to_string()),
            Push::Note(note) => return Some(notes::encode(note)),
            Push::Reconnect { retry_after_ms } => {
                json!({"type": "reconnect", "retry_after_ms": retry_after_ms})
            }
        };
        Some(frame.to_string())
    }

    fn encode_event(&self, event: &Event) -> String {
        let content = &event.content;
        let mut frame = String::with_capacity(content.bytes() + 32);
        frame.push_str("{\"type\":");
        push_json_string(&mut frame, &content.kind);
        if let Some(data) = content.data.as_ref().map(|data| data.get()) {
            match data.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(fields) if fields.trim_ascii().is_empty() => {}
                Some(fields) => {
                    frame.push(',');
                    frame.push_str(fields);
                }
                None => {
                    frame.push_str(",\"data\":");
                    frame.push_str(data);
                }
            }
        }
        // Writing to a String cannot fail.
        let _ = write!(frame, ",\"event_id\":\"{}\"", content.id);
        if let Some(seq) = event.seq {
            let _ = write!(frame, ",\"seq\":{seq}");
        }
        frame.push('}');
        frame
    }
}

/// A frame without a type is a signed envelope, or nothing we can read.
fn signed(incoming: &Incoming<'_>, frame: &ByteString) -> Result<SignedFrame, DecodeError> {
    let (Some(payload), Some(signature)) = (incoming.payload, incoming.signature) else {
        return Err(DecodeError::InvalidFormat);
    };
    // What is not there, or not text, fits no signature.
    let raw = |part: Option<&RawValue>| {
        part.map_or_else(ByteString::new, |part| frame.slice_ref(part.get()))
    };
    Ok(SignedFrame {
        payload: frame.slice_ref(payload.get()),
        timestamp: raw(incoming.timestamp),
        nonce: raw(incoming.nonce),
        signature: serde_json::from_str(signature.get()).unwrap_or_default(),
    })
}

fn value<T: DeserializeOwned>(raw: &RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(raw.get()).map_err(|_| DecodeError::InvalidFormat)
}

pub(super) fn optional<T: DeserializeOwned>(
    raw: Option<&RawValue>,
) -> Result<Option<T>, DecodeError> {
    raw.map_or(Ok(None), value)
}

fn auth(incoming: &Incoming<'_>) -> Result<AuthRequest, DecodeError> {
    let token: Option<String> = optional(incoming.token)?;
    let session = match incoming.session_id {
        None => SessionRequest::Plain,
        Some(raw) => match value::<Option<String>>(raw)?.as_deref() {
            None | Some("") => SessionRequest::New,
            Some(name) => {
                SessionRequest::Named(SessionId::new(name).map_err(|_| DecodeError::InvalidFormat)?)
            }
        },
    };
    let offline: Option<OfflinePolicy> = optional(incoming.offline)?;
    let confirm_sync: Option<bool> = optional(incoming.confirm_sync)?;
    Ok(AuthRequest {
        token: token.unwrap_or_default(),
        session,
        offline,
        confirm_sync: confirm_sync.unwrap_or(false),
        reply_to: ReplyTo::default(),
    })
}

/// An id that is no UUID is an unknown one: ignored, like every unknown ack.
fn ack(incoming: &Incoming<'_>) -> Result<Ack, DecodeError> {
    if let Some(raw) = incoming.event_id {
        // The usual spelling of one id needs no unescaping.
        let id = raw.get().trim_matches('"');
        if !raw.get().starts_with('"') {
            return Err(DecodeError::InvalidFormat);
        }
        return Ok(Ack::of(parse_id(id)));
    }
    if let Some(raw) = incoming.event_ids {
        let ids: Vec<Cow<'_, str>> =
            serde_json::from_str(raw.get()).map_err(|_| DecodeError::InvalidFormat)?;
        return Ok(Ack::Events(ids.iter().filter_map(|id| parse_id(id)).collect()));
    }
    let raw = incoming.up_to.ok_or(DecodeError::InvalidFormat)?;
    let up_to: i64 = value(raw)?;
    Ok(Ack::UpTo(Seq(up_to.max(0))))
}

fn parse_id(text: &str) -> Option<EventId> {
    uuid::Uuid::parse_str(text).ok().map(EventId)
}

#[cfg(test)]
mod tests;
