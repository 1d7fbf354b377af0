//! The HTTP face.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /v1`, `GET /v1/<kind>` | how all stand, or one |
//! | `POST /v1/<kind>` | asks for something, as a JSON object; answered 202 before it is held |
//! | `DELETE /v1/<kind>` | gives all back |
//! | `/api/…` | the addresses of Testero |
//! | `GET /`, `/metrics`, `/healthz` | a page, Prometheus, probes |
//!
//! With a token, all but `/healthz` is for those who have it. What a browser sends on behalf of another site changes
//! nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, LOCATION,
    WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::resource::{ResourceKind, ResourceRequest};
use nuncius_serve::{Answer, HttpLimits, answer as answer_of, head_bytes, sites};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::compat::{self, Slots};
use super::group::{Group, Refusal, Wish};

pub(super) mod metrics;
mod page;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const METRICS: &str = nuncius_metrics::expose::Format::Text.content_type();
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// Nothing is loaded and nothing is framed.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Longest body, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// What every connection shares.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) groups: BTreeMap<ResourceKind, Group>,
    pub(crate) token: Option<String>,
    pub(crate) is_compat: bool,
    /// As Testero shows it.
    pub(crate) number_to_factor: String,
    pub(crate) slots: Slots,
    pub(crate) limits: HttpLimits,
}

/// What is asked for.
pub(super) fn limits() -> HttpLimits {
    HttpLimits { body_max_bytes: BODY_MAX_BYTES, ..HttpLimits::default() }
}

/// Serves until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) {
    let limits = shared.limits.clone();
    let handler = move |request, peer| {
        let shared = Arc::clone(&shared);
        async move { respond(request, peer, &shared).await }
    };
    nuncius_serve::serve(listener, limits, shutdown, handler, || {}).await;
}

/// Why a query is not answered.
struct Refused {
    status: StatusCode,
    problem: String,
    header: Option<(HeaderName, HeaderValue)>,
}

fn refused(status: StatusCode, problem: impl Into<String>) -> Refused {
    Refused { status, problem: problem.into(), header: None }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        refused(status_of(&refusal), refusal.to_string())
    }
}

