//! Socket.IO 5 packets: what an Engine.IO message says, in which namespace.
//!
//! Arguments pass through as the JSON text that came in. Only packets with attachments are looked
//! into: each placeholder must name one.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::engine::Malformed;
use crate::dialect::push_json_string;

/// Binary attachments of one packet at most.
pub const ATTACHMENTS_MAX: usize = 10;

/// The namespace of packets that name none.
pub const ROOT: &str = "/";

/// Names that clients and servers keep for themselves.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Whether clients and servers keep a name for themselves: a client that is told such an event
/// takes the hub for broken, and closes.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// One packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// In which namespace.
    pub namespace: String,
    /// What it says.
    pub body: Body,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Joins the namespace, with the JSON object it brings.
    Connect(Option<String>),
    /// Leaves the namespace.
    Disconnect,
    /// Says something.
    Event {
        /// What.
        name: String,
        /// Its arguments.
        args: Args,
        /// What its ack is to name, if it wants one.
        id: Option<u64>,
    },
    /// Acks an event of the hub.
    Ack {
        /// Which.
        id: u64,
        /// What it answers.
        args: Args,
    },
}

/// Arguments: a JSON array, and how many attachments follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The array, as JSON text.
    pub json: String,
    /// How many binary messages come after the packet.
    pub attachments: usize,
}

impl Packet {
    /// Reads the text of an Engine.IO message.
    ///
    /// # Errors
    /// When it breaks the protocol.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (kind, rest) = text.split_at_checked(1).ok_or(Malformed)?;
        let (attachments, rest) = match kind {
            "5" | "6" => attachments(rest)?,
            _ => (0, rest),
        };
        let (namespace, rest) = namespace(rest);
        let (id, json) = id(rest)?;
        let body = match (kind, id) {
            ("0", None) => Body::Connect(connect_payload(json)?),
            ("1", None) if json.is_empty() => Body::Disconnect,
            ("2" | "5", id) => event(json, id, attachments)?,
            ("3" | "6", Some(id)) => {
                let _: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Malformed)?;
                Body::Ack { id, args: Args::check(json.to_owned(), attachments)? }
            }
            _ => return Err(Malformed),
        };
        Ok(Self { namespace: namespace.to_owned(), body })
    }
}

impl Args {
    /// Takes an array whose placeholders all name an attachment.
    fn check(json: String, attachments: usize) -> Result<Self, Malformed> {
        if attachments > 0 {
            let value: Value = serde_json::from_str(&json).map_err(|_| Malformed)?;
            if !placeholders_fit(&value, attachments) {
                return Err(Malformed);
            }
        }
        Ok(Self { json, attachments })
    }
}

fn attachments(rest: &str) -> Result<(usize, &str), Malformed> {
    let (count, rest) = rest.split_once('-').ok_or(Malformed)?;
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    match count.parse() {
        Ok(count) if is_number && count <= ATTACHMENTS_MAX => Ok((count, rest)),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

fn namespace(rest: &str) -> (&str, &str) {
    if !rest.starts_with('/') {
        return (ROOT, rest);
    }
    rest.split_once(',').unwrap_or((rest, ""))
}

fn id(rest: &str) -> Result<(Option<u64>, &str), Malformed> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, json) = rest.split_at_checked(digits).ok_or(Malformed)?;
    if id.is_empty() {
        return Ok((None, json));
    }
    Ok((Some(id.parse().map_err(|_| Malformed)?), json))
}

fn connect_payload(json: &str) -> Result<Option<String>, Malformed> {
    if json.is_empty() {
        return Ok(None);
    }
    let raw: &RawValue = serde_json::from_str(json).map_err(|_| Malformed)?;
    if raw.get().starts_with('{') { Ok(Some(raw.get().to_owned())) } else { Err(Malformed) }
}

fn event(json: &str, id: Option<u64>, attachments: usize) -> Result<Body, Malformed> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Malformed)?;
    let (first, rest) = items.split_first().ok_or(Malformed)?;
    let name = String::deserialize(*first).map_err(|_| Malformed)?;
    if is_reserved(&name) {
        return Err(Malformed);
    }
    let mut args = String::with_capacity(json.len());
    args.push('[');
    for (index, item) in rest.iter().enumerate() {
        if index > 0 {
            args.push(',');
        }
        args.push_str(item.get());
    }
    args.push(']');
    Ok(Body::Event { name, args: Args::check(args, attachments)?, id })
}

/// Whether every placeholder names one of the attachments.
fn placeholders_fit(value: &Value, attachments: usize) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| placeholders_fit(item, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let num = fields.get("num").and_then(Value::as_u64);
            num.is_some_and(|num| num < attachments as u64)
        }
        Value::Object(fields) => fields.values().all(|item| placeholders_fit(item, attachments)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Spells the head of a packet: its types, attachments, namespace and id.
fn head(plain: char, binary: char, namespace: &str, id: Option<u64>, attachments: usize) -> String {
    let mut text = String::from("4");
    if attachments == 0 {
        text.push(plain);
    } else {
        text.push(binary);
        text.push_str(&attachments.to_string());
        text.push('-');
    }
    push_namespace(&mut text, namespace);
    if let Some(id) = id {
        text.push_str(&id.to_string());
    }
    text
}

fn push_namespace(text: &mut String, namespace: &str) {
    if namespace != ROOT {
        text.push_str(namespace);
        text.push(',');
    }
}

/// An event as an Engine.IO packet; `args` is a JSON array.
pub fn spell_event(
    namespace: &str,
    name: &str,
    args: &str,
    id: Option<u64>,
    attachments: usize,
) -> String {
    let mut text = head('2', '5', namespace, id, attachments);
    text.reserve(name.len() + args.len() + 8);
    text.push('[');
    push_json_string(&mut text, name);
    let inner = args.trim().strip_prefix('[').unwrap_or("]").trim_start();
    if !inner.starts_with(']') {
        text.push(',');
    }
    text.push_str(inner);
    text
}

/// An ack as an Engine.IO packet; `args` is a JSON array.
pub fn spell_ack(namespace: &str, id: u64, args: &str, attachments: usize) -> String {
    let mut text = head('3', '6', namespace, Some(id), attachments);
    text.push_str(args);
    text
}

/// The answer to a CONNECT; `pid` is what recovery goes by.
pub fn spell_connect(namespace: &str, sid: &str, pid: Option<&str>) -> String {
    let mut text = head('0', '0', namespace, None, 0);
    text.push_str("{\"sid\":");
    push_json_string(&mut text, sid);
    if let Some(pid) = pid {
        text.push_str(",\"pid\":");
        push_json_string(&mut text, pid);
    }
    text.push('}');
    text
}

/// The refusal of a CONNECT.
pub fn spell_connect_error(namespace: &str, message: &str) -> String {
    let mut text = head('4', '4', namespace, None, 0);
    text.push_str("{\"message\":");
    push_json_string(&mut text, message);
    text.push('}');
    text
}

/// The end of a namespace.
pub fn spell_disconnect(namespace: &str) -> String {
    let mut text = String::from("41");
    push_namespace(&mut text, namespace);
    text
}
