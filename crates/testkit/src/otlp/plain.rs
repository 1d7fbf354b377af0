//! From OTLP to plain types.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as span;
use prost::Message;

use super::{LogLine, Span};

pub(super) fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.map(|r| r.attributes).unwrap_or_default());
        let service_name = resource.get("service.name").cloned().unwrap_or_default();
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_span_id: hex(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                service_name: service_name.clone(),
                attributes: attributes(span.attributes),
                resource: resource.clone(),
                start_ns: span.start_time_unix_nano,
                end_ns: span.end_time_unix_nano,
                status: span.status.map_or(0, |status| status.code),
                links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            });
        }
    }
    spans
}

pub(super) fn logs(request: ExportLogsServiceRequest) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for of_resource in request.resource_logs {
        let resource = attributes(of_resource.resource.map(|r| r.attributes).unwrap_or_default());
        for of_scope in of_resource.scope_logs {
            let target = of_scope.scope.map(|scope| scope.name).unwrap_or_default();
            for record in of_scope.log_records {
                lines.push(LogLine {
                    body: text(record.body),
                    severity: record.severity_text,
                    target: target.clone(),
                    trace_id: hex(&record.trace_id),
                    span_id: hex(&record.span_id),
                    attributes: attributes(record.attributes),
                    resource: resource.clone(),
                });
            }
        }
    }
    lines
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

/// The spans of a message; none of what is no such.
pub fn spans_in(message: &[u8]) -> Vec<Span> {
    ExportTraceServiceRequest::decode(message).map(spans).unwrap_or_default()
}

/// A message of spans, as a process would publish it: one span for each name, in one trace.
pub fn spans_message(service_name: &str, trace_id: u128, names: &[String]) -> Vec<u8> {
    let value = AnyValue { value: Some(Value::StringValue(service_name.to_owned())) };
    let service = KeyValue { key: "service.name".to_owned(), value: Some(value), ..KeyValue::default() };
    let spans = names.iter().zip(1u64..).map(|(name, id)| span::Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: name.clone(),
        ..span::Span::default()
    });
    let scope_spans = vec![span::ScopeSpans { spans: spans.collect(), ..span::ScopeSpans::default() }];
    let resource = Some(Resource { attributes: vec![service], ..Resource::default() });
    let resource_spans = vec![span::ResourceSpans { resource, scope_spans, ..span::ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
