//! A receiver of OTLP spans over gRPC, as Jaeger or a collector would be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;

/// One received span, in plain types. Ids are lower-case hex; an absent parent is the empty string; attribute values are
/// as text; times are unix nanoseconds.
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

struct Collector(Arc<watch::Sender<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let received = plain(request.into_inner());
        self.0.send_modify(|spans| spans.extend(received));
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

impl OtlpReceiver {
    /// Binds and starts to listen; gzip is accepted.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (sender, spans) = watch::channel(Vec::new());
        let service = TraceServiceServer::new(Collector(Arc::new(sender))).accept_compressed(CompressionEncoding::Gzip);
        let task = tokio::spawn(async move {
            // A receiver that ends early shows as spans that never come.
            let server = tonic::transport::Server::builder();
            let _ = server.serve_with_incoming(service, TcpIncoming::from(listener)).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::{resource::v1::Resource, trace::v1 as wire};

    #[tokio::test]
    async fn a_compressed_span_arrives_as_a_plain_struct() {
        let receiver = OtlpReceiver::start().await.unwrap();
        let string = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
        let span = wire::Span {
            trace_id: vec![1; 16],
            span_id: vec![0xab; 8],
            name: "work".to_owned(),
            kind: 5,
            start_time_unix_nano: 10,
            end_time_unix_nano: 30,
            ..Default::default()
        };
        let resource = Resource {
            attributes: vec![KeyValue {
                key: "service.name".to_owned(),
                value: string("nuncius-test"),
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![wire::ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![wire::ScopeSpans { spans: vec![span], ..Default::default() }],
                ..Default::default()
            }],
        };
        let channel = tonic::transport::Endpoint::from_shared(receiver.endpoint().to_owned()).unwrap();
        let mut client =
            TraceServiceClient::new(channel.connect().await.unwrap()).send_compressed(CompressionEncoding::Gzip);
        client.export(request).await.unwrap();
        let spans = receiver.wait_for(|spans| !spans.is_empty(), Duration::from_secs(5)).await.unwrap();
        assert_eq!(spans[0].service_name, "nuncius-test");
        assert_eq!(spans[0].span_id, "abababababababab");
        assert_eq!((spans[0].kind, spans[0].end_ns, spans[0].parent_span_id.as_str()), (5, 30, ""));
    }
}
