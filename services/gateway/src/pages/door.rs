//! Who gets in, and what a page says that cannot be shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use nuncius_pages::Frame;
use nuncius_pages::frame::{problem, sign_in as sign_in_page};

use super::sent::{html, see_other, with_status};
use crate::access::{Scope, Who, begin_session, end_session};
use crate::answer;
use crate::api::ApiState;
use crate::problem::Problem;

/// Longest form of a sign-in, in bytes.
const SIGN_IN_MAX_BYTES: usize = 4_096;

/// Somebody who may look.
pub(super) struct Visitor {
    pub(super) frame: Frame,
    /// What stands after the `?`.
    pub(super) query: Vec<(String, String)>,
}

impl Visitor {
    /// A parameter; empty is absent.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a parameter that are not empty.
    pub(super) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let meant = self.query.iter().filter(move |(known, value)| known == name && !value.is_empty());
        meant.map(|(_, value)| value.as_str())
    }

    /// A page that says what is wrong.
    pub(super) fn refused(&self, refused: &Problem) -> Response<Body> {
        refused_page(&self.frame, refused)
    }

    /// The page, or why there is none.
    pub(super) fn answer(&self, page: Result<String, Problem>) -> Response<Body> {
        page.map_or_else(|refused| self.refused(&refused), html)
    }
}

fn refused_page(frame: &Frame, refused: &Problem) -> Response<Body> {
    let status = refused.status();
    let title = status.canonical_reason().unwrap_or("Not shown");
    with_status(status, problem(frame, status.as_u16(), title, refused.detail()))
}

impl FromRequestParts<ApiState> for Visitor {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Response<Body>> {
        let frame = frame_of(api, None);
        let who = match api.access().admit(&parts.headers, peer_of(parts), Scope::Read).await {
            Ok(who) => who,
            Err(refused) if refused.status() == StatusCode::UNAUTHORIZED => {
                return Err(see_other(&format!("{}/sign-in", api.settings().base_path)));
            }
            Err(refused) => return Err(refused_page(&frame, &refused)),
        };
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self {
            frame: frame_of(api, Some(&who)),
            query: query.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        })
    }
}

pub(super) fn peer_of(parts: &Parts) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    parts.extensions.get::<SocketAddr>().map_or(unknown, SocketAddr::ip)
}

/// Where pages are, and what is missing at present.
pub(super) fn frame_of(api: &ApiState, who: Option<&Who>) -> Frame {
    let may = |scope| who.is_some_and(|who| who.scope >= scope) && !api.access().settings().read_only;
    Frame {
        base_path: api.settings().base_path.clone(),
        may_change: may(Scope::Control),
        may_administer: may(Scope::Admin),
        user: who.and_then(|who| who.name.clone()),
        missing: missing(api),
    }
}

fn missing(api: &ApiState) -> Option<String> {
    if api.bus().connected_for().is_zero() {
        return Some("There is no connection to NATS at present: what is shown is what was known before.".to_owned());
    }
    if !api.known().is_complete() {
        return Some("Runs, nodes and queues have not all been read yet: load the page anew in a moment.".to_owned());
    }
    let has_daemon = api.known().nodes().iter().any(|node| node.role == nuncius_schemas::node::Role::Experimentd);
    (!has_daemon).then(|| "No experiment daemon is here: what is submitted waits for one.".to_owned())
}

/// The page that asks for a token.
pub(super) async fn sign_in(State(api): State<ApiState>) -> Response<Body> {
    html(sign_in_page(&frame_of(&api, None), None))
}

/// Ends a session: a form cannot send DELETE.
pub(super) async fn sign_out(State(api): State<ApiState>, headers: HeaderMap) -> Response<Body> {
    let base_path = &api.settings().base_path;
    match end_session(api.access(), &headers, base_path) {
        Ok(cookie) => with_cookie(see_other(&format!("{base_path}/sign-in")), cookie),
        Err(refused) => refused_page(&frame_of(&api, None), &refused),
    }
}

/// Begins a session, and leads to what happens now.
pub(super) async fn begin(State(api): State<ApiState>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let base_path = &api.settings().base_path;
    let begun = async {
        let bytes = answer::body(body, SIGN_IN_MAX_BYTES, "a sign-in").await?;
        let token = form_urlencoded::parse(&bytes).find(|(name, _)| name == "token");
        let token = token.map(|(_, token)| token.into_owned()).unwrap_or_default();
        begin_session(api.access(), &parts.headers, peer_of(&parts), &token, base_path).await
    };
    match begun.await {
        Ok(cookie) => with_cookie(see_other(&format!("{base_path}/")), cookie),
        Err(refused) => with_status(refused.status(), sign_in_page(&frame_of(&api, None), Some(refused.detail()))),
    }
}

fn with_cookie(mut answer: Response<Body>, cookie: Option<HeaderValue>) -> Response<Body> {
    if let Some(cookie) = cookie {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}
