//! The spans of what is answered here, children of the caller's where that is sampled. Others cost a look at a header.

use hyper::http::request::Parts;
use nuncius_bus::Message;
use nuncius_schemas::subjects::HEADER_TRACEPARENT;
use nuncius_telemetry::{OpenSpan, Operation, SpanKind, messaging};

/// A request over the bus; `template` is its subject with the varying parts in braces.
pub(crate) fn of_message(message: &Message, template: impl Fn() -> String) -> OpenSpan {
    let attributes = || messaging("nats", "process", Operation::Process, message.subject.clone(), Some(template()));
    let parent = message.headers.get(HEADER_TRACEPARENT);
    OpenSpan::child_of(parent, SpanKind::Server, || format!("process {}", template()), attributes)
}

/// A request over HTTP; `route` is its path with the varying parts in braces.
pub(crate) fn of_request(head: &Parts, route: Option<&'static str>) -> OpenSpan {
    let parent = head.headers.get(HEADER_TRACEPARENT).and_then(|value| value.to_str().ok());
    let name = || match route {
        Some(route) => format!("{} {route}", head.method),
        None => head.method.to_string(),
    };
    let attributes = || {
        let mut attributes = vec![
            ("http.request.method", head.method.to_string().into()),
            ("url.scheme", "http".into()),
            ("url.path", head.uri.path().to_owned().into()),
        ];
        attributes.extend(route.map(|route| ("http.route", route.into())));
        attributes
    };
    OpenSpan::child_of(parent, SpanKind::Server, name, attributes)
}

/// What was answered over HTTP: only a server's own failures are errors of its span.
pub(crate) fn answered(span: &mut OpenSpan, status: u16) {
    span.set("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.fail(status.to_string(), format!("status {status}"));
    }
}
