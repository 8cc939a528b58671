//! A published fact: what its publisher said, and its place in the user's log.
//!
//! `data` and `args` pass through as the JSON text that came in; the hub never re-serialises
//! them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EventId, Seq, SessionId, Timestamp};

/// What happened to the items of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They are new.
    New,
    /// They changed.
    Update,
    /// They are gone.
    Delete,
}

/// Why an event cannot be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// `type` is empty, too long, or holds control characters.
    #[error("type must be 1 to {TYPE_BYTES_MAX} bytes without control characters")]
    Type,
    /// `type` is a name that Socket.IO clients take for a mistake of the hub's.
    #[error("type must not be \"{0}\": Socket.IO keeps it for itself")]
    ReservedType(String),
    /// `data` holds a name that belongs to the hub.
    #[error("data must not hold \"{0}\" at its top level")]
    ReservedName(&'static str),
    /// A name at the top level of `data` holds half of a surrogate pair.
    #[error("a name at the top level of data must not hold half of a surrogate pair")]
    UnreadableName,
    /// `data` or `args` is not JSON.
    #[error("{0} is not valid JSON")]
    NotJson(&'static str),
    /// `args` is not an array.
    #[error("args must be an array")]
    ArgsNotArray,
    /// An event that clients know by name has other arguments than they read.
    #[error("{kind} takes {expected}, in args or as data")]
    Arguments {
        /// Its type.
        kind: &'static str,
        /// What they read.
        expected: &'static str,
    },
    /// `account` is empty or too long.
    #[error("account must be 1 to {ACCOUNT_BYTES_MAX} bytes without control characters")]
    Account,
    /// `data` and `args` together pass the bound.
    #[error("data and args hold {bytes} bytes, at most {bytes_max} are taken")]
    TooLarge {
        /// What they hold.
        bytes: usize,
        /// What is taken.
        bytes_max: usize,
    },
}

const TYPE_BYTES_MAX: usize = 128;
const ACCOUNT_BYTES_MAX: usize = 64;

/// The account of events and commands that name none.
pub const DEFAULT_ACCOUNT: &str = "personal";

/// The names the hub adds to an event's frame.
const RESERVED: [&str; 3] = ["type", "event_id", "seq"];

/// What a publisher says. Made with [`NewEvent::new`] and the setters; checked when published.
#[derive(Clone, Debug, Default)]
pub struct NewEvent {
    /// The event's `type`.
    pub kind: String,
    /// Its data, as JSON text.
    pub data: Option<Box<RawValue>>,
    /// Its name, if the publisher chose one; else the hub draws a UUIDv7.
    pub id: Option<EventId>,
    /// A publisher's own key for "the same publish again", in place of `id`.
    pub idempotency_key: Option<String>,
    /// The account it belongs to, for `/updates`.
    pub account: Option<String>,
    /// What happened to the items, for `/updates`.
    pub action: Option<Action>,
    /// Whether a device should stay quiet about it, for `/updates`.
    pub silent: bool,
    /// For how long after publishing it may still be delivered, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Live sessions only: never stored, no ack.
    pub ephemeral: bool,
    /// The session that must not get it, usually the one that caused it.
    pub exclude_session: Option<SessionId>,
    /// The arguments of a Socket.IO event, as a JSON array.
    pub args: Option<Box<RawValue>>,
}

impl NewEvent {
    /// An event of this type without data.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// With this data.
    ///
    /// # Errors
    /// When `data` cannot be written as JSON.
    pub fn data(mut self, data: &impl Serialize) -> Result<Self, EventError> {
        let raw = serde_json::value::to_raw_value(data).map_err(|_| EventError::NotJson("data"))?;
        self.data = Some(raw);
        Ok(self)
    }

    /// With this name, so that publishing it again is recognised.
    #[must_use]
    pub fn id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Deliverable for this long, in milliseconds.
    #[must_use]
    pub fn ttl_ms(mut self, ttl_ms: u64) -> Self {
        self.ttl_ms = Some(ttl_ms);
        self
    }

    /// For live sessions only.
    #[must_use]
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// For every session but this one.
    #[must_use]
    pub fn exclude_session(mut self, session: SessionId) -> Self {
        self.exclude_session = Some(session);
        self
    }

    /// Checks what the publisher said against the contract (docs/protocol, section 5).
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self, data_bytes_max: usize) -> Result<(), EventError> {
        if !is_label(&self.kind, TYPE_BYTES_MAX) {
            return Err(EventError::Type);
        }
        if self.account.as_deref().is_some_and(|account| !is_account(account)) {
            return Err(EventError::Account);
        }
        let bytes = [&self.data, &self.args]
            .into_iter()
            .flatten()
            .map(|raw| raw.get().len())
            .sum::<usize>();
        if bytes > data_bytes_max {
            return Err(EventError::TooLarge { bytes, bytes_max: data_bytes_max });
        }
        if self.args.as_ref().is_some_and(|args| !args.get().starts_with('[')) {
            return Err(EventError::ArgsNotArray);
        }
        self.data.as_ref().map_or(Ok(()), |data| check_names(data.get()))
    }
}

/// Whether `text` may name an account: 1 to 64 bytes without control characters.
pub fn is_account(text: &str) -> bool {
    is_label(text, ACCOUNT_BYTES_MAX)
}

