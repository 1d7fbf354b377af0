//! A process with an endpoint: the global functions. Alone in its file: what is global can be set once.

use std::time::Duration;

use nuncius_telemetry::{
    LogFormat, SpanKind, SpanRecord, TelemetryOptions, init, is_recording, parse_traceparent, record_span, traceparent,
};
use nuncius_testkit::OtlpReceiver;

#[tokio::test]
async fn the_global_functions_reach_the_receiver_of_the_same_runtime_thread() {
    let receiver = OtlpReceiver::start().await.unwrap();
    let endpoint = format!("{}/v1/traces", receiver.endpoint());
    let environment = move |name: &str| (name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").then(|| endpoint.clone());
    let telemetry = init(TelemetryOptions {
        service_name: "nuncius-test".to_owned(),
        log_format: LogFormat::Json,
        colour: false,
        log_filter: Some("warn".to_owned()),
        resource: Vec::new(),
        environment: &environment,
    })
    .unwrap();
    assert!(telemetry.is_exporting() && is_recording());
    let (trace_id, span_id, _) = parse_traceparent(&traceparent(0x77, 0x88, true)).unwrap();
    record_span(SpanRecord::new(trace_id, span_id, "request", SpanKind::Client, 5, 6));
    // The receiver needs this very thread, so the wait for it must be elsewhere.
    tokio::task::spawn_blocking(move || telemetry.flush_and_shutdown(Duration::from_secs(10))).await.unwrap().unwrap();
    let spans = receiver.wait_for(|spans| spans.len() == 1, Duration::from_secs(10)).await.unwrap();
    assert_eq!((spans[0].name.as_str(), spans[0].kind), ("request", 3));
    assert_eq!(spans[0].trace_id, format!("{:032x}", 0x77));
}
