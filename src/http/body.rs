//! Reading a JSON body: the right media type, at most `server.body_bytes_max` bytes.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpMessage, HttpRequest};

use serde::de::DeserializeOwned;

use super::HttpState;
use super::error::{ApiError, Code};

/// Reads the whole body of a call.
///
/// # Errors
/// Another media type, a compressed body, one too long, too slow, or one that ends too soon.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    state: &HttpState,
) -> Result<Bytes, ApiError> {
    check_media_type(request)?;
    let bytes_max = state.config().server.body_bytes_max;
    let too_large =
        || ApiError::new(Code::TooLarge, format!("a body may have at most {bytes_max} bytes"));
    if content_length(request.headers()).is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let time_max = Duration::from_millis(state.config().server.body_timeout_ms);
    let Ok(read) = tokio::time::timeout(time_max, payload.to_bytes_limited(bytes_max)).await else {
        return Err(ApiError::new(Code::TooSlow, "the body did not come in time"));
    };
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(ApiError::new(Code::InvalidJson, "the body could not be read")),
        Err(_) => Err(too_large()),
    }
}

/// Reads a small body as `T`.
///
/// # Errors
/// When it is not JSON, or not an object of that shape.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ApiError> {
    // serde reads a struct from an array too; an object is asked for.
    let value: serde_json::Value = serde_json::from_slice(json)
        .map_err(|error| ApiError::new(Code::InvalidJson, error.to_string()))?;
    if !value.is_object() {
        return Err(ApiError::field("the body is an object"));
    }
    serde_json::from_value(value).map_err(|error| ApiError::field(error.to_string()))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body without `Content-Type` is taken for JSON.
fn check_media_type(request: &HttpRequest) -> Result<(), ApiError> {
    if request.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(ApiError::new(Code::UnsupportedMediaType, "compressed bodies are not taken"));
    }
    if !request.headers().contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let is_json = match request.mime_type() {
        Ok(Some(mime)) => {
            mime.subtype() == mime::JSON || mime.suffix().is_some_and(|suffix| suffix == mime::JSON)
        }
        Ok(None) | Err(_) => false,
    };
    if is_json {
        return Ok(());
    }
    Err(ApiError::new(Code::UnsupportedMediaType, "the body must be application/json"))
}
