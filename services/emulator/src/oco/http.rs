//! The HTTP face, where servos speak and people look.
//!
//! | path | what it does |
//! |---|---|
//! | `POST /accounts/{account}/applications/{app}/servo` | takes an event of a servo |
//! | `GET /accounts/{account}/application-overrides` | lists applications |
//! | `GET /` | how far they have come |
//! | `GET /stats`, `/metrics` | all figures, as JSON and for Prometheus; `/stats?apps=1` each application's too |
//! | `GET /openapi.json`, `/docs` | what there is, for programs and for people |

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use nuncius_serve::{HttpLimits, sites};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::book::Book;
use super::book::statistics::{self, Rate};
use super::config::{NAME_RULE, is_name};
use crate::form::Form;
use crate::spans;

/// The description of this face. Kept by hand; the tests hold it to the routes.
const OPENAPI: &str = include_str!("http/openapi.json");
/// A page that reads the description, shows it and sends requests. It loads nothing from elsewhere.
const DOCS: &str = include_str!("http/docs.html");

/// Where servos speak, as traces name it.
const SERVO_ROUTE: &str = "/accounts/{account}/applications/{app}/servo";

const JSON: &str = "application/json";
const METRICS: &str = nuncius_metrics::expose::Format::Text.content_type();
const HTML: &str = "text/html; charset=utf-8";

/// What servos may ask for: they keep a connection for as long as they run, and may be silent on it while they measure.
pub fn servo_limits() -> HttpLimits {
    HttpLimits {
        header_max_bytes: 16 * 1024,
        body_max_bytes: 4 * 1024 * 1024,
        read_timeout: Duration::from_secs(30),
        idle_timeout: Some(Duration::from_secs(3600)),
        connection_timeout: Duration::from_secs(365 * 86_400),
        connections_max: connections_max(),
        allowed_hosts: Vec::new(),
    }
}

/// Connections that may be held: as many as the limit of open files leaves, and 8,192 at most, some 24 KiB each.
fn connections_max() -> usize {
    /// For everything else that is open.
    const SPARE: u64 = 64;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(SPARE).clamp(16, 8_192)).unwrap_or(16)
}

/// What every connection shares.
pub(crate) struct Face {
    pub(crate) book: Arc<Book>,
    pub(crate) rate: Arc<Rate>,
    pub(crate) limits: HttpLimits,
}

/// Serves until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, face: Face, shutdown: CancellationToken) {
    let (limits, face) = (face.limits.clone(), Arc::new(face));
    let counted = Arc::clone(&face);
    let handler = move |request, _: SocketAddr| {
        let face = Arc::clone(&face);
        async move { face.respond(request).await }
    };
    nuncius_serve::serve(listener, limits, shutdown, handler, move || counted.book.counters.unreadable()).await;
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Servo { account: Cow<'a, str>, app: Cow<'a, str> },
    List { account: Cow<'a, str> },
    Summary,
    Statistics,
    Metrics,
    OpenApi,
    Docs,
}

impl<'a> Route<'a> {
    fn at(path: &'a str) -> Option<Self> {
        let Some(rest) = path.strip_prefix("/accounts/") else {
            return Some(match path {
                "/" => Self::Summary,
                "/stats" => Self::Statistics,
                "/metrics" => Self::Metrics,
                "/openapi.json" => Self::OpenApi,
                "/docs" => Self::Docs,
                _ => return None,
            });
        };
        let (account, rest) = rest.split_once('/')?;
        let account = decoded(account);
        if rest == "application-overrides" {
            return Some(Self::List { account });
        }
        let app = rest.strip_prefix("applications/")?.strip_suffix("/servo")?;
        (!app.contains('/')).then(|| Self::Servo { account, app: decoded(app) })
    }

    const fn method(&self) -> (Method, &'static str) {
        match self {
            Self::Servo { .. } => (Method::POST, "POST"),
            _ => (Method::GET, "GET"),
        }
    }
}

/// A part of a path with `%41` read as `A`; whatever is no text then is left as it is, and is no name.
fn decoded(part: &str) -> Cow<'_, str> {
    if !part.contains('%') {
        return Cow::Borrowed(part);
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut rest) = (Vec::new(), part.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let value = match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(part), Cow::Owned)
}

