//! Pages as answers.

use axum::body::Body;
use hyper::header::{HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

/// A page with 200.
pub(super) fn html(page: String) -> Response<Body> {
    with_status(StatusCode::OK, page)
}

/// A page with another status.
pub(super) fn with_status(status: StatusCode, page: String) -> Response<Body> {
    nuncius_serve::answer(status, "text/html; charset=utf-8", page).map(Body::new)
}

/// Leads a browser to another page, after a form was sent.
pub(super) fn see_other(to: &str) -> Response<Body> {
    let mut answer = with_status(StatusCode::SEE_OTHER, String::new());
    if let Ok(value) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(LOCATION, value);
    }
    answer
}
