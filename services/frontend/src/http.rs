//! The frontend's HTTP face: `/metrics` for autoscalers, which must not depend on a gateway, and `/healthz` for probes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use nuncius_bus::Bus;
use nuncius_serve::{Answer, HttpLimits, answer, head_bytes};

use crate::metrics;
use crate::view::Shared;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = nuncius_metrics::expose::Format::Text.content_type();

/// What the pages are made from.
pub(crate) struct Pages {
    pub(crate) bus: Bus,
    pub(crate) view: Arc<Shared>,
    pub(crate) interval: Option<Duration>,
    pub(crate) limits: HttpLimits,
}

/// GET only, no body, no long heads.
pub(crate) fn respond(request: Request<Incoming>, pages: &Pages) -> Answer {
    let (head, body) = request.into_parts();
    let limit = pages.limits.header_max_bytes;
    let refuse = |status, text: String| answer(status, TEXT, format!("ERROR: {text}\n"));
    if head_bytes(&head) > limit {
        let text = format!("the head of the request is longer than header_max_bytes, {limit}");
        return refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text);
    }
    if head.method != Method::GET {
        let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, format!("{} is not taken here; use GET", head.method));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return answer;
    }
    if !body.is_end_stream() {
        return refuse(StatusCode::BAD_REQUEST, "a GET has no body".to_owned());
    }
    match head.uri.path() {
        "/metrics" => {
            let text = metrics::render(&mut pages.view.lock(), pages.interval, Instant::now());
            answer(StatusCode::OK, METRICS, text)
        }
        "/healthz" if pages.bus.connected_for().is_zero() => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "no connection to NATS at present".to_owned())
        }
        "/healthz" => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
        _ => refuse(StatusCode::NOT_FOUND, "there is no such page; there are /metrics and /healthz".to_owned()),
    }
}