fn is_label(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

/// Whether the names at the top level of `data` may stand beside the hub's own in a frame.
fn check_names(data: &str) -> Result<(), EventError> {
    struct Keys(Option<&'static str>);

    impl<'de> serde::de::Visitor<'de> for &mut Keys {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            // A Cow, because a key may be spelled with escapes ("typ\u0065").
            while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                self.0 = self.0.or(RESERVED.into_iter().find(|name| *name == key));
                map.next_value::<serde::de::IgnoredAny>()?;
            }
            Ok(())
        }
    }

    // Most data holds none of the words at all; only then is it walked.
    let may_hold = data.starts_with('{')
        && (data.contains('\\') || RESERVED.iter().any(|name| data.contains(name)));
    if !may_hold {
        return Ok(());
    }
    let mut keys = Keys(None);
    let mut deserializer = serde_json::Deserializer::from_str(data);
    // It is JSON already, and values are passed over whatever they are: an error is a name's.
    let walked = serde::Deserializer::deserialize_map(&mut deserializer, &mut keys);
    match keys.0 {
        Some(name) => Err(EventError::ReservedName(name)),
        None => walked.map_err(|_| EventError::UnreadableName),
    }
}

/// What is kept of a published event, shared by the log's writer and every delivery.
#[derive(Clone, Debug)]
pub struct EventContent {
    /// Its name.
    pub id: EventId,
    /// Its `type`.
    pub kind: String,
    /// Its data, as JSON text; none for null.
    pub data: Option<Box<RawValue>>,
    /// The account it belongs to.
    pub account: Option<String>,
    /// What happened to the items.
    pub action: Option<Action>,
    /// Whether a device should stay quiet about it.
    pub silent: bool,
    /// The arguments of a Socket.IO event.
    pub args: Option<Box<RawValue>>,
    /// The session that must not get it.
    pub exclude_session: Option<SessionId>,
    /// When the hub took it.
    pub published_at: Timestamp,
    /// After this it is no longer delivered.
    pub expires_at: Option<Timestamp>,
}

impl EventContent {
    /// Fixes what `new` left open: its name and its times.
    pub fn fix(new: NewEvent, id: EventId, now: Timestamp) -> Self {
        Self {
            id,
            kind: new.kind,
            data: new.data.filter(|data| data.get() != "null"),
            account: new.account,
            action: new.action,
            silent: new.silent,
            args: new.args,
            exclude_session: new.exclude_session,
            published_at: now,
            expires_at: new.ttl_ms.map(|ttl_ms| now.plus_ms(ttl_ms)),
        }
    }

    /// The same under this name.
    #[must_use]
    pub fn named(self: &Arc<Self>, id: EventId) -> Arc<Self> {
        if self.id == id { Arc::clone(self) } else { Arc::new(Self { id, ..(**self).clone() }) }
    }

    /// About how many bytes it takes on the wire.
    pub fn bytes(&self) -> usize {
        let raw = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0, |raw| raw.get().len());
        self.kind.len() + raw(&self.data) + raw(&self.args) + 96
    }

    /// Whether it may no longer be delivered at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// An event with its place in the user's log; an ephemeral one has none.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was published.
    pub content: Arc<EventContent>,
    /// Its place; none for an ephemeral event.
    pub seq: Option<Seq>,
}

impl Event {
    /// An event at `seq`.
    pub fn at(seq: Seq, content: Arc<EventContent>) -> Self {
        Self { content, seq: Some(seq) }
    }

    /// An event that is not in the log.
    pub fn ephemeral(content: Arc<EventContent>) -> Self {
        Self { content, seq: None }
    }

    /// Its name.
    pub fn id(&self) -> EventId {
        self.content.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_data(json: &str) -> NewEvent {
        let data = Some(RawValue::from_string(json.to_owned()).unwrap());
        NewEvent { kind: "added".to_owned(), data, ..NewEvent::default() }
    }

    #[test]
    fn the_hubs_own_names_are_refused_at_the_top_level_only() {
        for (json, name) in [
            (r#"{"type":1}"#, "type"),
            (r#"{"a":2,"seq":1}"#, "seq"),
            (r#"{"event\u005fid":1}"#, "event_id"),
        ] {
            assert_eq!(with_data(json).check(1000), Err(EventError::ReservedName(name)));
        }
        for json in [r#"{"a":{"type":1}}"#, r#""type""#, r#"["seq"]"#, "{}", "null"] {
            assert_eq!(with_data(json).check(1000), Ok(()), "{json}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_read_hides_none_behind_it() {
        let unreadable = with_data(r#"{"\ud800":1,"event_id":"x"}"#);
        assert_eq!(unreadable.check(1000), Err(EventError::UnreadableName));
        let behind = with_data(r#"{"seq":1,"\ud800":1}"#);
        assert_eq!(behind.check(1000), Err(EventError::ReservedName("seq")));
        let deep = format!(r#"{{"\u0061":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        for json in [deep.as_str(), r#"{"a":"\ud800","b":1e400}"#, r#"{"a":{"\ud800":1}}"#] {
            assert_eq!(with_data(json).check(2000), Ok(()), "{json}");
        }
    }

    #[test]
    fn bounds_are_said() {
        assert_eq!(NewEvent::new("").check(10), Err(EventError::Type));
        assert_eq!(NewEvent::new("x".repeat(129)).check(10), Err(EventError::Type));
        assert_eq!(
            with_data(r#"{"a":"0123456789"}"#).check(10),
            Err(EventError::TooLarge { bytes: 18, bytes_max: 10 })
        );
        let args = Some(RawValue::from_string("{}".to_owned()).unwrap());
        let event = NewEvent { args, ..NewEvent::new("x") };
        assert_eq!(event.check(10), Err(EventError::ArgsNotArray));
    }
}
