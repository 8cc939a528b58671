//! Who is let in at all: pages by their origin, addresses, users and callers by how often they come.

use std::time::Duration;

use serde_json::json;
use staffetta::config::PageEnabled;

use crate::device::Device;
use crate::raw::{HANDSHAKE, Raw};
use crate::world::{Database, TestHub};

/// What crosses the wire does not depend on the database.
fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

/// The head of the answer to a request with one header more.
async fn answer(hub: &TestHub, line: &str, header: &str) -> String {
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    Raw::request(hub, &format!("{line} HTTP/1.1\r\n{HANDSHAKE}{header}\r\n")).await.1
}

fn status(head: &str) -> &str {
    &head["HTTP/1.1 ".len()..][..3]
}

const UPGRADES: [&str; 5] = [
    "GET /ws",
    "GET /",
    "GET /updates",
    "GET /socket.io/?EIO=4&transport=websocket",
    "GET /api/socket.io/?EIO=4&transport=websocket",
];

#[test]
fn a_page_of_another_origin_is_refused_before_the_upgrade() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |_| {}).await;
        for line in UPGRADES {
            for (origin, expected) in [
                ("", "101"),
                ("Origin: http://hub", "101"),
                ("Origin: https://hub:443", "101"),
                ("Origin: https://hub.evil.example", "403"),
                ("Origin: http://hub:81", "403"),
                ("Origin: null", "403"),
                ("Origin:", "403"),
            ] {
                let head = answer(&hub, line, origin).await;
                assert_eq!(status(&head), expected, "{line}, {origin}: {head}");
            }
        }
    });
}

#[test]
fn listed_pages_may_connect_and_with_a_star_every_page() {
    on_sqlite(|| async {
        let listed = vec!["https://app.example".to_owned()];
        let hub = TestHub::start(Database::Sqlite, |c| c.server.allowed_origins = listed).await;
        for line in UPGRADES {
            assert_eq!(status(&answer(&hub, line, "Origin: https://app.example").await), "101");
            assert_eq!(status(&answer(&hub, line, "Origin: http://app.example").await), "403");
        }
        let any = vec!["*".to_owned()];
        let hub = TestHub::start(Database::Sqlite, |c| c.server.allowed_origins = any).await;
        for line in UPGRADES {
            assert_eq!(status(&answer(&hub, line, "Origin: https://evil.example").await), "101");
            assert_eq!(status(&answer(&hub, line, "Origin: null").await), "101");
        }
    });
}

#[test]
fn polling_pages_are_held_to_the_same_list_and_cors_follows_it() {
    on_sqlite(|| async {
        let listed = vec!["https://app.example".to_owned()];
        let hub = TestHub::start(Database::Sqlite, |c| c.server.allowed_origins = listed).await;
        let poll = |origin: &'static str| {
            let request = format!(
                "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: hub\r\n{origin}\r\n"
            );
            let hub = &hub;
            async move { Raw::request(hub, &request).await.1.to_lowercase() }
        };
        let head = poll("Origin: https://app.example\r\n").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("access-control-allow-origin: https://app.example\r\n"), "{head}");
        assert!(head.contains("access-control-allow-credentials: true\r\n"), "{head}");
        let head = poll("Origin: https://evil.example\r\n").await;
        assert!(head.starts_with("http/1.1 403"), "{head}");
        assert!(!head.contains("access-control"), "{head}");
        assert!(poll("").await.starts_with("http/1.1 200"));
    });
}

const ALICE: &str = "X-Forwarded-For: 192.0.2.1";
const BOB: &str = "X-Forwarded-For: 192.0.2.2";

#[test]
fn an_address_with_too_many_connections_or_handshakes_waits() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |config| {
            config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            config.limits.connections_per_address_max = 2;
        })
        .await;
        let open = |from: &'static str| {
            let request = format!("GET /ws HTTP/1.1\r\n{HANDSHAKE}{from}\r\n\r\n");
            let hub = &hub;
            async move { Raw::request(hub, &request).await }
        };
        let first = open(ALICE).await;
        let polled = answer(&hub, "GET /socket.io/?EIO=4&transport=websocket", ALICE).await;
        assert_eq!((status(&first.1), status(&polled)), ("101", "101"));
        // The second is gone with its socket; as many as that may be there again.
        let second = loop {
            let second = open(ALICE).await;
            if status(&second.1) == "101" {
                break second;
            }
        };
        let refused = open(ALICE).await.1.to_lowercase();
        assert!(refused.starts_with("http/1.1 429"), "{refused}");
        assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
        assert_eq!(status(&open(BOB).await.1), "101");
        drop((first, second));

        let hub = TestHub::start(Database::Sqlite, |config| {
            config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            config.limits.handshakes_per_minute_max = 2;
        })
        .await;
        for line in &UPGRADES[..2] {
            assert_eq!(status(&answer(&hub, line, ALICE).await), "101");
        }
        for line in UPGRADES {
            let head = answer(&hub, line, ALICE).await.to_lowercase();
            assert!(head.starts_with("http/1.1 429"), "{head}");
            assert!(head.contains("retry-after: 30\r\n"), "{head}");
            assert_eq!(status(&answer(&hub, line, "").await), "101", "this machine is not limited");
        }
    });
}

