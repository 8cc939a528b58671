//! The dialect of `/updates`: commands, replies and updates, each in an account.
//!
//! A client's `reply` is its ack; the hub's `reply` answers a command. Data and references pass
//! through as text.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{DecodeError, Dialect, push_json_string};
use crate::protocol::{
    Ack, Action, AuthRefusal, AuthRequest, Call, Command, CommandError, DEFAULT_ACCOUNT, Event,
    EventId, OfflinePolicy, Push, Reference, ReplyTo, SessionId, SessionRequest, is_account,
};

/// The longest name of a command, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The updates dialect.
#[derive(Debug)]
pub struct Updates;

/// What every frame of a client looks like.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow, default)]
    account: Option<Cow<'a, str>>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReplyPayload<'a> {
    #[serde(rename = "ref", borrow)]
    reference: &'a RawValue,
}

#[derive(Deserialize)]
struct CommandPayload<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(rename = "ref", borrow, default)]
    reference: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthData {
    token: Option<String>,
    session_id: Option<String>,
    offline: Option<OfflinePolicy>,
    confirm_sync: Option<bool>,
}

/// What every frame of the hub looks like, updates apart.
#[derive(Serialize)]
struct Outgoing<'a, P> {
    account: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    payload: P,
}

#[derive(Serialize)]
struct Reply<'a> {
    #[serde(rename = "ref")]
    reference: Option<&'a Reference>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Hub(Value),
    Handler(&'a RawValue),
}

/// What JSON takes for white space: less than ASCII does.
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

impl Dialect for Updates {
    fn decode(&self, frame: &ByteString) -> Result<Command, DecodeError> {
        let incoming: Incoming<'_> = object(frame.trim_start_matches(JSON_SPACE))?;
        if incoming.account.as_deref().is_some_and(|account| !is_account(account)) {
            return Err(DecodeError::InvalidFormat);
        }
        match &*incoming.kind {
            "reply" => reply(payload(incoming.payload)?),
            "command" => command(incoming.account, payload(incoming.payload)?),
            kind => Ok(Command::Other { kind: kind.to_owned(), frame: frame.clone() }),
        }
    }

    fn encode(&self, push: &Push) -> Option<String> {
        self.encode_reply(push, &ReplyTo::default())
    }

    fn encode_reply(&self, push: &Push, to: &ReplyTo) -> Option<String> {
        match push {
            Push::Established | Push::AuthSuccess { .. } | Push::Note(_) | Push::Extension(_) => {
                None
            }
            Push::AuthOk { user, session, need_full_sync, cursor } => {
                let data = json!({
                    "user": user,
                    "session_id": session,
                    "need_full_sync": need_full_sync,
                    "cursor": cursor,
                });
                answer(to, Ok(Some(Data::Hub(data))))
            }
            Push::AuthFailed(AuthRefusal::Failed) => {
                answer(to, Err(("auth-failed", "Authentication failed")))
            }
            Push::AuthFailed(AuthRefusal::Expired) => {
                answer(to, Err(("token-expired", "Token expired")))
            }
            Push::Pong { timestamp } => {
                answer(to, Ok(Some(Data::Hub(json!({"timestamp": timestamp})))))
            }
            Push::Error(error) => answer(to, Err((error.code(), error.message()))),
            Push::Reply(Ok(reply)) => answer(to, Ok(reply.data.as_deref().map(Data::Handler))),
            Push::Reply(Err(CommandError { code, message })) => answer(to, Err((code, message))),
            Push::Reconnect { retry_after_ms } => {
                let payload = json!({"retry_after_ms": retry_after_ms});
                spell(&Outgoing { account: DEFAULT_ACCOUNT, kind: "reconnect", payload })
            }
        }
    }

