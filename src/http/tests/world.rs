//! The API mounted in an application, at its root and below `/hub`, on a probe.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_web::body::MessageBody;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::{App, test, web};
use futures_util::future::{BoxFuture, FutureExt, ready};
use serde_json::Value;

use super::one_note::OneNote;
use super::probe::{Probe, delivery_port};
use crate::auth::{
    ApiKeys, AuthError, Authorize, Caller, Callers, Failures, Identity, Scope, TokenVerifier,
};
use crate::config::{AuthConfig, Config};
use crate::delivery::Publisher;
use crate::delivery::messages::DeliveryPorts;
use crate::gate::Gate;
use crate::http::{HttpState, Parts, configure};
use crate::metrics::Metrics;
use crate::notebook::Notebook;
use crate::persistence::messages::PersistencePort;
use crate::protocol::{NewEvent, Timestamp, UserId};
use crate::registry::{Drains, Rooms};
use crate::webhooks::{Webhooks, WebhooksParts};

/// An API key with every scope.
pub(super) const KEY: &str = "key-of-the-application";

/// A token is the name of what it is.
struct Tokens;

impl TokenVerifier for Tokens {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        let (scopes, accounts) = match token {
            "alice" => (vec![], None),
            "publisher" => (vec![Scope::Publish], None),
            "admin" => (vec![Scope::Admin], None),
            "personal" => (vec![Scope::Publish], Some(vec!["personal".to_owned()])),
            "expired" => return ready(Err(AuthError::Expired)).boxed(),
            "keyless" => return ready(Err(AuthError::KeysUnavailable)).boxed(),
            _ => return ready(Err(AuthError::Invalid)).boxed(),
        };
        let user = UserId::new(token).unwrap();
        ready(Ok(Identity { user, scopes, accounts, session: None, expires_at: None })).boxed()
    }
}

/// A host that keeps events of the type `secret` to itself.
struct NoSecrets;

impl Authorize for NoSecrets {
    fn publish<'a>(
        &'a self,
        _caller: &'a Caller,
        _user: Option<&'a UserId>,
        event: &'a NewEvent,
    ) -> BoxFuture<'a, bool> {
        ready(event.kind != "secret").boxed()
    }
}

/// What a call was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a refusal, after looking at the rest of it.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], format!("urn:staffetta:problem:{code}"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(problem.as_object().unwrap().len(), 5, "{}", self.text);
        code
    }
}

/// The API and what is behind it.
pub(super) struct World {
    pub(super) probe: Probe,
    state: HttpState,
    drains: Drains,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        set(&mut config);
        let probe = Probe::default();
        let (deliveries, persistence) = probe.ports();
        Self::on(config, probe, deliveries, persistence)
    }

    /// A hub one of whose threads has ended.
    pub(super) fn that_has_ended() -> Self {
        let probe = Probe::default();
        let (sender, mailbox) = actix::dev::channel::channel::<Probe>(1);
        drop(mailbox);
        let (_, persistence) = probe.ports();
        let ended = DeliveryPorts::new(vec![delivery_port(&Addr::new(sender))]);
        Self::on(Config::default(), probe, ended, persistence)
    }

    fn on(
        config: Config,
        probe: Probe,
        deliveries: DeliveryPorts,
        persistence: PersistencePort,
    ) -> Self {
        let drains = Drains::default();
        let webhooks = WebhooksParts {
            dead_letters: persistence.dead_letters.clone(),
            notices: None,
            listener: None,
            metrics: Metrics::new(),
        };
        let webhooks = Webhooks::start(&config.webhooks, webhooks).unwrap();
        let api_keys = ApiKeys::from_config(&AuthConfig::default(), Some(KEY)).unwrap();
        let publisher = Publisher::new(
            deliveries.clone(),
            persistence.clone(),
            Arc::new(config.publish.clone()),
        );
        let state = HttpState::new(Parts {
            notebook: Notebook::new(
                Arc::new(OneNote),
                publisher.clone(),
                Rooms::default(),
                None,
                &config.notes,
            ),
            publisher,
            deliveries,
            persistence,
            callers: Callers::new(api_keys, Arc::new(Tokens)),
            failures: Arc::new(Failures::new(config.auth.failures_free, Duration::from_secs(60))),
            gate: Arc::new(Gate::new(&config)),
            authorize: Arc::new(NoSecrets),
            config: Arc::new(config),
            drains: drains.clone(),
            metrics: Metrics::new(),
            webhooks,
            cluster: None,
            tickets: Arc::default(),
            push: None,
        });
        Self { probe, state, drains }
    }

    pub(super) async fn drain(&self) {
        self.drains.drain(Duration::ZERO).await;
    }

    /// Calls as the application.
    pub(super) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {KEY}");
        self.call_with(method, path, body.to_owned(), &[("authorization", &bearer)]).await
    }

    /// Calls as whoever has this token.
    pub(super) async fn call_as(&self, token: &str, method: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call_with(method, path, "", &[("authorization", &bearer)]).await
    }

    pub(super) async fn call_with(
        &self,
        method: &str,
        path: &str,
        body: impl Into<web::Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let app = App::new()
            .service(web::scope("/hub").configure(|services| configure(&self.state, services)))
            .configure(|services| configure(&self.state, services));
        let app = test::init_service(app).await;
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = test::TestRequest::with_uri(path).method(method).set_payload(body);
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().try_into_bytes();
        let bytes = body.unwrap_or_else(|_| panic!("the body of {path} is not in one piece"));
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}