#[test]
fn a_user_who_authenticates_too_often_is_told_when_to_come_back() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |c| c.limits.auths_per_minute_max = 1).await;
        let _first = Device::plain(&hub, "alice").await;
        let mut second = Device::connect(&hub).await;
        let refused = second.auth(&hub.token("alice"), json!(null), json!({})).await;
        assert_eq!(refused["message"], "Rate limit exceeded. Please slow down.");
        let advice = second.next().await;
        assert_eq!(advice["type"], "reconnect");
        assert!(advice["retry_after_ms"].as_u64().unwrap() > 50_000, "{advice}");
        second.closed(4429).await;
        Device::plain(&hub, "bob").await;
    });
}

#[test]
fn credentials_that_fail_at_the_api_count_with_those_at_the_sockets() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |config| {
            config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            config.auth.failures_free = 1;
        })
        .await;
        let (path, body) = ("/api/v1/users/alice/events", Some(r#"{"type":"a"}"#));
        let from = [("x-forwarded-for", "192.0.2.1")];
        let good =
            hub.token_for("app", &[staffetta::auth::Scope::Publish], Duration::from_secs(60));
        for credential in ["no-token", "no-key"] {
            let refused = hub.call_as(Some(credential), "POST", path, body, &from).await;
            assert_eq!(refused.status, 401, "{}", refused.text);
        }
        let refused = hub.call_as(Some("no-third"), "POST", path, body, &from).await;
        assert_eq!((refused.status, &refused.body["code"]), (429, &json!("rate_limited")));
        let head = "GET /api/v1/sync HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer no-token\r\n";
        let request = format!("{head}X-Forwarded-For: 192.0.2.1\r\n\r\n");
        let head = Raw::request(&hub, &request).await.1.to_lowercase();
        assert!(head.starts_with("http/1.1 429"), "{head}");
        assert!(head.contains("retry-after: 1\r\n"), "{head}");
        let from_there = answer(&hub, UPGRADES[0], "X-Forwarded-For: 192.0.2.1").await;
        assert_eq!(status(&from_there), "429", "the sockets know too");
        let beside = hub.call_as(Some(&good), "POST", path, body, &from).await;
        assert_eq!(beside.status, 201, "a good one behind the same address is not concerned");
        let elsewhere = hub.call_as(Some(&good), "POST", path, body, &[]).await;
        assert_eq!(elsewhere.status, 201, "others are not concerned");
    });
}

#[test]
fn a_caller_who_publishes_too_much_is_told_when_to_come_back() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |c| c.limits.publishes_per_second_max = 2).await;
        let batch: Vec<_> = (0..60).map(|_| json!({"user": "alice", "type": "a"})).collect();
        assert_eq!(hub.call("POST", "/api/v1/events", Some(json!(batch))).await.status, 200);
        let path = "/api/v1/users/alice/events";
        let refused = hub.call("POST", path, Some(json!({"type": "a"}))).await;
        assert_eq!((refused.status, &refused.body["code"]), (429, &json!("rate_limited")));
        let other =
            hub.token_for("other", &[staffetta::auth::Scope::Publish], Duration::from_secs(60));
        let body = Some(r#"{"type":"a"}"#);
        assert_eq!(hub.call_as(Some(&other), "POST", path, body, &[]).await.status, 201);
    });
}

#[test]
fn away_from_loopback_administrators_are_answered_only_where_the_settings_say_so() {
    on_sqlite(|| async {
        let at = |enabled: PageEnabled, console: PageEnabled| {
            TestHub::start(Database::Sqlite, move |config| {
                config.server.listen = "192.0.2.1:3000".parse().unwrap();
                (config.admin.enabled, config.console.enabled) = (enabled, console);
            })
        };
        for (enabled, console, status) in [
            (PageEnabled::Auto, PageEnabled::Auto, 404),
            (PageEnabled::On, PageEnabled::Auto, 200),
            (PageEnabled::Auto, PageEnabled::On, 200),
            (PageEnabled::Off, PageEnabled::On, 404),
        ] {
            let hub = at(enabled, console).await;
            let answer = hub.call("GET", "/api/v1/users/alice/sessions", None).await;
            assert_eq!(answer.status, status, "{enabled:?}, {console:?}: {}", answer.text);
            hub.publish("alice", "added", json!({})).await;
        }
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    on_sqlite(|| async {
        let hub = TestHub::start(Database::Sqlite, |c| c.server.body_timeout_ms = 50).await;
        let token =
            hub.token_for("app", &[staffetta::auth::Scope::Publish], Duration::from_secs(60));
        let request = format!(
            "POST /api/v1/users/alice/events HTTP/1.1\r\nHost: hub\r\n\
             Authorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n{{"
        );
        let head = Raw::request(&hub, &request).await.1;
        assert_eq!(status(&head), "408", "{head}");
    });
}
