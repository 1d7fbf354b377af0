//! A process whose environment says nothing: what it tells waits in the out-box. Alone in its file: what is global can
//! be set once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_telemetry::{
    LogFormat, Losses, Signal, SpanKind, SpanRecord, TelemetryOptions, flush, init, is_recording, is_wanted, losses,
    out_box, record_span, resource, send,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

#[tokio::test]
async fn what_a_process_tells_waits_in_the_out_box_with_its_trace_and_its_experiment() {
    let environment = |name: &str| (name == "NUNCIUS_OTLP_QUEUE_MESSAGES").then(|| "3".to_owned());
    let telemetry = init(TelemetryOptions {
        service_name: "nuncius-test".to_owned(),
        log_format: LogFormat::Json,
        colour: false,
        log_filter: Some("info,noisy=off".to_owned()),
        resource: vec![("service.instance.id".to_owned(), "7".to_owned())],
        environment: &environment,
    })
    .unwrap();
    assert!(is_recording() && Signal::ALL.into_iter().all(is_wanted));
    let span = tracing::info_span!("run", nuncius.experiment.id = "e1", step = 3);
    let ids = nuncius_telemetry::ids_of(&span).unwrap();
    span.in_scope(|| {
        let inner = tracing::info_span!("inner");
        inner.in_scope(|| tracing::warn!(nodes = 2, share = 0.5, late = true, "one is {}", "away"));
    });
    tracing::info!(experiment = %"e2", "no span");
    tracing::debug!("not logged");
    tracing::warn!(target: "noisy", "not logged");
    tracing::warn!(target: "nuncius_telemetry::export", "not as telemetry");
    drop(span);
    record_span(SpanRecord::new(1, 2, "request", SpanKind::Client, 5, 6));
    flush().await;

    let out_box = out_box().unwrap();
    let spans = out_box.take().unwrap();
    assert_eq!(spans.signal, Signal::Traces);
    let request = ExportTraceServiceRequest::decode(spans.message.clone()).unwrap();
    let mut names: Vec<&str> =
        request.resource_spans[0].scope_spans[0].spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["inner", "request", "run"]);
    let told = out_box.take().unwrap();
    assert_eq!(told.signal, Signal::Logs);
    let request = ExportLogsServiceRequest::decode(told.message.clone()).unwrap();
    let [of_resource] = request.resource_logs.as_slice() else { panic!("{request:?}") };
    let attribute = |key: &str| {
        let attributes = &of_resource.resource.as_ref().unwrap().attributes;
        attributes.iter().find(|attribute| attribute.key == key).unwrap().value.clone().unwrap().value.unwrap()
    };
    assert_eq!(attribute("service.name"), Value::StringValue("nuncius-test".to_owned()));
    assert_eq!(attribute("service.instance.id"), Value::StringValue("7".to_owned()));
    assert_eq!(resource()[0], ("service.name".to_owned(), "nuncius-test".to_owned()));
    let records = &of_resource.scope_logs[0].log_records;
    assert_eq!(of_resource.scope_logs.iter().map(|scope| scope.log_records.len()).sum::<usize>(), 2, "{records:?}");
    let body = |index: usize| records[index].body.clone().unwrap().value.unwrap();
    assert_eq!(body(0), Value::StringValue("one is away".to_owned()));
    assert_eq!(records[0].severity_text, "WARN");
    assert_eq!(records[0].trace_id, ids.0.to_be_bytes());
    assert_eq!(records[0].span_id.len(), 8);
    let fields = |index: usize| {
        let attributes = records[index].attributes.iter();
        attributes.map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value.unwrap())).collect::<Vec<_>>()
    };
    let experiment = |id: &str| ("nuncius.experiment.id", Value::StringValue(id.to_owned()));
    assert_eq!(
        fields(0),
        [
            ("nodes", Value::IntValue(2)),
            ("share", Value::DoubleValue(0.5)),
            ("late", Value::BoolValue(true)),
            experiment("e1")
        ]
    );
    assert_eq!((body(1), fields(1)), (Value::StringValue("no span".to_owned()), vec![experiment("e2")]));
    assert!(records[1].trace_id.is_empty());
    drop((spans, told));
    tokio::time::timeout(Duration::from_secs(5), out_box.emptied()).await.unwrap();

    // Three messages fit; nobody carries them away.
    for _ in 0..5 {
        send(Signal::Metrics, Bytes::from_static(b"\n\0"));
    }
    record_span(SpanRecord::new(1, 2, "request", SpanKind::Client, 5, 6));
    flush().await;
    assert_eq!(losses(), Losses { spans: 1, log_records: 0, metric_messages: 2 });
    let begun = Instant::now();
    telemetry.flush_and_shutdown(Duration::from_secs(5)).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
}
