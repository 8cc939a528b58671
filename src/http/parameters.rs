//! Names in the path and numbers in the query, checked.
//!
//! The router decodes `%XX` after it split the path, so a name may hold a slash as `%2F`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::web::Query;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::ApiError;
use crate::protocol::{EventId, NoteId, SessionId, UserId};

/// The user of a path with `{user}`.
///
/// # Errors
/// When it is not the name of a user.
pub(super) fn user(request: &HttpRequest) -> Result<UserId, ApiError> {
    UserId::new(&segment(request, "user")?).map_err(|error| refuse("user", error))
}

/// The session of a path with `{session}`.
///
/// # Errors
/// When it is not the name of a session.
pub(super) fn session(request: &HttpRequest) -> Result<SessionId, ApiError> {
    SessionId::new(&segment(request, "session")?).map_err(|error| refuse("session", error))
}

/// The note of a path with `{note}`.
///
/// # Errors
/// When it is not the name of a note.
pub(super) fn note(request: &HttpRequest) -> Result<NoteId, ApiError> {
    NoteId::new(&segment(request, "note")?).map_err(|error| refuse("note", error))
}

/// The event of a path with `{event_id}`.
///
/// # Errors
/// When it is not a UUID.
pub(super) fn event(request: &HttpRequest) -> Result<EventId, ApiError> {
    let event = Uuid::parse_str(&segment(request, "event_id")?);
    event.map(EventId).map_err(|_| refuse("event_id", "must be a UUID"))
}

/// The dead letter of a path with `{id}`.
///
/// # Errors
/// When it is not a UUID.
pub(super) fn dead_letter(request: &HttpRequest) -> Result<Uuid, ApiError> {
    Uuid::parse_str(&segment(request, "id")?).map_err(|_| refuse("id", "must be a UUID"))
}

fn refuse(name: &str, error: impl Display) -> ApiError {
    ApiError::field(format!("{name} {error}"))
}

fn segment(request: &HttpRequest, name: &str) -> Result<String, ApiError> {
    let segment = request.match_info().get(name).ok_or_else(|| refuse(name, "is missing"))?;
    // The router puts U+FFFD in place of what is not UTF-8: that would be another user's name.
    if percent_decode(request.uri().path()).is_none() {
        return Err(refuse(name, "must be UTF-8, percent-encoded"));
    }
    // The router has decoded all but `%25`, `%2F` and `%2B`.
    percent_decode(segment).ok_or_else(|| refuse(name, "must be UTF-8, percent-encoded"))
}

/// Decodes each `%XX`; none when the result is not UTF-8. A lone `%` stands for itself.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let byte = match after.split_first_chunk::<2>() {
            Some((digits, after)) if first == b'%' => match hex_byte(*digits) {
                Some(byte) => {
                    rest = after;
                    byte
                }
                None => first,
            },
            Some(_) | None => first,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn hex_byte(digits: [u8; 2]) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice(digits, &mut byte).ok()?;
    let [byte] = byte;
    Some(byte)
}

/// The query of a call that takes no parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

/// The query as `T`, whose fields are texts: [`number`] reads them.
///
/// # Errors
/// When it holds a parameter `T` does not know, or one twice.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    match Query::<T>::from_query(request.query_string()) {
        Ok(query) => Ok(query.into_inner()),
        Err(error) => Err(ApiError::field(error.to_string())),
    }
}

/// A query parameter that is a number within `range`.
///
/// # Errors
/// When it is not one.
pub(super) fn number<N>(name: &str, text: &str, range: RangeInclusive<N>) -> Result<N, ApiError>
where
    N: FromStr + PartialOrd + Display,
{
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(ApiError::field(format!(
            "{name} must be a number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_decoded_once_and_only_to_utf8() {
        for (text, decoded) in [
            ("zo%C3%AB", Some("zoë")),
            ("a%2Fb%2fc", Some("a/b/c")),
            ("100%", Some("100%")),
            ("%2", Some("%2")),
            ("%zz%41", Some("%zzA")),
            ("%2541", Some("%41")),
            ("%FF", None),
        ] {
            assert_eq!(percent_decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn a_number_out_of_range_says_the_range() {
        assert_eq!(number("limit", "7", 1..=1000), Ok(7));
        for text in ["0", "1001", "-1", "1.5", "", "ten", "99999999999999999999"] {
            let error = number("limit", text, 1..=1000).unwrap_err();
            assert_eq!(error.detail, "limit must be a number from 1 to 1000");
        }
    }
}
