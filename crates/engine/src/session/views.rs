//! Requests and answers as scripts see them, and back.

use bytes::Bytes;
use nuncius_script::{RequestView, ResponseView};

use crate::http::outgoing::{Body, Outgoing};
use crate::http::received::Received;

/// A request as scripts see it.
pub(super) fn view(outgoing: &Outgoing, url: &str) -> RequestView {
    let headers = outgoing.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let body = match &outgoing.body {
        Body::None => None,
        Body::Own => Some(Bytes::copy_from_slice(&outgoing.own_body)),
        Body::Shared(bytes) => Some(bytes.clone()),
    };
    RequestView { method: outgoing.method().to_owned(), url: url.to_owned(), headers, body, step: None }
}

/// The request that a script has made.
pub(super) fn make(outgoing: &mut Outgoing, request: &RequestView, path: &str) {
    outgoing.clear();
    outgoing.set_method(&request.method);
    outgoing.set_path(path);
    for (name, value) in &request.headers {
        outgoing.add(name, value);
    }
    outgoing.body = request.body.clone().map_or(Body::None, Body::Shared);
}

/// An answer as scripts see it.
pub(super) fn response(received: &Received, url: String) -> ResponseView {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    ResponseView {
        status: received.status(),
        headers: received.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: Bytes::copy_from_slice(received.body()),
        url,
    }
}
