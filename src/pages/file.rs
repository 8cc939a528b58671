//! A file that is part of the binary, and how a browser may keep it.

use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, Route, guard, web};
use sha2::{Digest, Sha256};

/// A file and its path below where it is served.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    /// Such as `react/index.js`.
    pub(super) path: &'static str,
    /// Its text.
    pub(super) text: &'static str,
}

/// The files of a folder of the project, by their paths below it.
macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        [$($crate::pages::file::File {
            path: $path,
            text: include_str!(concat!("../../", $folder, "/", $path)),
        }),*]
    };
}
pub(super) use files;

/// For how long a browser need not ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// For ever: the address changes with the text.
    Forever,
    /// Not at all, but an unchanged text is not sent again.
    Revalidate,
}

impl File {
    /// Answers a request for it.
    pub(super) fn answer(self, request: &HttpRequest, keep: Keep) -> HttpResponse {
        let tag = format!("\"{}\"", digest([self]));
        let cache = match keep {
            Keep::Forever => "public, max-age=31536000, immutable",
            Keep::Revalidate => "no-cache",
        };
        let asked = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_known = asked.is_some_and(|tags| tags.split(',').any(|known| is_same(known, &tag)));
        let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, cache));
        if is_known {
            return response.finish();
        }
        response.insert_header((CONTENT_TYPE, self.content_type())).body(self.text)
    }

    fn content_type(self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("html") => "text/html; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        }
    }
}

/// Answers a request for one of a page's files; the empty path is the page itself.
pub(super) fn answer_of(files: &[File], path: &str, request: &HttpRequest) -> HttpResponse {
    let path = if path.is_empty() { "index.html" } else { path };
    match files.iter().find(|file| file.path == path) {
        Some(file) => file.answer(request, Keep::Revalidate),
        None => HttpResponse::NotFound().finish(),
    }
}

/// Leads from a page's address without its last slash to the one with it.
pub(super) async fn with_slash(request: HttpRequest) -> HttpResponse {
    let name = request.path().rsplit('/').next().unwrap_or_default();
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, format!("{name}/"))).finish()
}

/// Names what is in files: another text has another name.
pub(super) fn digest(files: impl IntoIterator<Item = File>) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.path);
        hash.update([0]);
        hash.update(file.text);
        hash.update([0]);
    }
    let mut name = hex::encode(hash.finalize());
    name.truncate(16);
    name
}

/// Everything a page needs is the hub's own; nothing else is loaded, and no site may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer of a page says to the browser, whatever else it is.
pub(super) fn guarded() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((X_FRAME_OPTIONS, "DENY"))
        .add((REFERRER_POLICY, "no-referrer"))
        .add(("cross-origin-opener-policy", "same-origin"))
        .add((CONTENT_SECURITY_POLICY, POLICY))
}

/// A GET, and the HEAD that goes with it.
pub(super) fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Method(Method::HEAD)))
}

/// A tag a proxy has made weak is as good.
fn is_same(known: &str, tag: &str) -> bool {
    let known = known.trim();
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}
