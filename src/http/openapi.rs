//! The API described in OpenAPI, generated from the handlers.
//!
//! A handler names what it answers when all is well; what every call may refuse is added here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use super::error::{Code, PROBLEM_JSON, Problem};
use super::event_body::EventBody;
use super::{
    batch, bodies, broadcast, console, dead_letters, drain, error, events, health, notes, push,
    sessions, sync, trace,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Staffetta",
        description = "Publish an event once; every device of its user applies and acknowledges it."
    ),
    paths(
        events::publish,
        batch::publish_batch,
        broadcast::broadcast,
        sync::sync,
        sessions::list,
        sessions::revoke,
        sessions::order_full_sync,
        sessions::closes,
        console::ticket,
        push::key,
        push::register,
        push::forget,
        trace::trace,
        super::route::route,
        notes::list,
        notes::read,
        notes::publish,
        notes::members::list_members,
        notes::members::share,
        notes::members::unshare,
        dead_letters::list,
        dead_letters::delete,
        dead_letters::replay,
        drain::drain,
        document,
        health::healthz,
        health::readyz,
        health::metrics,
    ),
    components(schemas(
        EventBody,
        bodies::ReceiptBody,
        bodies::BatchResult,
        error::Problem,
        error::Code,
    )),
    modifiers(&Bearer, &Refusals)
)]
pub(super) struct Api;

/// The description itself; its server is where the hub is mounted.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations",
    responses((status = 200, description = "This description", body = serde_json::Value)))]
pub(super) async fn document(request: HttpRequest) -> HttpResponse {
    let mut api = Api::openapi();
    let mount = request.path().strip_suffix("/api/v1/openapi.json").unwrap_or_default();
    api.servers = Some(vec![Server::new(if mount.is_empty() { "/" } else { mount })]);
    HttpResponse::Ok().json(api)
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, or a token whose `scope` allows the call"))
            .build();
        api.components
            .get_or_insert_with(Default::default)
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

struct Refusals;

impl Modify for Refusals {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let description = api.info.description.get_or_insert_default();
        description.push_str(
            "\n\nEvery refusal is `application/problem+json` with one of these codes:\n\n\
             | code | status | meaning |\n|---|---|---|\n",
        );
        for code in Code::ALL {
            let (name, status, title) = (code.name(), code.status().as_u16(), code.title());
            description.push_str(&format!("| `{name}` | {status} | {title} |\n"));
        }
        for item in api.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten()
            {
                add_refusals(operation);
            }
        }
    }
}

/// Adds what an operation may refuse, beside what it names itself.
fn add_refusals(operation: &mut Operation) {
    let mut codes = Vec::new();
    if operation.security.is_some() {
        codes.extend([Code::InvalidField, Code::Unauthenticated, Code::TokenExpired]);
        codes.extend([Code::Forbidden, Code::Overloaded, Code::Unavailable]);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::InvalidJson, Code::TooLarge, Code::UnsupportedMediaType]);
        codes.extend([Code::RateLimited, Code::TooSlow]);
        if operation.operation_id.as_deref() == Some("publish_batch") {
            codes.push(Code::BatchTooLarge);
        }
    }
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_str().to_owned()).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation.responses.responses.entry(status).or_insert(RefOr::T(refusal(&codes)));
    }
}

fn refusal(codes: &[Code]) -> Response {
    let told = codes.iter().map(|code| format!("`{}`: {}.", code.name(), code.title()));
    ResponseBuilder::new()
        .description(told.collect::<Vec<_>>().join(" "))
        .content(PROBLEM_JSON, Content::new(Some(Ref::from_schema_name(Problem::name()))))
        .build()
}

/// An event of a batch: [`EventBody`] with its `user`.
pub(super) struct BatchEvent;

impl ToSchema for BatchEvent {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("BatchEvent")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        EventBody::schemas(schemas);
    }
}

impl PartialSchema for BatchEvent {
    fn schema() -> RefOr<Schema> {
        let user = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Whose devices get it."))
            .min_length(Some(1))
            .max_length(Some(255));
        match EventBody::schema() {
            RefOr::T(Schema::Object(mut object)) => {
                object.properties.insert("user".to_owned(), user.into());
                object.required.push("user".to_owned());
                if let Some(example) = object.example.as_mut().and_then(|json| json.as_object_mut())
                {
                    example.insert("user".to_owned(), "alice".into());
                }
                RefOr::T(Schema::Object(object))
            }
            other => other,
        }
    }
}
