//! OTLP over HTTP/1.1: one POST to a path.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

use super::answer::{self, ANSWER_MAX_BYTES, rejected_of};
use super::{Answer, SendError, Sender, answered, compressed};

/// Sends one message, and reads the answer.
pub(super) async fn send(sender: &Sender, message: &Bytes) -> Result<Answer, SendError> {
    let dialer = &sender.dialer;
    let mut request = Request::post(dialer.path.as_str());
    if let Some(headers) = request.headers_mut() {
        // The path alone, and the host as a header (RFC 9112, 3.2.1).
        headers.insert(header::HOST, dialer.authority.parse()?);
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-protobuf"));
        if sender.gzip {
            headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        }
        sender.add_headers(headers);
    }
    let body = if sender.gzip { Bytes::from(compressed(message)?) } else { message.clone() };
    let request = request.body(Full::new(body))?;
    let stream = dialer.connect().await?;
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (parts, body) = requests.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?.to_bytes();
        Ok(judge(parts.status, &parts.headers, &body))
    };
    answered(connection, answer).await
}

/// What an answer means (OTLP 1.0, "OTLP/HTTP Response").
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if status.is_success() {
        return rejected_of(body);
    }
    let words = answer::words_of(body);
    let reason = if words.is_empty() { status.to_string() } else { format!("{status}: {words}") };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Answer::Later { after: after.and_then(answer::retry_after), reason }
        }
        _ => Answer::Refused { reason },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_may_be_tried_again_is_told_from_what_may_not_with_the_time_that_was_asked_for() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static("7"));
        for status in [429, 502, 503, 504] {
            let answer = judge(StatusCode::from_u16(status).unwrap(), &headers, b"");
            let Answer::Later { after, .. } = answer else { panic!("{status}: {answer:?}") };
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
        for status in [300, 400, 401, 403, 404, 408, 413, 500, 501] {
            let answer = judge(StatusCode::from_u16(status).unwrap(), &headers, b"no\nthanks");
            let Answer::Refused { reason } = answer else { panic!("{status}: {answer:?}") };
            assert!(reason.contains("no thanks"), "{reason}");
        }
        let taken = Answer::Taken { rejected: 0, message: String::new() };
        assert_eq!(judge(StatusCode::OK, &headers, b""), taken);
    }
}
