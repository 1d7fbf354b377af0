//! Answers and bodies: JSON with its tag, bounded bodies.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// How long a body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// JSON that no cache keeps.
pub(crate) fn fresh(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal(format!("the answer cannot be written: {error}")).into_response(),
    };
    let mut answer = Response::new(Body::from(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// JSON with a tag of what is in it: 304 to whoever has it.
pub(crate) fn tagged(asked: &HeaderMap, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_tag(asked, "application/json", bytes.into(), None),
        Err(error) => Problem::internal(format!("the answer cannot be written: {error}")).into_response(),
    }
}

/// Some bytes with a tag, which is made of them where there is none.
pub(crate) fn with_tag(asked: &HeaderMap, content_type: &'static str, bytes: Bytes, tag: Option<String>) -> Response {
    let tag = tag.unwrap_or_else(|| tag_of(&bytes));
    let mut answer = if has_tag(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut answer = Response::new(Body::from(bytes));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer
    };
    let headers = answer.headers_mut();
    // Kept, and asked for again each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    answer
}

/// The tag of some bytes.
pub(crate) fn tag_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Whether a request says that it has what this tag is of.
pub(crate) fn has_tag(asked: &HeaderMap, tag: &str) -> bool {
    let listed = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    listed
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The whole body of a request.
///
/// # Errors
/// More than `most_bytes`, or not in time; `what` it is of is told.
pub(crate) async fn body(body: Body, most_bytes: usize, what: &str) -> Result<Bytes, Problem> {
    use axum::body::HttpBody as _;
    let too_large = || {
        let text = format!("{what} may have at most {most_bytes} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text)
    };
    if body.size_hint().lower() > most_bytes as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_PATIENCE, axum::body::to_bytes(body, most_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Too much of it, or the peer went away and hears nothing.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let text = format!("the body of {what} did not come within {BODY_PATIENCE:?}");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_it_gets_it_not_again() {
        let mut asked = HeaderMap::new();
        let first = tagged(&asked, &"value");
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].clone();
        for value in [tag.to_str().unwrap().to_owned(), format!("\"x\", W/{}", tag.to_str().unwrap()), "*".to_owned()] {
            asked.insert(IF_NONE_MATCH, value.parse().unwrap());
            assert_eq!(tagged(&asked, &"value").status(), StatusCode::NOT_MODIFIED, "{value}");
        }
        asked.insert(IF_NONE_MATCH, "\"other\"".parse().unwrap());
        assert_eq!(tagged(&asked, &"value").headers()[ETAG], tag);
    }
}