impl Face {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let limit = self.limits.header_max_bytes;
        if nuncius_serve::head_bytes(&head) > limit {
            let text = format!("the head of the request is longer than header_max_bytes, {limit}");
            return closing(written(Answer::error(431, text)));
        }
        let changes = !matches!(head.method, Method::GET | Method::HEAD);
        if let Some(reason) = sites::foreign(&head.headers, changes, &self.limits.allowed_hosts) {
            return refused(body, Answer::error(403, format!("refused for another site: {reason}")));
        }
        let path = head.uri.path();
        let Some(route) = Route::at(path) else {
            let without_slash = path.trim_end_matches('/');
            if without_slash != path && Route::at(without_slash).is_some() {
                // As the framework of the original does: the same request, body and all, at the right address.
                return redirected(body, without_slash, head.uri.query());
            }
            return refused(body, Answer::error(404, "Not Found".to_owned()));
        };
        let (method, allow) = route.method();
        if head.method != method {
            let mut response = refused(body, Answer::error(405, "Method Not Allowed".to_owned()));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match &route {
            Route::Servo { account, app } => {
                if let Some(invalid) = invalid_name("account", account).or_else(|| invalid_name("app", app)) {
                    return refused(body, invalid);
                }
                let body = match self.read(body).await {
                    Ok(body) => body,
                    Err(answer) => return closing(written(answer)),
                };
                // A span costs more than the event; those that are traced pay for it.
                let mut span = spans::of_request(&head, Some(SERVO_ROUTE));
                let answer = self.book.take(account, app, &body, Form::Json).await;
                spans::answered(&mut span, answer.status);
                written(answer)
            }
            Route::List { account } => {
                let settings = self.book.live.now();
                let asks = |name: &str| has_field(head.uri.query(), name);
                let is_wrapped = settings.config.wrapped || asks("cluster_id") || asks("show_all");
                let list = if is_wrapped { &settings.list_wrapped } else { &settings.list };
                written(invalid_name("account", account).unwrap_or_else(|| Answer::ok(list.clone())))
            }
            Route::Summary => page(JSON, statistics::summary(&self.book)),
            Route::Statistics => {
                let apps = has_field(head.uri.query(), "apps");
                page(JSON, statistics::statistics(&self.book, &self.rate, apps))
            }
            Route::Metrics => page(METRICS, statistics::metrics(&self.book, &self.rate)),
            Route::OpenApi => page(JSON, OPENAPI),
            Route::Docs => page(HTML, DOCS),
        }
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Answer> {
        let limit = self.limits.body_max_bytes;
        let too_long = || {
            let text = format!("the body of the request is longer than body_max_bytes, {limit}");
            Answer::error(413, text)
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_long());
        }
        match tokio::time::timeout(self.limits.read_timeout, Limited::new(body, limit).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
            Ok(Err(error)) => Err(Answer::error(400, format!("the body of the request broke off: {error}"))),
            Err(_) => {
                let limit = self.limits.read_timeout;
                Err(Answer::error(408, format!("the body did not come within read_timeout, {limit:?}")))
            }
        }
    }
}

/// Whether a query has the field, with whatever value but 0.
fn has_field(query: Option<&str>, name: &str) -> bool {
    query.unwrap_or_default().split('&').any(|pair| match pair.split_once('=') {
        Some((field, value)) => field == name && value != "0",
        None => pair == name,
    })
}

fn invalid_name(parameter: &'static str, name: &str) -> Option<Answer> {
    let invalid = || Answer::invalid(&["path", parameter], format!("not a name; {NAME_RULE}"), "value_error.str.regex");
    (!is_name(name)).then(invalid)
}

fn response(status: u16, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn written(answer: Answer) -> Response<Full<Bytes>> {
    response(answer.status, JSON, answer.body)
}

fn page(content_type: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(200, content_type, text.into())
}

/// What is left of a body is not read.
fn closing(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn redirected(body: Incoming, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let to = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut response = response(307, JSON, Bytes::new());
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    if body.is_end_stream() { response } else { closing(response) }
}

fn refused(body: Incoming, answer: Answer) -> Response<Full<Bytes>> {
    if body.is_end_stream() { written(answer) } else { closing(written(answer)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_what_they_name() {
        let servo = |account: &'static str, app: &'static str| {
            Some(Route::Servo { account: Cow::Borrowed(account), app: Cow::Borrowed(app) })
        };
        assert_eq!(Route::at("/accounts/a/applications/app00000/servo"), servo("a", "app00000"));
        assert_eq!(Route::at("/accounts/a%2E/applications/%61pp/servo"), servo("a.", "app"));
        assert_eq!(Route::at("/accounts/a/applications/a%2Fb/servo"), servo("a", "a/b"));
        assert_eq!(Route::at("/accounts/a/applications/%zz%/servo"), servo("a", "%zz%"));
        assert_eq!(Route::at("/accounts/a/applications/%ff/servo"), servo("a", "%ff"));
        for path in ["/accounts/a/applications/b/c/servo", "/accounts/a/applications/servo", "/accounts/a", "/x", ""] {
            assert_eq!(Route::at(path), None, "{path}");
        }
    }

    #[test]
    fn the_description_names_every_route_and_method_and_no_other() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = description["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 7);
        for (path, methods) in paths {
            let concrete = path.replace("{account}", "a").replace("{app}", "b");
            let (_, method) = Route::at(&concrete).unwrap().method();
            let methods: Vec<_> = methods.as_object().unwrap().keys().filter(|key| *key != "parameters").collect();
            assert_eq!(methods, [&method.to_lowercase()], "{path}");
        }
        assert!(!DOCS.contains("//cdn") && !DOCS.contains("http://") && !DOCS.contains("https://"));
    }
}
