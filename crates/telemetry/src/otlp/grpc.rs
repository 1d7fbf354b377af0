//! OTLP over gRPC: unary calls over HTTP/2 (`grpc/grpc`, doc/PROTOCOL-HTTP2.md).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nuncius_schemas::subjects::Signal;

use super::answer::{self, ANSWER_MAX_BYTES, rejected_of};
use super::{Answer, SendError, Sender, answered, compressed};

/// Whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Statuses by their numbers; others are taken for `UNKNOWN`.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

/// Sends one message, and reads the answer.
pub(super) async fn send(sender: &Sender, message: &Bytes, patience: Duration) -> Result<Answer, SendError> {
    let dialer = &sender.dialer;
    let uri = Uri::builder().scheme(dialer.scheme()).authority(dialer.authority.as_str());
    let mut request = Request::post(uri.path_and_query(method(sender.signal)).build()?);
    if let Some(headers) = request.headers_mut() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-timeout", format!("{}m", patience.as_millis().min(99_999_999)).parse()?);
        if sender.gzip {
            headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        }
        sender.add_headers(headers);
    }
    let request = request.body(Full::new(framed(message, sender.gzip)?))?;
    let stream = TokioIo::new(dialer.connect().await?);
    let (mut requests, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    let answer = async {
        let (parts, body) = requests.send_request(request).await?.into_parts();
        let collected = Limited::new(body, ANSWER_MAX_BYTES).collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(judge(parts.status, &parts.headers, &trailers, &collected.to_bytes()))
    };
    answered(connection, answer).await
}

/// A message with what goes before it.
fn framed(message: &[u8], gzip: bool) -> Result<Bytes, SendError> {
    let own;
    let content = if gzip {
        own = compressed(message)?;
        own.as_slice()
    } else {
        message
    };
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + content.len());
    framed.put_u8(u8::from(gzip));
    framed.put_u32(u32::try_from(content.len())?);
    framed.put_slice(content);
    Ok(framed.freeze())
}

/// What an answer means (OTLP 1.0, "OTLP/gRPC Response").
fn judge(http: StatusCode, headers: &HeaderMap, trailers: &HeaderMap, body: &[u8]) -> Answer {
    // A call that fails at once has its status among the headers.
    let field = |name: &str| trailers.get(name).or_else(|| headers.get(name)).and_then(|value| value.to_str().ok());
    let Some(status) = field("grpc-status").and_then(|status| status.parse::<usize>().ok()) else {
        return without_status(http);
    };
    if status == 0 {
        return rejected_of(body.get(PREFIX_BYTES..).unwrap_or_default());
    }
    let name = NAMES.get(status).copied().unwrap_or("UNKNOWN");
    let words = field("grpc-message").map(|text| percent_encoding::percent_decode_str(text).decode_utf8_lossy());
    let words = answer::plain(&words.unwrap_or_default());
    let reason = if words.is_empty() { name.to_owned() } else { format!("{name}: {words}") };
    let after = field("grpc-status-details-bin").and_then(answer::retry_info);
    let is_passing = match name {
        "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS" => true,
        // Only where it says when.
        "RESOURCE_EXHAUSTED" => after.is_some(),
        _ => false,
    };
    if is_passing { Answer::Later { after, reason } } else { Answer::Refused { reason } }
}

/// Somebody between has answered, or somebody who speaks no gRPC.
fn without_status(http: StatusCode) -> Answer {
    let reason = format!("{http}, and no gRPC status");
    match http {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        // Cut off in the middle.
        | StatusCode::OK => Answer::Later { after: None, reason },
        _ => Answer::Refused { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: usize, more: &[(&'static str, &str)]) -> Answer {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.into());
        for (name, value) in more {
            trailers.insert(*name, value.parse().unwrap());
        }
        judge(StatusCode::OK, &HeaderMap::new(), &trailers, b"")
    }

    #[test]
    fn statuses_are_judged_as_the_specification_says() {
        for (status, name) in NAMES.iter().enumerate().skip(1) {
            let answer = answered(status, &[("grpc-message", "why%20not")]);
            let passes = [1, 4, 10, 11, 14, 15].contains(&status);
            match answer {
                Answer::Later { reason, .. } => assert!(passes && reason == format!("{name}: why not"), "{reason}"),
                Answer::Refused { reason } => assert!(!passes && reason.starts_with(name), "{reason}"),
                taken @ Answer::Taken { .. } => panic!("{name}: {taken:?}"),
            }
        }
        assert!(matches!(answered(0, &[]), Answer::Taken { rejected: 0, .. }));
        assert!(matches!(answered(99, &[]), Answer::Refused { .. }));
        // Status 8 with a RetryInfo of five seconds.
        let details = "CAgaLwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIDCgEI";
        assert!(matches!(answered(8, &[("grpc-status-details-bin", details)]), Answer::Refused { .. }), "damaged");
    }

    #[test]
    fn whoever_speaks_no_grpc_is_judged_by_its_http_status() {
        let empty = HeaderMap::new();
        assert!(matches!(judge(StatusCode::BAD_GATEWAY, &empty, &empty, b""), Answer::Later { .. }));
        assert!(matches!(judge(StatusCode::NOT_FOUND, &empty, &empty, b""), Answer::Refused { .. }));
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", 12.into());
        assert!(matches!(judge(StatusCode::OK, &headers, &empty, b""), Answer::Refused { .. }));
    }

    #[test]
    fn a_message_has_its_length_before_it() {
        assert_eq!(framed(b"abc", false).unwrap().as_ref(), b"\0\0\0\0\x03abc");
        let packed = framed(&[7; 1000], true).unwrap();
        assert_eq!((packed[0], u32::from_be_bytes(packed[1..5].try_into().unwrap()) as usize), (1, packed.len() - 5));
        assert!(packed.len() < 100);
    }
}
