//! Where a browser signs in and out, and is told who it is.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::who::Who;
use super::{Access, COOKIE_NAME, cookie};
use crate::answer;
use crate::problem::Problem;

/// Longest body of a sign-in, in bytes.
const BODY_MAX_BYTES: usize = 4_096;

/// Who one is.
#[derive(Debug, Serialize)]
struct Told {
    /// Name of the token; absent where none is asked for.
    name: Option<String>,
    scope: &'static str,
    /// Whether tokens are asked for.
    tokens: bool,
    /// Whether nothing may be changed here.
    read_only: bool,
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

#[derive(Debug, Clone)]
struct Desk {
    access: Access,
    /// Where cookies are sent to.
    path: String,
}

/// `/session`: POST signs in with a token, DELETE signs out, GET tells who one is.
pub(crate) fn router(access: Access, base_path: &str) -> Router {
    let path = if base_path.is_empty() { "/".to_owned() } else { base_path.to_owned() };
    let methods = get(tell).post(sign_in).delete(sign_out);
    Router::new().route("/session", methods).with_state(Desk { access, path })
}

/// Begins a session with a token; the cookie for it. Where no token is asked for, there is none to begin.
///
/// # Errors
/// Another origin, too many attempts, a wrong token.
pub(crate) async fn begin(
    access: &Access,
    headers: &HeaderMap,
    peer: IpAddr,
    token: &str,
    base_path: &str,
) -> Result<Option<HeaderValue>, Problem> {
    access.check_rate(peer)?;
    access.check_origin(headers, true)?;
    let Some(tokens) = &access.0.tokens else { return Ok(None) };
    let who = access.by_token(tokens, token.trim(), peer).await?;
    let cookie = access.0.sessions.begin(who).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(cookie_header(access, base_path, &cookie, access.0.sessions.life.as_secs()))
}

/// Ends the session of a request; the cookie that takes its place.
///
/// # Errors
/// Another origin.
pub(crate) fn end(access: &Access, headers: &HeaderMap, base_path: &str) -> Result<Option<HeaderValue>, Problem> {
    access.check_origin(headers, true)?;
    if let Some(cookie) = cookie(headers) {
        access.0.sessions.end(cookie);
    }
    Ok(cookie_header(access, base_path, "", 0))
}

fn cookie_header(access: &Access, base_path: &str, cookie: &str, life_seconds: u64) -> Option<HeaderValue> {
    let secure = if access.settings().secure_cookies { "; Secure" } else { "" };
    let path = if base_path.is_empty() { "/" } else { base_path };
    let text =
        format!("{COOKIE_NAME}={cookie}; Path={path}; Max-Age={life_seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).ok()
}

async fn tell(
    State(desk): State<Desk>,
    Extension(peer): Extension<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let who = desk.access.admit(&headers, peer.ip(), Scope::Read).await?;
    Ok(desk.told(&who))
}

async fn sign_in(
    State(desk): State<Desk>,
    Extension(peer): Extension<SocketAddr>,
    request: Request,
) -> Result<Response, Problem> {
    let access = &desk.access;
    access.check_rate(peer.ip())?;
    access.check_origin(request.headers(), true)?;
    let Some(tokens) = &access.0.tokens else {
        return Ok(desk.told(&Who { name: None, scope: Scope::Admin }));
    };
    let body = answer::body(request.into_body(), BODY_MAX_BYTES, "a sign-in").await?;
    let token = token_in(&body).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "unreadable", "write {\"token\": \"NAME.SECRET\"}").field("token")
    })?;
    let who = access.by_token(tokens, token.trim(), peer.ip()).await?;
    let cookie = access.0.sessions.begin(who.clone()).map_err(|error| Problem::internal(error.to_string()))?;
    let mut told = desk.told(&who);
    desk.set_cookie(&mut told, &cookie, access.0.sessions.life.as_secs());
    Ok(told)
}

async fn sign_out(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Problem> {
    desk.access.check_origin(&headers, true)?;
    if let Some(cookie) = cookie(&headers) {
        desk.access.0.sessions.end(cookie);
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    desk.set_cookie(&mut answer, "", 0);
    Ok(answer)
}

/// JSON, or what a form sends.
fn token_in(body: &[u8]) -> Option<String> {
    if let Ok(SignIn { token }) = serde_json::from_slice(body) {
        return Some(token);
    }
    form_urlencoded::parse(body).find(|(name, _)| name == "token").map(|(_, token)| token.into_owned())
}

impl Desk {
    fn told(&self, who: &Who) -> Response<Body> {
        let told = Told {
            name: who.name.clone(),
            scope: who.scope.name(),
            tokens: self.access.asks_for_tokens(),
            read_only: self.access.settings().read_only,
        };
        answer::fresh(StatusCode::OK, &told)
    }

    fn set_cookie(&self, answer: &mut Response, cookie: &str, life_seconds: u64) {
        if let Some(value) = cookie_header(&self.access, &self.path, cookie, life_seconds) {
            answer.headers_mut().insert(SET_COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_json_or_from_a_form() {
        assert_eq!(token_in(br#"{"token": "a.b"}"#).as_deref(), Some("a.b"));
        assert_eq!(token_in(b"x=1&token=a.b%2B").as_deref(), Some("a.b+"));
        assert_eq!(token_in(b"nothing"), None);
    }
}
