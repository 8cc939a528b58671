//! The JavaScript client, as it is in `clients/js/src`, below `/client`.
//!
//! `/client/index.js` is always the newest; `/client` leads to an address that changes with the
//! text, where browsers keep every file for ever. Pages of any origin may import them.

use std::sync::LazyLock;

use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};

use super::file::{File, Keep, digest, files, guarded, reading};

const FILES: &[File] = &files![
    "clients/js/src":
    "backoff.js",
    "claim.js",
    "client.js",
    "clock.js",
    "connection.js",
    "database.js",
    "dialects.js",
    "emitter.js",
    "errors.js",
    "full-sync.js",
    "handlers.js",
    "http.js",
    "inbox.js",
    "index.js",
    "kv.js",
    "lifecycle.js",
    "link.js",
    "log.js",
    "notes.js",
    "outgoing-queue.js",
    "pending-changes.js",
    "protocol.js",
    "react/context.js",
    "react/index.js",
    "react/status.css",
    "react/status.js",
    "react/store.js",
    "react/use-notes.js",
    "react/use-websocket.js",
    "rooms.js",
    "session-store.js",
    "shared.js",
    "snapshot.js",
    "tab-locks.js",
    "token.js",
    "updates.js",
];

/// The name of these very files.
static VERSION: LazyLock<String> = LazyLock::new(|| digest(FILES.iter().copied()));

/// Mounts `/client`, under whatever scope `services` is.
pub fn configure(services: &mut web::ServiceConfig) {
    services
        .service(web::resource("/client").wrap(guarded()).route(reading().to(newest)))
        .service(web::resource("/client/{path:.*}").wrap(guarded()).route(reading().to(file)));
}

/// Leads to the files under the name of their version.
async fn newest() -> HttpResponse {
    HttpResponse::TemporaryRedirect()
        .insert_header((LOCATION, format!("client/{}/index.js", *VERSION)))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .finish()
}

async fn file(request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    let (path, keep) = match path.split_once('/') {
        Some((version, path)) if version == *VERSION => (path, Keep::Forever),
        _ => (path.as_str(), Keep::Revalidate),
    };
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return HttpResponse::NotFound().finish();
    };
    let mut response = file.answer(&request, keep);
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use actix_web::App;
    use actix_web::http::StatusCode;
    use actix_web::test::{TestRequest, call_service, init_service};

    use super::*;

    fn names(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                names(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_client_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/js/src");
        let mut there = Vec::new();
        names(&folder, "", &mut there);
        there.sort();
        let mut served: Vec<_> = FILES.iter().map(|file| file.path.to_owned()).collect();
        served.sort();
        assert_eq!(served, there);
    }

    #[actix_web::test]
    async fn a_file_has_its_type_and_is_not_sent_twice() {
        let app = init_service(App::new().configure(configure)).await;
        let ask = |uri: &str| TestRequest::get().uri(uri);
        let first = call_service(&app, ask("/client/index.js").to_request()).await;
        assert_eq!(first.status(), StatusCode::OK);
        let header = |name| first.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(header("cache-control"), "no-cache");
        let again = ask("/client/index.js").insert_header(("if-none-match", header("etag")));
        let again = call_service(&app, again.to_request()).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let none = call_service(&app, ask("/client/../Cargo.toml").to_request()).await;
        assert_eq!(none.status(), StatusCode::NOT_FOUND);
        for answer in [first, again, none] {
            let header = |name| answer.headers().get(name).unwrap().to_str().unwrap();
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("x-frame-options"), "DENY");
            assert!(header("content-security-policy").starts_with("default-src 'none';"));
        }
    }

    #[actix_web::test]
    async fn the_address_with_the_version_is_kept_for_ever() {
        let app = init_service(App::new().configure(configure)).await;
        let ask = |uri: &str| TestRequest::get().uri(uri).to_request();
        let newest = call_service(&app, ask("/client")).await;
        let location = newest.headers().get("location").unwrap().to_str().unwrap().to_owned();
        let file = call_service(&app, ask(&format!("/{location}"))).await;
        assert_eq!(file.status(), StatusCode::OK);
        let cache = file.headers().get("cache-control").unwrap().to_str().unwrap();
        assert!(cache.contains("immutable"), "{cache}");
        let old = call_service(&app, ask("/client/0123456789abcdef/index.js")).await;
        assert_eq!(old.status(), StatusCode::NOT_FOUND);
    }
}
