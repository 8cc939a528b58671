//! With whom a note is shared: for its owner, and for administrators.

use actix_web::web::{Payload, ThinData};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Caller, Scope};
use crate::http::callers::Anyone;
use crate::http::error::{ApiError, Code, Problem};
use crate::http::parameters::{self, NoQuery};
use crate::http::{HttpState, body};
use crate::notes::{Members, Role};
use crate::protocol::{NoteId, UserId};

/// A user to share a note with.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MemberBody {
    /// Who.
    #[schema(value_type = String)]
    user: UserId,
    /// `read`, or `write`.
    #[schema(value_type = String)]
    role: Role,
}

/// Who may see a note.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MembersBody {
    /// Whose it is.
    #[schema(value_type = String)]
    owner: UserId,
    /// With whom it is shared, by name.
    members: Vec<MemberBody>,
}

/// Shares a note with a user, or changes the user's role. The user's devices get the whole note
/// as `note_created_sync`.
#[utoipa::path(
    post,
    path = "/api/v1/notes/{note}/members",
    tag = "notes",
    params(("note" = String, Path, description = "Which")),
    request_body(content = MemberBody, example = json!({"user": "bob", "role": "write"})),
    responses(
        (status = 200, description = "Shared", body = MemberBody),
        (status = 404, description = "`not_found`: no such note, or not the caller's own",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn share(
    Anyone(caller): Anyone,
    state: ThinData<HttpState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let note = parameters::note(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let json = body::read(&request, payload, &state).await?;
    let member: MemberBody = body::parse(&json)?;
    let members = owned(&caller, &note, &state).await?;
    if member.user == members.owner {
        return Err(ApiError::field("user is the owner"));
    }
    let by = actor(&caller, &members.owner);
    state.notebook().share(note, member.user.clone(), member.role, by).await?;
    Ok(HttpResponse::Ok().json(member))
}

/// Lists who may see a note.
#[utoipa::path(
    get,
    path = "/api/v1/notes/{note}/members",
    tag = "notes",
    params(("note" = String, Path, description = "Which")),
    responses(
        (status = 200, description = "Its owner and members", body = MembersBody),
        (status = 404, description = "`not_found`: no such note, or not shared with the caller",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list_members(
    Anyone(caller): Anyone,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let note = parameters::note(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let members = state.notebook().members(note).await?;
    let may_see = |user: &UserId| {
        *user == members.owner || members.members.iter().any(|(member, _)| member == user)
    };
    if !caller.may(Scope::Admin) && !user(&caller).is_some_and(may_see) {
        return Err(no_such_note());
    }
    let Members { owner, members } = members;
    let members = members.into_iter().map(|(user, role)| MemberBody { user, role }).collect();
    Ok(HttpResponse::Ok().json(MembersBody { owner, members }))
}

/// Takes a user's access to a note away, at once: for its owner, the user, and administrators.
/// The user's devices are told that the note is gone.
#[utoipa::path(
    delete,
    path = "/api/v1/notes/{note}/members/{user}",
    tag = "notes",
    params(
        ("note" = String, Path, description = "Which"),
        ("user" = String, Path, description = "Whose access"),
    ),
    responses(
        (status = 204, description = "It is taken away"),
        (status = 404, description = "`not_found`: no such note or member, or not the caller's own",
            body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn unshare(
    Anyone(caller): Anyone,
    state: ThinData<HttpState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let note = parameters::note(&request)?;
    let member = parameters::user(&request)?;
    parameters::query::<NoQuery>(&request)?;
    let members = match user(&caller) {
        // Whoever got a note may give it back.
        Some(user) if *user == member => state.notebook().members(note.clone()).await?,
        Some(_) | None => owned(&caller, &note, &state).await?,
    };
    let by = actor(&caller, &members.owner);
    if state.notebook().unshare(note, member, by).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(no_such_note())
}

/// The members of a note that the caller may share.
async fn owned(caller: &Caller, note: &NoteId, state: &HttpState) -> Result<Members, ApiError> {
    let members = state.notebook().members(note.clone()).await?;
    if caller.may(Scope::Admin) || user(caller) == Some(&members.owner) {
        return Ok(members);
    }
    Err(no_such_note())
}

fn user(caller: &Caller) -> Option<&UserId> {
    match caller {
        Caller::User(identity) => Some(&identity.user),
        Caller::ApiKey(_) => None,
    }
}

/// In whose name it is told: the application acts for the owner.
fn actor<'a>(caller: &'a Caller, owner: &'a UserId) -> &'a UserId {
    user(caller).unwrap_or(owner)
}

/// Says the same of a note that is not there and of one that is not the caller's.
fn no_such_note() -> ApiError {
    ApiError::new(Code::NotFound, "note not found or access denied")
}
