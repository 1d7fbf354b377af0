//! The HTTP requests of a group, rendered once.

use bytes::Bytes;
use nuncius_schemas::spec::{Connections, Group, Method, Step, TlsOptions};

use super::PlanError;
use super::target::Target;

pub(super) const USER_AGENT: &str = concat!("nuncius/", env!("CARGO_PKG_VERSION"));

/// Longest head of a request, in bytes.
const REQUEST_HEAD_MAX_BYTES: usize = 64 * 1024;

/// Length of the value of a `traceparent`.
pub(crate) const TRACEPARENT_BYTES: usize = 55;

/// What an HTTP group does.
#[derive(Debug)]
pub(crate) struct HttpPlan {
    /// TLS.
    pub(crate) secure: bool,
    /// How the peer is checked.
    pub(crate) tls: Option<TlsOptions>,
    /// The name a TLS peer must have.
    pub(crate) server_name: String,
    /// Whether the general client runs it though the plain one could.
    pub(crate) general: bool,
    /// Every request has a connection of its own.
    pub(crate) per_request: bool,
    /// The requests of an iteration, in order; at least one.
    pub(crate) requests: Vec<RequestPlan>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct RequestPlan {
    /// May be sent twice without harm (RFC 9110, 9.2.2).
    pub(crate) idempotent: bool,
    /// Answers have no body.
    pub(crate) is_head: bool,
    pub(crate) expected: StatusSet,
    /// The whole request.
    pub(crate) plain: Vec<u8>,
    /// The whole request with a `traceparent` of zeros.
    pub(crate) sampled: Vec<u8>,
    /// Where in `sampled` the value of `traceparent` is.
    pub(crate) trace_at: usize,
}

/// A set of status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StatusSet([u64; 10]);

impl StatusSet {
    pub(crate) fn insert(&mut self, status: u16) {
        if let Some(word) = self.0.get_mut(usize::from(status / 64)) {
            *word |= 1 << (status % 64);
        }
    }

    #[inline]
    pub(crate) fn contains(&self, status: u16) -> bool {
        self.0.get(usize::from(status / 64)).is_some_and(|word| word >> (status % 64) & 1 == 1)
    }
}

/// The value of a sampled `traceparent` (W3C Trace Context, version 00).
pub(crate) fn traceparent(trace_id: u128, span_id: u64) -> String {
    format!("00-{trace_id:032x}-{span_id:016x}-01")
}

/// Writes `traceparent` without allocating; `out` is the 55 bytes of its value.
pub(crate) fn write_traceparent(out: &mut [u8], trace_id: u128, span_id: u64) {
    use std::io::Write;
    let mut out = out;
    // 55 bytes always fit: the template was made by `traceparent`.
    let _ = write!(out, "00-{trace_id:032x}-{span_id:016x}-01");
}

pub(super) fn plan_http(path: &str, group: &Group, target: &Target) -> Result<HttpPlan, PlanError> {
    let get = [Step::default()];
    let steps: &[Step] = if group.steps.is_empty() { &get } else { &group.steps };
    let requests = steps
        .iter()
        .enumerate()
        .map(|(index, step)| plan_request(path, &format!("{path}.steps[{index}]"), group, step, target))
        .collect::<Result<_, _>>()?;
    let named = group.tls.as_ref().and_then(|tls| tls.server_name.clone());
    Ok(HttpPlan {
        secure: target.secure,
        tls: group.tls.clone(),
        server_name: named.unwrap_or_else(|| target.host.clone()),
        general: false,
        per_request: group.connections == Connections::PerRequest,
        requests,
    })
}

fn plan_request(
    group_path: &str,
    step_path: &str,
    group: &Group,
    step: &Step,
    target: &Target,
) -> Result<RequestPlan, PlanError> {
    let method = step.method.as_ref().map_or("GET", Method::name).to_owned();
    let path = match &step.path {
        Some(path) => {
            let field = format!("{step_path}.path");
            check_line(&field, path, true)?;
            format!("{}{path}", target.path.trim_end_matches('/'))
        }
        None => format!("{}{}", if target.path.is_empty() { "/" } else { &target.path }, target.query),
    };
    // A fragment is the client's own affair and never sent.
    let path = path.split('#').next().unwrap_or_default().to_owned();
    if path.parse::<hyper::http::uri::PathAndQuery>().is_err() {
        let problem = "holds what a path cannot: percent-encode it".to_owned();
        return Err(PlanError::Field { field: format!("{step_path}.path"), problem });
    }
    let mut headers: Vec<(String, String)> =
        vec![("Host".to_owned(), target.authority.clone()), ("User-Agent".to_owned(), USER_AGENT.to_owned())];
    let given = [(group_path, &group.headers), (step_path, &step.headers)];
    for (path, name, value) in given.iter().flat_map(|(path, map)| map.iter().map(move |(n, v)| (path, n, v))) {
        let field = format!("{path}.headers.{name}");
        check_line(&field, value, false)?;
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    if group.connections == Connections::PerRequest {
        headers.push(("Connection".to_owned(), "close".to_owned()));
    }
    let body = match &step.body {
        Some(body) => Bytes::from(body.clone()),
        None => Bytes::new(),
    };
    let has_body = step.body.is_some() || ["POST", "PUT", "PATCH"].contains(&method.as_str());
    let mut expected = StatusSet::default();
    match &step.expect {
        Some(expect) => expect.status.codes().for_each(|status| expected.insert(status)),
        None => (200..400).for_each(|status| expected.insert(status)),
    }
    let (plain, _) = render(&method, &path, &headers, has_body.then_some(&body), false);
    let (sampled, trace_at) = render(&method, &path, &headers, has_body.then_some(&body), true);
    if sampled.len() - body.len() > REQUEST_HEAD_MAX_BYTES {
        let problem = format!("the head of the request has more than {REQUEST_HEAD_MAX_BYTES} bytes");
        return Err(PlanError::Field { field: step_path.to_owned(), problem });
    }
    Ok(RequestPlan {
        idempotent: ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(&method.as_str()),
        is_head: method == "HEAD",
        expected,
        plain,
        sampled,
        trace_at,
    })
}

/// A variable may bring in what would end the line; a request must not be split by it.
pub(super) fn check_line(field: &str, text: &str, no_spaces: bool) -> Result<(), PlanError> {
    let bad = |c: char| (c.is_control() && c != '\t') || (no_spaces && (c == ' ' || c == '\t'));
    if text.chars().any(bad) {
        let problem = "holds line ends, control characters or spaces that cannot be sent".to_owned();
        return Err(PlanError::Field { field: field.to_owned(), problem });
    }
    Ok(())
}

fn render(
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<&Bytes>,
    sampled: bool,
) -> (Vec<u8>, usize) {
    let mut out = format!("{method} {path} HTTP/1.1\r\n");
    for (name, value) in headers {
        if sampled && name.eq_ignore_ascii_case("traceparent") {
            continue;
        }
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    }
    let mut trace_at = 0;
    if sampled {
        out.push_str("traceparent: ");
        trace_at = out.len();
        out.push_str(&traceparent(0, 0));
        out.push_str("\r\n");
    }
    if let Some(body) = body {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    if let Some(body) = body {
        out.extend_from_slice(body);
    }
    (out, trace_at)
}
