//! An event as a publisher spells it in JSON.
//!
//! One pass, `data` and `args` borrowed as they stand; only a body that is refused is read again,
//! field by field, to say which one was wrong.

use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::{ApiError, Code};
use crate::protocol::{Action, EventId, NewEvent, SessionId, UserId};

const BAD_TTL: &str = "ttl_ms must be a whole number of milliseconds, 1 or more";

/// What is published. Fields that are not listed here are refused; null is the same as absent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "type": "added",
    "data": {"id": "a1", "title": "Harbour"},
    "event_id": "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10",
    "ttl_ms": 86_400_000,
}))]
pub(super) struct EventBody<'a> {
    /// For whom; in a batch only.
    #[serde(default)]
    #[schema(ignore)]
    user: Option<UserId>,
    /// The event's type: 1 to 128 bytes without control characters.
    #[serde(rename = "type")]
    #[schema(min_length = 1, max_length = 128)]
    kind: String,
    /// Any JSON, passed on as it stands. An object's fields are spread into the frame a device
    /// gets, so it may not hold `type`, `event_id` or `seq` at its top level, nor a name with half of
    /// a surrogate pair.
    #[serde(borrow, default)]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<&'a RawValue>,
    /// The event's name, so that publishing it again is recognised. By default the hub draws a
    /// UUIDv7.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    event_id: Option<EventId>,
    /// The account it belongs to, for `/updates`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    account: Option<String>,
    /// What happened to the items, for `/updates`.
    #[serde(default)]
    #[schema(value_type = Option<ActionWord>)]
    action: Option<Action>,
    /// Whether a device should stay quiet about it, for `/updates`.
    #[serde(default)]
    silent: Option<bool>,
    /// For how long it may be delivered, in milliseconds: from 1 to the retention of the log.
    #[serde(default)]
    #[schema(minimum = 1)]
    ttl_ms: Option<u64>,
    /// Whether it is for live sessions only: never stored, no ack, no `seq`.
    #[serde(default)]
    ephemeral: Option<bool>,
    /// The session that must not get it, usually the one that caused it.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    exclude_session: Option<SessionId>,
    /// The arguments of a Socket.IO event.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    args: Option<&'a RawValue>,
}

/// What happened to the items of an update.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes `Action`, which the language layer keeps free of OpenAPI")]
pub(super) enum ActionWord {
    /// They are new.
    New,
    /// They changed.
    Update,
    /// They are gone.
    Delete,
}

/// Whose events a body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressing {
    /// The path says it; a `user` in the body is refused.
    ByPath,
    /// Each event says it.
    ByBody,
}

impl<'a> EventBody<'a> {
    /// Reads one event.
    ///
    /// # Errors
    /// What is wrong with it, by field.
    pub(super) fn parse(json: &'a [u8], addressing: Addressing) -> Result<Self, ApiError> {
        let Object(body) = serde_json::from_slice::<Object<EventBody<'_>>>(json)
            .map_err(|error| explain(json, addressing, &error))?;
        body.addressed(addressing)
    }

    /// Reads a list of at most `events_max` events. One that is refused does not spoil the others.
    ///
    /// # Errors
    /// When it is not a list, or too long.
    pub(super) fn parse_batch(
        json: &'a [u8],
        events_max: usize,
    ) -> Result<Vec<Result<Self, ApiError>>, ApiError> {
        let too_large =
            || ApiError::new(Code::BatchTooLarge, format!("at most {events_max} events are taken"));
        if let Ok(bodies) = list::<Object<EventBody<'_>>>(json, events_max) {
            let bodies = bodies.ok_or_else(too_large)?.into_iter();
            return Ok(bodies.map(|Object(body)| body.addressed(Addressing::ByBody)).collect());
        }
        let raws = list::<&RawValue>(json, events_max).map_err(|_| {
            not_json(json).unwrap_or_else(|| ApiError::field("a batch is an array of events"))
        })?;
        let raws = raws.ok_or_else(too_large)?.into_iter();
        Ok(raws.map(|raw| Self::parse(raw.get().as_bytes(), Addressing::ByBody)).collect())
    }

    fn addressed(self, addressing: Addressing) -> Result<Self, ApiError> {
        match (addressing, &self.user) {
            (Addressing::ByPath, Some(_)) => Err(unknown_field("user")),
            (Addressing::ByBody, None) => Err(missing_field("user")),
            (Addressing::ByPath, None) | (Addressing::ByBody, Some(_)) => Ok(self),
        }
    }

    /// Whom it is for, and the event itself.
    ///
    /// # Errors
    /// When `ttl_ms` is zero.
    pub(super) fn into_event(self) -> Result<(Option<UserId>, NewEvent), ApiError> {
        if self.ttl_ms == Some(0) {
            return Err(ApiError::field(BAD_TTL));
        }
        let event = NewEvent {
            kind: self.kind,
            data: self.data.map(RawValue::to_owned),
            id: self.event_id,
            idempotency_key: None,
            account: self.account,
            action: self.action,
            silent: self.silent.unwrap_or_default(),
            ttl_ms: self.ttl_ms,
            ephemeral: self.ephemeral.unwrap_or_default(),
            exclude_session: self.exclude_session,
            args: self.args.map(RawValue::to_owned),
        };
        Ok((self.user, event))
    }
}

