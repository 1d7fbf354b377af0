//! A process with an endpoint: the global functions. Alone in its file: what is global can be set once.

use std::time::Duration;

use nuncius_telemetry::{
    LogFormat, Signal, SpanKind, SpanRecord, TelemetryOptions, init, is_recording, out_box, parse_traceparent,
    record_span, send, traceparent,
};
use nuncius_testkit::OtlpReceiver;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::Message;

#[tokio::test]
async fn spans_log_lines_and_metrics_reach_the_receiver_of_the_same_runtime_thread() {
    let receiver = OtlpReceiver::start().await.unwrap();
    let endpoint = receiver.endpoint();
    let environment = move |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
        // Each its own way.
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL" => Some("grpc".to_owned()),
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION" => Some("gzip".to_owned()),
        _ => None,
    };
    let telemetry = init(TelemetryOptions {
        service_name: "nuncius-test".to_owned(),
        log_format: LogFormat::Json,
        colour: false,
        log_filter: Some("warn".to_owned()),
        resource: Vec::new(),
        environment: &environment,
    })
    .unwrap();
    assert!(telemetry.is_exporting() && is_recording() && out_box().is_none());
    let (trace_id, span_id, _) = parse_traceparent(&traceparent(0x77, 0x88, true)).unwrap();
    record_span(SpanRecord::new(trace_id, span_id, "request", SpanKind::Client, 5, 6));
    tracing::warn!(node = "n1", "it is gone");
    let metrics = ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics::default()] };
    assert!(send(Signal::Metrics, metrics.encode_to_vec().into()));
    // The receiver needs this very thread, so the wait for it must be elsewhere.
    tokio::task::spawn_blocking(move || telemetry.flush_and_shutdown(Duration::from_secs(10))).await.unwrap().unwrap();
    let spans = receiver.wait_for(|spans| spans.len() == 1, Duration::from_secs(10)).await.unwrap();
    assert_eq!((spans[0].name.as_str(), spans[0].kind), ("request", 3));
    assert_eq!(spans[0].trace_id, format!("{:032x}", 0x77));
    let lines = receiver.wait_for_logs(|lines| lines.len() == 1, Duration::from_secs(10)).await.unwrap();
    assert_eq!((lines[0].body.as_str(), lines[0].attributes["node"].as_str()), ("it is gone", "n1"));
    assert_eq!((lines[0].target.as_str(), lines[0].severity.as_str()), ("configured", "WARN"));
    assert!(receiver.wait_for_metrics(|metrics| metrics.len() == 1, Duration::from_secs(10)).await.is_some());
}
