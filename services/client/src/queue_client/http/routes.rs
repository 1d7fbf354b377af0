//! One query: whether it may be asked, what it does, what it is answered.

use std::net::SocketAddr;
use std::time::Instant;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use nuncius_serve::{Answer, answer as answer_of, head_bytes, sites};

use super::{Shared, form};
use crate::queue_client::page::{self, Output};
use crate::queue_client::statistics::{Overall, Statistics};

/// Longest part of a wrong value that is repeated in the answer, in characters.
const ECHO_CHARACTERS: usize = 100;
/// Nothing is loaded, nothing is framed, and forms lead here.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Home,
    Stats,
    Fails,
    Nodes,
    Pods,
    Parallel,
    RequestsPerSecond,
    Reset,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Home,
            "/stats" => Self::Stats,
            "/fails" => Self::Fails,
            "/nodes" => Self::Nodes,
            "/pods" => Self::Pods,
            // The second names are those of the first design document.
            "/parallel" | "/parallelism" => Self::Parallel,
            "/reqs-per-sec" | "/reqs-per-seq" => Self::RequestsPerSecond,
            "/reset" => Self::Reset,
            _ => return None,
        })
    }

    /// How it is written unless the query says otherwise. Reports of nodes and pods are text, for people and scripts.
    const fn output(self) -> Output {
        match self {
            Self::Nodes | Self::Pods => Output::Plain,
            Self::Home | Self::Stats | Self::Fails | Self::Parallel | Self::RequestsPerSecond | Self::Reset => {
                Output::Html
            }
        }
    }

    /// Methods that it takes.
    const fn allow(self) -> &'static str {
        match self {
            Self::Parallel | Self::Reset => "GET, POST",
            _ => "GET",
        }
    }
}

/// Why a query is not answered.
struct Refusal {
    status: StatusCode,
    problem: String,
    allow: Option<&'static str>,
}

fn refused(status: StatusCode, problem: impl Into<String>) -> Refusal {
    Refusal { status, problem: problem.into(), allow: None }
}

/// Names and values of the query and the form.
type Pairs = Vec<(String, String)>;

