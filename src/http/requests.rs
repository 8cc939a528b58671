//! One line of the log per call, and the name by which a caller may speak of it: every line that the
//! call causes while it is answered may have it too.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use uuid::Uuid;

use crate::clock;

tokio::task_local! {
    /// Names the call that is being answered.
    static ANSWERED: HeaderValue;
}

/// Names a call: the caller's word for it, or the hub's.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No page may frame an answer. What a page of this origin loads is for the page to say.
const POLICY: &str = "frame-ancestors 'none'";

/// The longest name taken from a caller, in bytes.
const ID_BYTES_MAX: usize = 64;

/// The name of the call that is being answered on this task, for a logger.
pub fn request_id() -> Option<String> {
    let shown = ANSWERED.try_with(|id| id.to_str().map(str::to_owned));
    shown.ok()?.ok()
}

/// Names the call in its answer, and logs what came of it: never whom it was about, nor its query.
pub(super) async fn note(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = clock::now();
    let given = request.headers().get(REQUEST_ID).filter(|id| is_fit(id.as_bytes())).cloned();
    let id = match given {
        Some(id) => id,
        None => HeaderValue::from_str(&Uuid::now_v7().to_string())?,
    };
    let method = request.method().clone();
    let pattern = request.match_pattern().unwrap_or_default();
    let mut response = ANSWERED.scope(id.clone(), next.call(request)).await?;
    let ms = (clock::now() - started).as_millis() as u64;
    let status = response.status().as_u16();
    let shown = id.to_str().unwrap_or_default();
    log::debug!(request_id = shown, status = status, ms = ms; "{method} {pattern}: {status}");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    // An answer of the API is no page, whatever a browser makes of it.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

fn is_fit(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain)
}
