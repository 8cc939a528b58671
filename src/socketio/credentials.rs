//! The tokens a request brings, in the order they count after the one in CONNECT.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, COOKIE};

use crate::gate::Page;

/// Headers that hold a token and come before `Authorization`.
const TOKEN_HEADERS: [&str; 2] = ["x-immich-user-token", "x-immich-session-token"];

/// The cookie that holds a token.
const TOKEN_COOKIE: &str = "immich_access_token";

/// The header that counts last.
const API_KEY_HEADER: &str = "x-api-key";

/// The token of a request, if it has one. Never logged.
pub(super) fn token(request: &HttpRequest, page: Page) -> Option<String> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let of_header = |name: &str| header(name).map(str::trim).filter(|token| !token.is_empty());
    let token = TOKEN_HEADERS.into_iter().find_map(of_header).map(str::to_owned);
    token
        .or_else(|| {
            let (scheme, token) = header(AUTHORIZATION.as_str())?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        })
        .or_else(|| {
            let token = cookie(request, TOKEN_COOKIE)?;
            page.may_use_cookies().then(|| token.to_owned())
        })
        .or_else(|| of_header(API_KEY_HEADER).map(str::to_owned))
}

fn cookie<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let headers = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    headers.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (named, value) = cookie.trim().split_once('=')?;
        (named == name && !value.is_empty()).then(|| value.trim_matches('"'))
    })
}