fn unknown_field(name: &str) -> ApiError {
    ApiError::field(format!("unknown field `{name}`"))
}

fn missing_field(name: &str) -> ApiError {
    ApiError::field(format!("missing field `{name}`"))
}

fn not_json(json: &[u8]) -> Option<ApiError> {
    let error = serde_json::from_slice::<&RawValue>(json).err()?;
    Some(ApiError::new(Code::InvalidJson, error.to_string()))
}

/// Says what is wrong with an event that `error` refused.
fn explain(json: &[u8], addressing: Addressing, error: &serde_json::Error) -> ApiError {
    if let Some(refusal) = not_json(json) {
        return refusal;
    }
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(json) else {
        return ApiError::field("an event is an object");
    };
    for (name, value) in &fields {
        match check_field(name, value.get()) {
            None => return unknown_field(name),
            Some(_) if name == "user" && addressing == Addressing::ByPath => {
                return unknown_field(name);
            }
            Some(Err(_)) if name == "ttl_ms" => {
                return ApiError::field(BAD_TTL);
            }
            Some(Err(error)) => {
                // The place is within the field: of no use to the publisher.
                let said = error.to_string();
                let said = said.split(" at line ").next().unwrap_or_default();
                return ApiError::field(format!("{name}: {said}"));
            }
            Some(Ok(())) => {}
        }
    }
    if !fields.contains_key("type") {
        return missing_field("type");
    }
    // What is left is a field that comes twice.
    ApiError::field(error.to_string())
}

/// Whether one field of [`EventBody`] can be read; none when there is no such field.
fn check_field(name: &str, json: &str) -> Option<Result<(), serde_json::Error>> {
    fn is<'a, T: Deserialize<'a>>(json: &'a str) -> Option<Result<(), serde_json::Error>> {
        Some(serde_json::from_str::<T>(json).map(drop))
    }
    match name {
        "user" => is::<Option<UserId>>(json),
        "type" => is::<String>(json),
        "data" | "args" => is::<IgnoredAny>(json),
        "event_id" => is::<Option<EventId>>(json),
        "account" => is::<Option<String>>(json),
        "action" => is::<Option<Action>>(json),
        "silent" | "ephemeral" => is::<Option<bool>>(json),
        "ttl_ms" => is::<Option<u64>>(json),
        "exclude_session" => is::<Option<SessionId>>(json),
        _ => None,
    }
}

/// A struct that is read from an object only: by itself serde takes a list of its fields too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(AsMap(deserializer)).map(Object)
    }
}

struct AsMap<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AsMap<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// A list of at most `items_max` items; none when it is longer, though all of it is JSON.
fn list<'a, T: Deserialize<'a>>(
    json: &'a [u8],
    items_max: usize,
) -> Result<Option<Vec<T>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let bounded = Bounded { items: Vec::new(), items_max };
    let items = bounded.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(items)
}

struct Bounded<T> {
    items: Vec<T>,
    items_max: usize,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Bounded<T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        while self.items.len() < self.items_max {
            match seq.next_element()? {
                Some(item) => self.items.push(item),
                None => return Ok(Some(self.items)),
            }
        }
        if seq.next_element::<IgnoredAny>()?.is_none() {
            return Ok(Some(self.items));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
