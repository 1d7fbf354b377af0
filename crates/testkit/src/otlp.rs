//! A receiver of OTLP spans over HTTP with protobuf, as Jaeger or a collector would be.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tokio::sync::watch;

/// One received span, in plain types. Ids are lower-case hex; an absent parent is the empty string; attribute values
/// are as text; times are unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, or empty for a root.
    pub parent_span_id: String,
    /// The span's name.
    pub name: String,
    /// OTLP's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Attributes of the span.
    pub attributes: BTreeMap<String, String>,
    /// Start, unix nanoseconds.
    pub start_ns: u64,
    /// End, unix nanoseconds.
    pub end_ns: u64,
    /// OTLP's number: 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// Trace ids and span ids this span links to.
    pub links: Vec<(String, String)>,
}

/// Listens on a free port of 127.0.0.1 until dropped.
#[derive(Debug)]
pub struct OtlpReceiver {
    endpoint: String,
    spans: watch::Receiver<Vec<Span>>,
    task: tokio::task::JoinHandle<()>,
}

impl OtlpReceiver {
    /// Binds and starts to listen; gzip is accepted.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (sender, spans) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let task = tokio::spawn(async move {
            // A receiver that ends early shows as spans that never come.
            while let Ok((stream, _)) = listener.accept().await {
                let sender = Arc::clone(&sender);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&sender)));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { endpoint, spans, task })
    }

    /// `http://127.0.0.1:<port>`, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All spans so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }

    /// Waits until `predicate` holds for all spans so far; the spans, or `None` once `deadline` (from now) has passed.
    pub async fn wait_for(&self, predicate: impl Fn(&[Span]) -> bool, deadline: Duration) -> Option<Vec<Span>> {
        let mut spans = self.spans.clone();
        let found = tokio::time::timeout(deadline, spans.wait_for(|spans| predicate(spans))).await;
        found.ok()?.ok().map(|spans| spans.clone())
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes `POST /v1/traces` (OTLP 1.0, "OTLP/HTTP Request").
async fn answer(
    request: Request<Incoming>,
    spans: Arc<watch::Sender<Vec<Span>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_gzip = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let received = (parts.uri.path() == "/v1/traces").then(|| decode(&body, is_gzip)).flatten();
    let mut answer = Response::new(Full::default());
    match received {
        Some(received) => spans.send_modify(|spans| spans.extend(plain(received))),
        None => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(answer)
}

fn decode(body: &[u8], is_gzip: bool) -> Option<ExportTraceServiceRequest> {
    if !is_gzip {
        return ExportTraceServiceRequest::decode(body).ok();
    }
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).ok()?;
    ExportTraceServiceRequest::decode(plain.as_slice()).ok()
}

fn plain(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let labels = attributes(resource.resource.map(|r| r.attributes).unwrap_or_default());
        let service_name = labels.get("service.name").cloned().unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_span_id: hex(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                service_name: service_name.clone(),
                attributes: attributes(span.attributes),
                start_ns: span.start_time_unix_nano,
                end_ns: span.end_time_unix_nano,
                status: span.status.map_or(0, |status| status.code),
                links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            });
        }
    }
    spans
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    list.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