/// Answers one query and counts it; never fails, whatever was sent.
pub(super) async fn answer(request: Request<Incoming>, peer: SocketAddr, shared: &Shared) -> Answer {
    let (head, body) = request.into_parts();
    let asked = form::parse(head.uri.query().unwrap_or_default());
    let named = form::first(&asked, "type").map(str::to_owned);
    let own = || Page::at(head.uri.path()).map(Page::output).unwrap_or_default();
    let mut output = named.as_deref().and_then(Output::named).unwrap_or_else(own);
    let answered = respond(&head, body, asked, &mut output, peer, shared).await;
    shared.control.with(|statistics| statistics.count_query(answered.is_ok()));
    match answered {
        Ok(response) => response,
        Err(Refusal { status, problem, allow }) => {
            tracing::debug!(%peer, method = %head.method, %status, problem, "the control page refused a query");
            let mut response = written(status, output, page::error(output, &problem));
            if let Some(allow) = allow {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            }
            // What is left of its body is not read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

async fn respond(
    head: &Parts,
    body: Incoming,
    asked: Pairs,
    output: &mut Output,
    peer: SocketAddr,
    shared: &Shared,
) -> Result<Answer, Refusal> {
    let limits = &shared.limits;
    let head_bytes = head_bytes(head);
    if head_bytes > limits.header_max_bytes {
        let problem =
            format!("the head of the request has {head_bytes} bytes; header_max_bytes is {}", limits.header_max_bytes);
        return Err(refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, problem));
    }
    let is_post = head.method == Method::POST;
    let not_allowed = |allow| Refusal {
        allow: Some(allow),
        ..refused(StatusCode::METHOD_NOT_ALLOWED, format!("{} is not taken here; use {allow}", head.method))
    };
    if !is_post && head.method != Method::GET {
        return Err(not_allowed(Page::at(head.uri.path()).map_or("GET, POST", Page::allow)));
    }
    if !is_post && !body.is_end_stream() {
        return Err(refused(StatusCode::BAD_REQUEST, "a GET has no body; send values in the query, or use POST"));
    }
    let Some(asked_page) = Page::at(head.uri.path()) else {
        let pages = "/stats, /nodes, /pods, /fails, /reqs-per-sec, /parallel and /reset";
        return Err(refused(StatusCode::NOT_FOUND, format!("there is no such page; there are {pages}")));
    };
    if is_post && asked_page.allow() == "GET" {
        return Err(not_allowed("GET"));
    }
    let has_value = form::first(&asked, "value").is_some();
    let changes = is_post || asked_page == Page::Reset || (asked_page == Page::Parallel && has_value);
    if let Some(reason) = sites::foreign(&head.headers, changes, &limits.allowed_hosts) {
        return Err(refused(StatusCode::FORBIDDEN, format!("refused for another site: {reason}")));
    }
    // What the form says goes before what the address says.
    let mut pairs = if is_post { form::parse(&read_form(&head.headers, body, shared).await?) } else { Pairs::new() };
    pairs.extend(asked);
    if let Some(name) = form::first(&pairs, "type") {
        // One that is not known counts as none, as it always did.
        *output = Output::named(name).unwrap_or_else(|| asked_page.output());
    }
    if asked_page == Page::Home {
        return Ok(redirect(head.uri.query()));
    }
    let text = perform(asked_page, is_post, &pairs, *output, peer, shared)?;
    Ok(written(StatusCode::OK, *output, text))
}

fn perform(
    asked_page: Page,
    is_post: bool,
    pairs: &Pairs,
    output: Output,
    peer: SocketAddr,
    shared: &Shared,
) -> Result<String, Refusal> {
    let control = &shared.control;
    let now = Instant::now();
    // Reports are taken within the lock and written outside: the loop of requests must not wait for a page.
    let overall = || control.with(|statistics| statistics.overall(now));
    let nodes = || control.with(|statistics| statistics.nodes());
    Ok(match asked_page {
        Page::Home | Page::Stats => page::stats(output, &overall(), control.parallel_max()),
        Page::Nodes => page::nodes(output, &nodes()),
        Page::Pods => page::pods(output, &nodes()),
        Page::Fails => page::fails(output, control.with(|statistics| statistics.failed())),
        Page::RequestsPerSecond => {
            page::requests_per_second(output, control.with(|statistics| statistics.successful_per_second(now)))
        }
        Page::Reset => {
            log_before_reset(peer, &overall());
            control.with(Statistics::reset);
            page::reset(output)
        }
        Page::Parallel => match form::first(pairs, "value") {
            Some(value) => {
                let wanted = parallel_of(value)?;
                log_before_reset(peer, &overall());
                let parallel = control.set_parallel(wanted);
                tracing::info!(%peer, wanted, parallel, "parallelism was changed");
                page::parallel(output, parallel)
            }
            None if is_post => {
                return Err(refused(StatusCode::BAD_REQUEST, "value is missing; send value=N, as in value=4"));
            }
            None => page::parallel(output, control.with(|statistics| statistics.parallel())),
        },
    })
}

fn log_before_reset(peer: SocketAddr, overall: &Overall) {
    let Overall { successful, failed, pending, elapsed_seconds, .. } = overall;
    tracing::info!(%peer, successful, failed, pending, elapsed_seconds, "statistics are reset");
}

/// A whole number as parallelism. What is beyond the type is lowered or raised to its limits.
fn parallel_of(value: &str) -> Result<u32, Refusal> {
    let text = value.trim();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let problem = format!("value={} is not a whole number; write one such as 4", echo(value));
        return Err(refused(StatusCode::BAD_REQUEST, problem));
    }
    // All digits: too many of them is all that can be wrong.
    Ok(if is_negative { 0 } else { digits.parse().unwrap_or(u32::MAX) })
}

/// The beginning of a wrong value, on one line.
fn echo(value: &str) -> String {
    value.chars().take(ECHO_CHARACTERS).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The body of a POST.
async fn read_form(headers: &HeaderMap, body: Incoming, shared: &Shared) -> Result<String, Refusal> {
    let limits = &shared.limits;
    let is_form = headers.get(CONTENT_TYPE).is_none_or(|value| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(FORM_TYPE)
    });
    if !is_form {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body must be of type {FORM_TYPE}")));
    }
    let too_long = || {
        let problem = format!("the body is too long; body_max_bytes is {}", limits.body_max_bytes);
        refused(StatusCode::PAYLOAD_TOO_LARGE, problem)
    };
    if body.size_hint().lower() > limits.body_max_bytes as u64 {
        return Err(too_long());
    }
    let read = Limited::new(body, limits.body_max_bytes).collect();
    match tokio::time::timeout(limits.read_timeout, read).await {
        Ok(Ok(whole)) => Ok(String::from_utf8_lossy(&whole.to_bytes()).into_owned()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(refused(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))),
        Err(_) => {
            let problem = format!("the body did not come within read_timeout, {:?}", limits.read_timeout);
            Err(refused(StatusCode::REQUEST_TIMEOUT, problem))
        }
    }
}

fn redirect(query: Option<&str>) -> Answer {
    // Relative, so that it leads there behind a proxy that serves this page below a path of its own, too.
    let target = query.map_or_else(|| "stats".to_owned(), |query| format!("stats?{query}"));
    let target = HeaderValue::from_str(&target).unwrap_or(HeaderValue::from_static("stats"));
    let mut response = written(StatusCode::FOUND, Output::Plain, "the statistics are at /stats\n".to_owned());
    response.headers_mut().insert(LOCATION, target);
    response
}

fn written(status: StatusCode, output: Output, text: String) -> Answer {
    let mut response = answer_of(status, output.content_type(), text);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