/// The status that says it by itself.
pub(super) const fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Invalid(_) | Refusal::Amount(_) => StatusCode::BAD_REQUEST,
        Refusal::OverLimit { .. } | Refusal::NoRoom { .. } => StatusCode::CONFLICT,
        Refusal::Limit(_) | Refusal::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn respond(request: Request<Incoming>, peer: SocketAddr, shared: &Shared) -> Answer {
    let (head, body) = request.into_parts();
    match route(&head, body, shared).await {
        Ok(answer) => answer,
        Err(Refused { status, problem, header }) => {
            tracing::debug!(%peer, method = %head.method, %status, problem, "refused");
            let mut answer = answer_of(status, JSON, json!({ "error": problem }).to_string() + "\n");
            if let Some((name, value)) = header {
                answer.headers_mut().insert(name, value);
            }
            // What is left of its body is not read.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    }
}

async fn route(head: &Parts, body: Incoming, shared: &Shared) -> Result<Answer, Refused> {
    let limits = &shared.limits;
    let bytes = head_bytes(head);
    if bytes > limits.header_max_bytes {
        let problem =
            format!("the head of the request has {bytes} bytes; header_max_bytes is {}", limits.header_max_bytes);
        return Err(refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, problem));
    }
    let path = head.uri.path();
    if path == "/healthz" {
        allow(&head.method, "GET")?;
        return Ok(answer_of(StatusCode::OK, TEXT, "ok\n".to_owned()));
    }
    check_token(&head.headers, shared.token.as_deref())?;
    let is_change = !is_reading(&head.method) || path.starts_with("/api/");
    if let Some(reason) = sites::foreign(&head.headers, is_change, &shared.limits.allowed_hosts) {
        return Err(refused(StatusCode::FORBIDDEN, format!("refused for another site: {reason}")));
    }
    if shared.is_compat
        && let Some(clean) = compat::cleaned(path)
    {
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(moved(&format!("{clean}{query}")));
    }
    if let Some(call) = compat::call_at(path) {
        if !shared.is_compat {
            allow(&head.method, "GET")?;
        }
        return Ok(compat::answer(call, head.uri.query().unwrap_or_default(), shared).await);
    }
    let has_body = !body.is_end_stream();
    if has_body && (is_reading(&head.method) || head.method == Method::DELETE) {
        return Err(refused(StatusCode::BAD_REQUEST, format!("a {} has no body; use POST", head.method)));
    }
    match path {
        "/" => {
            allow(&head.method, "GET")?;
            let mut answer = answer_of(StatusCode::OK, HTML, page::render(shared));
            answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            Ok(answer)
        }
        "/metrics" => {
            allow(&head.method, "GET")?;
            look_at_disk(shared).await?;
            Ok(answer_of(StatusCode::OK, METRICS, metrics::render(shared)))
        }
        "/v1" => {
            allow(&head.method, "GET")?;
            look_at_disk(shared).await?;
            let states: Vec<_> = shared.groups.values().map(Group::state).collect();
            Ok(written(StatusCode::OK, &json!({ "name": shared.name, "resources": states })))
        }
        _ => match path.strip_prefix("/v1/").map(str::parse::<ResourceKind>) {
            Some(Ok(kind)) => of_kind(kind, head, body, shared).await,
            _ if shared.is_compat => Ok(answer_of(StatusCode::NOT_FOUND, TEXT, "404 page not found\n".to_owned())),
            _ => {
                let problem = "there is no such page; there are /v1, /v1/memory, /v1/disk, /v1/cpu, /metrics and /";
                Err(refused(StatusCode::NOT_FOUND, problem))
            }
        },
    }
}

async fn of_kind(kind: ResourceKind, head: &Parts, body: Incoming, shared: &Shared) -> Result<Answer, Refused> {
    let group = shared.groups.get(&kind);
    let group = group.ok_or_else(|| refused(StatusCode::NOT_FOUND, format!("{kind} is switched off here")))?;
    let status = match head.method {
        Method::GET | Method::HEAD => {
            group.look().await?;
            StatusCode::OK
        }
        Method::POST => {
            let request = read_request(&read_body(&head.headers, body, &shared.limits).await?)?;
            group.take(Wish { request, ..Wish::default() }).await?;
            StatusCode::ACCEPTED
        }
        Method::DELETE => {
            group.release().await?;
            StatusCode::ACCEPTED
        }
        _ => return Err(not_allowed(&head.method, "GET, POST, DELETE")),
    };
    Ok(written(status, &json!(group.state())))
}

/// Has the disk's figures looked up: files may have been removed by others.
async fn look_at_disk(shared: &Shared) -> Result<(), Refused> {
    match shared.groups.get(&ResourceKind::Disk) {
        Some(group) => Ok(group.look().await?),
        None => Ok(()),
    }
}

/// Go's redirection of a path that is not written as it should be.
fn moved(to: &str) -> Answer {
    let shown = to.replace('&', "&amp;").replace('"', "&#34;").replace('<', "&lt;").replace('>', "&gt;");
    let mut answer =
        answer_of(StatusCode::MOVED_PERMANENTLY, HTML, format!("<a href=\"{shown}\">Moved Permanently</a>.\n\n"));
    if let Ok(to) = HeaderValue::try_from(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

fn written(status: StatusCode, value: &serde_json::Value) -> Answer {
    answer_of(status, JSON, format!("{value}\n"))
}

fn not_allowed(method: &Method, methods: &'static str) -> Refused {
    let problem = format!("{method} is not taken here; use {methods}");
    let header = Some((ALLOW, HeaderValue::from_static(methods)));
    Refused { header, ..refused(StatusCode::METHOD_NOT_ALLOWED, problem) }
}

/// GET, or HEAD, which wants the same without the body.
fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn allow(method: &Method, methods: &'static str) -> Result<(), Refused> {
    let is_taken = method.as_str() == methods || (methods == "GET" && is_reading(method));
    if is_taken { Ok(()) } else { Err(not_allowed(method, methods)) }
}

/// Whether two secrets are alike, in a time that does not tell where they differ.
pub(super) fn is_same_secret(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given.iter().zip(wanted).fold(0u8, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    given.len() == wanted.len() && differences == 0
}

fn check_token(headers: &HeaderMap, wanted: Option<&str>) -> Result<(), Refused> {
    let Some(wanted) = wanted else { return Ok(()) };
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let token = given.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    if token.is_some_and(|(_, token)| is_same_secret(token.trim_ascii(), wanted.as_bytes())) {
        return Ok(());
    }
    let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nuncius\"")));
    let problem = "a token is wanted; send it as `Authorization: Bearer <token>`";
    Err(Refused { header, ..refused(StatusCode::UNAUTHORIZED, problem) })
}

async fn read_body(headers: &HeaderMap, body: Incoming, limits: &HttpLimits) -> Result<Vec<u8>, Refused> {
    let too_long = || {
        let problem = format!("the body is longer than {} bytes", limits.body_max_bytes);
        refused(StatusCode::PAYLOAD_TOO_LARGE, problem)
    };
    let told = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > limits.body_max_bytes as u64) {
        return Err(too_long());
    }
    let reading = Limited::new(body, limits.body_max_bytes).collect();
    match tokio::time::timeout(limits.read_timeout, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(refused(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))),
        Err(_) => {
            let problem = format!("the body did not come within {:?}", limits.read_timeout);
            Err(refused(StatusCode::REQUEST_TIMEOUT, problem))
        }
    }
}

fn read_request(body: &[u8]) -> Result<ResourceRequest, Refused> {
    let wrong = |problem: String| refused(StatusCode::BAD_REQUEST, problem);
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("body: a JSON object is wanted, as {\"amount\": \"512MiB\", \"for\": \"10m\"}".to_owned()));
    }
    codec::decode(body).map_err(|error: CodecError| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
