//! The demo: its page, tokens for its visitors, and photos of theirs to publish.
//!
//! For the one who tries the hub on their own machine: users whose names start with `demo-`,
//! and nobody else, get a token without a password. So it is there only on a loopback address,
//! and only while tokens are signed with the secret the hub made for itself.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HOST, LOCATION};
use actix_web::{HttpRequest, HttpResponse, guard, web};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::file::{File, answer_of, files, guarded, reading, with_slash};
use crate::auth::{Secret, sign};
use crate::clock;
use crate::config::Config;
use crate::hub::Hub;
use crate::protocol::{NewEvent, UserId};

const FILES: &[File] = &files![
    "clients/js/demo":
    "demo.css",
    "demo.js",
    "device.js",
    "icon.svg",
    "index.html",
    "network.js",
    "notes.js",
    "photos.js",
    "trail.js",
];

/// What a demo user's name starts with.
const PREFIX: &str = "demo-";
const NAME_CHARS_MAX: usize = 40;
const TOKEN_TTL: Duration = Duration::from_secs(3_600);

/// The events the demo publishes.
const EVENTS: [&str; 4] =
    ["on_upload_success", "on_asset_delete", "on_asset_hidden", "on_asset_trash"];

/// The demo of one hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Demo {
    hub: Hub,
    secret: Option<Arc<Secret>>,
}

impl Demo {
    /// The demo, if the configuration wants it.
    pub(crate) fn of(hub: &Hub, config: &Config) -> Option<Self> {
        let can_sign = config.server.listen.ip().is_loopback() && config.auth.uses_own_secret();
        if !config.demo.enabled.is_on(can_sign) {
            return None;
        }
        let secret = can_sign
            .then(|| Secret::load_or_create(&config.auth.secret_file).ok())
            .flatten()
            .map(|(secret, _)| Arc::new(secret));
        Some(Self { hub: hub.clone(), secret })
    }

    /// Mounts `/demo`, and leads there from `/`.
    pub(crate) fn configure(&self, services: &mut web::ServiceConfig) {
        services
            .app_data(web::ThinData(self.clone()))
            .service(web::resource("/").wrap(guarded()).route(reading().to(front)))
            .service(web::resource("/demo").wrap(guarded()).route(reading().to(with_slash)))
            .service(web::resource("/demo/token").wrap(guarded()).route(posting().to(token)))
            .service(web::resource("/demo/photos").wrap(guarded()).route(posting().to(publish)))
            .service(web::resource("/demo/{path:.*}").wrap(guarded()).route(reading().to(file)));
    }
}

/// JSON only: another site's page cannot send that without being allowed to.
fn posting() -> actix_web::Route {
    web::route().guard(guard::Post()).guard(guard::Header("content-type", "application/json"))
}

async fn front() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "demo/")).finish()
}

async fn file(request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    answer_of(FILES, &path, &request)
}

#[derive(Deserialize)]
struct Visitor {
    name: String,
}

/// Signs a visitor in.
async fn token(
    request: HttpRequest,
    demo: web::ThinData<Demo>,
    visitor: web::Json<Visitor>,
) -> HttpResponse {
    let Some(secret) = demo.secret.as_deref().filter(|_| may_ask(&request)) else {
        return not_here();
    };
    let Some(user) = demo_user(&visitor.name) else {
        return HttpResponse::UnprocessableEntity().finish();
    };
    match sign(secret, &user, &[], TOKEN_TTL, clock::wall()) {
        Ok(token) => HttpResponse::Ok()
            .insert_header(("cache-control", "no-store"))
            .json(json!({"user": user, "token": token})),
        Err(error) => {
            log::warn!("the demo has no token: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[derive(Deserialize)]
struct Photo {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    data: Box<RawValue>,
}

/// Publishes an event to a demo user, as the application would.
async fn publish(
    request: HttpRequest,
    demo: web::ThinData<Demo>,
    photo: web::Json<Photo>,
) -> HttpResponse {
    if demo.secret.is_none() || !may_ask(&request) {
        return not_here();
    }
    let Photo { name, kind, data } = photo.into_inner();
    let (Some(user), true) = (demo_user(&name), EVENTS.contains(&kind.as_str())) else {
        return HttpResponse::UnprocessableEntity().finish();
    };
    let Ok(event) = NewEvent::new(kind).data(&data) else {
        return HttpResponse::UnprocessableEntity().finish();
    };
    match demo.hub.publish(&user, event).await {
        Ok(receipt) => {
            HttpResponse::Created().json(json!({"event_id": receipt.event_id, "seq": receipt.seq}))
        }
        Err(error) => {
            log::warn!("the demo did not publish: {error}");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}

fn not_here() -> HttpResponse {
    let why = "this hub signs nobody in: it has keys of its own, is not on a loopback address, \
        or another page asks";
    HttpResponse::Forbidden().json(json!({"detail": why}))
}

fn may_ask(request: &HttpRequest) -> bool {
    is_local(request) && is_own_page(request)
}

fn demo_user(name: &str) -> Option<UserId> {
    let is_fit = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    let is_name = !name.trim().is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(is_fit);
    is_name.then(|| UserId::new(&format!("{PREFIX}{}", name.trim())).ok()).flatten()
}

/// Whether a page of the hub itself asks, or no page at all: another site's page, and that of
/// another port of this machine, is told apart by what its browser says of it.
fn is_own_page(request: &HttpRequest) -> bool {
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let host = header("host").unwrap_or_default();
    let is_same = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from == host);
    header("origin").is_none_or(is_same)
        && header("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
}

/// Whether the request was made to this machine by name, and came through no proxy: neither a
/// page of a name that was pointed here, nor the visitors of a public site in front of the hub.
fn is_local(request: &HttpRequest) -> bool {
    let forwarded = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
    let has = |name: &str| request.headers().contains_key(name);
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => name,
        _ => host,
    };
    let is_this_machine = name == "localhost"
        || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    is_this_machine && !forwarded.into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_visitor_is_a_demo_user_and_nobody_else() {
        let user = |name: &str| demo_user(name).map(|user| user.to_string());
        assert_eq!(user("Ada"), Some("demo-Ada".to_owned()));
        assert_eq!(user(" Zoë "), Some("demo-Zoë".to_owned()));
        for name in ["", "  ", "a/b", "a\nb", &"x".repeat(41)] {
            assert_eq!(user(name), None, "{name:?}");
        }
    }

    #[test]
    fn only_this_machine_is_signed_in() {
        let with = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default();
            for header in headers {
                request = request.insert_header(*header);
            }
            is_local(&request.to_http_request())
        };
        for host in ["localhost", "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "[::1]"] {
            assert!(with(&[("host", host)]), "{host}");
        }
        for host in ["evil.example:3000", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil"] {
            assert!(!with(&[("host", host)]), "{host}");
        }
        assert!(!with(&[]));
        assert!(!with(&[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")]));
    }

    #[test]
    fn only_the_hubs_own_page_is_signed_in() {
        let with = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default().insert_header(("host", "localhost:3000"));
            for header in headers {
                request = request.insert_header(*header);
            }
            is_own_page(&request.to_http_request())
        };
        assert!(with(&[]), "no page at all");
        assert!(with(&[("origin", "http://localhost:3000"), ("sec-fetch-site", "same-origin")]));
        for origin in
            ["http://evil.example", "http://localhost:5000", "http://127.0.0.1:3000", "null"]
        {
            assert!(!with(&[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert!(!with(&[("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn every_file_of_the_demo_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/js/demo");
        let there = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(FILES.len(), there);
    }
}
