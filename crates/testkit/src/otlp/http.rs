//! The receiver over HTTP (OTLP 1.0, "OTLP/HTTP Request").

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;

use super::{Manner, Received, plain};

pub(super) async fn answer(
    request: Request<Incoming>,
    received: Arc<Received>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let manner = received.manner.borrow().clone();
    let mut rejected = 0;
    match manner {
        Manner::Takes => {}
        Manner::Slow(pause) => tokio::time::sleep(pause).await,
        Manner::Silent => std::future::pending().await,
        Manner::Rejects(items) => rejected = items,
        Manner::Answers { status, retry_after } => {
            let mut answer = Response::new(Full::from("not now"));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if let Some(pause) = retry_after {
                answer.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().into());
            }
            return Ok(answer);
        }
    }
    let is_gzip = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let is_protobuf = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-protobuf");
    let taken = is_protobuf.then(|| unpacked(&body, is_gzip)).flatten().and_then(|body| take(&parts, &body, &received));
    let mut answer = Response::new(Full::default());
    match taken {
        Some(()) if rejected > 0 => {
            let partial =
                ExportTracePartialSuccess { rejected_spans: rejected, error_message: "not all of it".to_owned() };
            let response = ExportTraceServiceResponse { partial_success: Some(partial) };
            *answer.body_mut() = Full::from(response.encode_to_vec());
        }
        Some(()) => {}
        None => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(answer)
}

fn take(parts: &hyper::http::request::Parts, body: &[u8], received: &Received) -> Option<()> {
    match parts.uri.path() {
        "/v1/traces" => {
            let spans = plain::spans(Message::decode(body).ok()?);
            received.spans.send_modify(|all| all.extend(spans));
        }
        "/v1/logs" => {
            let lines = plain::logs(Message::decode(body).ok()?);
            received.logs.send_modify(|all| all.extend(lines));
        }
        "/v1/metrics" => {
            let request: opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest =
                Message::decode(body).ok()?;
            received.metrics.send_modify(|all| all.extend(request.resource_metrics));
        }
        _ => return None,
    }
    Some(())
}

fn unpacked(body: &[u8], is_gzip: bool) -> Option<Vec<u8>> {
    if !is_gzip {
        return Some(body.to_vec());
    }
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).ok()?;
    Some(plain)
}