    fn encode_event(&self, event: &Event) -> String {
        let content = &event.content;
        let mut frame = String::with_capacity(content.bytes() + 128);
        frame.push_str("{\"account\":");
        push_json_string(&mut frame, content.account.as_deref().unwrap_or(DEFAULT_ACCOUNT));
        frame.push_str(",\"type\":\"update\",\"payload\":{\"ref\":\"");
        frame.push_str(&content.id.to_string());
        frame.push_str(if content.silent { "\",\"silent\":true" } else { "\",\"silent\":false" });
        frame.push_str(match content.action {
            None | Some(Action::New) => ",\"action\":\"new\"",
            Some(Action::Update) => ",\"action\":\"update\"",
            Some(Action::Delete) => ",\"action\":\"delete\"",
        });
        frame.push_str(",\"payload\":{\"type\":");
        push_json_string(&mut frame, &content.kind);
        frame.push_str(",\"items\":");
        match content.data.as_ref().map(|data| data.get()) {
            None => frame.push_str("[]"),
            Some(list) if list.starts_with('[') => frame.push_str(list),
            Some(item) => {
                frame.push('[');
                frame.push_str(item);
                frame.push(']');
            }
        }
        frame.push_str("}}}");
        frame
    }
}

/// Reads an object. serde reads a struct from an array too.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    if !text.starts_with('{') {
        return Err(DecodeError::InvalidFormat);
    }
    serde_json::from_str(text).map_err(|_| DecodeError::InvalidFormat)
}

fn payload<'a, T: Deserialize<'a>>(payload: Option<&'a RawValue>) -> Result<T, DecodeError> {
    object(payload.ok_or(DecodeError::InvalidFormat)?.get())
}

/// A reference that is no event's name is an unknown ack: ignored.
fn reply(payload: ReplyPayload<'_>) -> Result<Command, DecodeError> {
    let id = payload.reference.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let id = id.and_then(|text| uuid::Uuid::parse_str(text).ok()).map(EventId);
    Ok(Command::Ack(Ack::of(id)))
}

fn command(
    account: Option<Cow<'_, str>>,
    payload: CommandPayload<'_>,
) -> Result<Command, DecodeError> {
    let CommandPayload { name, data, reference } = payload;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(DecodeError::InvalidFormat);
    }
    let reference = reference.map(|raw| Reference::new(raw).ok_or(DecodeError::InvalidFormat));
    let account = account.map_or_else(|| DEFAULT_ACCOUNT.to_owned(), Cow::into_owned);
    let reply_to = ReplyTo { account: Some(account), reference: reference.transpose()? };
    Ok(match &*name {
        "auth" => Command::Auth(auth(data, reply_to)?),
        "ping" => Command::Ping(reply_to),
        "sync_complete" => Command::SyncComplete(reply_to),
        _ => {
            let (name, data) = (name.into_owned(), data.map(ToOwned::to_owned));
            Command::Call(Call { reply_to, name, data })
        }
    })
}

fn auth(data: Option<&RawValue>, reply_to: ReplyTo) -> Result<AuthRequest, DecodeError> {
    let data: AuthData = data.map_or_else(|| Ok(AuthData::default()), |raw| object(raw.get()))?;
    let session = match data.session_id.as_deref() {
        None | Some("") => SessionRequest::New,
        Some(name) => {
            SessionRequest::Named(SessionId::new(name).map_err(|_| DecodeError::InvalidFormat)?)
        }
    };
    Ok(AuthRequest {
        token: data.token.unwrap_or_default(),
        session,
        offline: data.offline,
        confirm_sync: data.confirm_sync.unwrap_or(false),
        reply_to,
    })
}

fn answer(to: &ReplyTo, result: Result<Option<Data<'_>>, (&str, &str)>) -> Option<String> {
    let reference = to.reference.as_ref();
    let payload = match result {
        Ok(data) => Reply { reference, ok: true, error: None, data },
        Err((code, message)) => {
            Reply { reference, ok: false, error: Some(Refusal { code, message }), data: None }
        }
    };
    let account = to.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
    spell(&Outgoing { account, kind: "reply", payload })
}

/// Writing these to text cannot fail.
fn spell(frame: &impl Serialize) -> Option<String> {
    serde_json::to_string(frame).ok()
}

#[cfg(test)]
mod tests;
