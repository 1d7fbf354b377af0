//! What Jaeger's pages read: the JSON of its query service.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use crate::kept::{Kept, KeptSpan, Process, Trace, TraceId};

/// The envelope of every answer.
pub(crate) fn enveloped(data: Vec<Value>) -> Value {
    json!({ "total": data.len(), "data": data, "limit": 0, "offset": 0, "errors": null })
}

/// A trace with all its spans.
pub(crate) fn trace(id: &TraceId, trace: &Trace) -> Value {
    // Spans of one export share their process; those of several may have equal ones.
    let mut processes: Vec<&Process> = Vec::new();
    let spans: Vec<Value> = trace
        .spans
        .values()
        .map(|kept| {
            let found = processes.iter().position(|process| **process == *kept.process);
            let number = found.unwrap_or_else(|| {
                processes.push(&kept.process);
                processes.len() - 1
            });
            span(kept, &process_id(number))
        })
        .collect();
    let processes: BTreeMap<String, Value> = processes
        .into_iter()
        .enumerate()
        .map(|(number, process)| {
            let tags: Vec<Value> = process.attributes.iter().filter(|tag| tag.key != "service.name").map(tag).collect();
            (process_id(number), json!({ "serviceName": process.service, "tags": tags }))
        })
        .collect();
    let warnings = (trace.left_out > 0).then(|| {
        vec![format!("{} further spans of this trace are not kept: it has more than the viewer holds", trace.left_out)]
    });
    json!({ "traceID": hex(id), "spans": spans, "processes": processes, "warnings": warnings })
}

fn process_id(number: usize) -> String {
    format!("p{}", number + 1)
}

fn span(kept: &KeptSpan, process: &str) -> Value {
    let span = &kept.span;
    let mut references = Vec::new();
    if !span.parent_span_id.is_empty() {
        references.push(reference("CHILD_OF", &span.trace_id, &span.parent_span_id));
    }
    references.extend(span.links.iter().map(|link| reference("FOLLOWS_FROM", &link.trace_id, &link.span_id)));
    let mut tags: Vec<Value> = span.attributes.iter().map(tag).collect();
    tags.extend(told_as_tags(kept));
    let logs: Vec<Value> = span
        .events
        .iter()
        .map(|event| {
            let name = json!({ "key": "event", "type": "string", "value": event.name });
            let fields: Vec<Value> = std::iter::once(name).chain(event.attributes.iter().map(tag)).collect();
            json!({ "timestamp": event.time_unix_nano / 1_000, "fields": fields })
        })
        .collect();
    json!({
        "traceID": hex(&span.trace_id),
        "spanID": hex(&span.span_id),
        "operationName": span.name,
        "references": references,
        "startTime": span.start_time_unix_nano / 1_000,
        "duration": duration_us(span),
        "tags": tags,
        "logs": logs,
        "processID": process,
        "warnings": null,
    })
}

/// Microseconds from start to end.
pub(crate) fn duration_us(span: &Span) -> u64 {
    span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) / 1_000
}

/// What OTLP has fields for and Jaeger shows as tags.
fn told_as_tags(kept: &KeptSpan) -> Vec<Value> {
    let text = |key: &str, value: &str| json!({ "key": key, "type": "string", "value": value });
    let mut tags = Vec::new();
    if let Some(kind) = kind(&kept.span) {
        tags.push(text("span.kind", kind));
    }
    if let Some(status) = &kept.span.status {
        match status.code() {
            StatusCode::Unset => {}
            StatusCode::Ok => tags.push(text("otel.status_code", "OK")),
            StatusCode::Error => {
                tags.push(text("otel.status_code", "ERROR"));
                tags.push(json!({ "key": "error", "type": "bool", "value": true }));
            }
        }
        if !status.message.is_empty() {
            tags.push(text("otel.status_description", &status.message));
        }
    }
    if !kept.scope.name.is_empty() {
        tags.push(text("otel.scope.name", &kept.scope.name));
    }
    tags
}

/// As Jaeger spells it; none where it is not told.
pub(crate) fn kind(span: &Span) -> Option<&'static str> {
    match span.kind() {
        SpanKind::Unspecified => None,
        SpanKind::Internal => Some("internal"),
        SpanKind::Server => Some("server"),
        SpanKind::Client => Some("client"),
        SpanKind::Producer => Some("producer"),
        SpanKind::Consumer => Some("consumer"),
    }
}

fn reference(kind: &str, trace: &[u8], span: &[u8]) -> Value {
    json!({ "refType": kind, "traceID": hex(trace), "spanID": hex(span) })
}

fn tag(attribute: &KeyValue) -> Value {
    let (kind, value) = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::BoolValue(value)) => ("bool", json!(value)),
        Some(Any::IntValue(value)) => ("int64", json!(value)),
        Some(Any::DoubleValue(value)) => ("float64", json!(value)),
        other => ("string", other.map_or(Value::Null, |value| json!(as_text(value)))),
    };
    json!({ "key": attribute.key, "type": kind, "value": value })
}

/// A value as one text; what is made of several as JSON.
pub(crate) fn as_text(value: &Any) -> String {
    match plain(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn plain(value: &Any) -> Value {
    let inner = |value: &AnyValue| value.value.as_ref().map_or(Value::Null, plain);
    match value {
        Any::StringValue(text) => json!(text),
        Any::BoolValue(value) => json!(value),
        Any::IntValue(value) => json!(value),
        Any::DoubleValue(value) => json!(value),
        Any::ArrayValue(list) => list.values.iter().map(inner).collect(),
        Any::KvlistValue(list) => {
            let pairs =
                list.values.iter().map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Value::Null, inner)));
            Value::Object(pairs.collect())
        }
        Any::BytesValue(bytes) => json!(hex(bytes)),
        // Of a table that OTLP has for profiles alone.
        Any::StringValueStrindex(index) => json!(index),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Everybody who made a span.
pub(crate) fn services(kept: &Kept) -> Vec<Value> {
    let services: BTreeSet<&str> = kept.spans().map(|span| span.process.service.as_str()).collect();
    services.into_iter().map(|service| json!(service)).collect()
}

/// The names of spans of a service, each with its kind.
pub(crate) fn operations(kept: &Kept, service: &str) -> BTreeSet<(String, &'static str)> {
    let of_it = kept.spans().filter(|span| span.process.service == service);
    of_it.map(|span| (span.span.name.clone(), kind(&span.span).unwrap_or_default())).collect()
}

/// Who calls whom, and how often: spans whose parent is another service's.
pub(crate) fn dependencies(kept: &Kept) -> Vec<Value> {
    let mut calls: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (_, trace) in kept.traces() {
        for child in trace.spans.values() {
            let parent = <[u8; 8]>::try_from(&*child.span.parent_span_id).ok().and_then(|id| trace.spans.get(&id));
            if let Some(parent) = parent.filter(|parent| parent.process.service != child.process.service) {
                *calls.entry((&parent.process.service, &child.process.service)).or_default() += 1;
            }
        }
    }
    calls
        .into_iter()
        .map(|((parent, child), count)| json!({ "parent": parent, "child": child, "callCount": count }))
        .collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Status;
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

    use super::*;
    use crate::kept::tests::{export, span as made, text};

    #[test]
    fn a_span_keeps_its_kind_status_links_events_and_attributes() {
        let mut get = made(7, 2, Some(1), "get");
        get.kind = SpanKind::Client.into();
        get.attributes = vec![text("http.route", "/a")];
        get.status = Some(Status { message: "refused".to_owned(), code: StatusCode::Error.into() });
        get.links = vec![Link { trace_id: vec![9; 16], span_id: vec![8; 8], ..Link::default() }];
        get.events = vec![Event { time_unix_nano: 1_002_500_000, name: "retried".to_owned(), ..Event::default() }];
        let mut kept = Kept::new(1 << 20, 100);
        kept.add(export("nuncius-client", vec![get]));
        let (id, found) = kept.traces().next().unwrap();
        let shown = trace(id, found);
        assert_eq!(shown["traceID"], "00000000000000000000000000000007");
        assert_eq!(shown["processes"]["p1"]["serviceName"], "nuncius-client");
        let span = &shown["spans"][0];
        assert_eq!((&span["startTime"], &span["duration"]), (&json!(1_002_000), &json!(1_000)));
        assert_eq!(
            span["references"][0],
            json!({ "refType": "CHILD_OF", "traceID": shown["traceID"], "spanID": "0000000000000001" })
        );
        assert_eq!(span["references"][1]["refType"], "FOLLOWS_FROM");
        assert_eq!(
            span["logs"][0],
            json!({ "timestamp": 1_002_500, "fields": [{ "key": "event", "type": "string", "value": "retried" }] })
        );
        let tags: BTreeMap<&str, &Value> =
            span["tags"].as_array().unwrap().iter().map(|tag| (tag["key"].as_str().unwrap(), &tag["value"])).collect();
        let expected = [
            ("error", json!(true)),
            ("http.route", json!("/a")),
            ("otel.scope.name", json!("nuncius")),
            ("otel.status_code", json!("ERROR")),
            ("otel.status_description", json!("refused")),
            ("span.kind", json!("client")),
        ];
        assert_eq!(tags.into_iter().map(|(key, value)| (key, value.clone())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn dependencies_are_the_edges_between_services() {
        let mut kept = Kept::new(1 << 20, 100);
        kept.add(export("nuncius-experimentd", vec![made(1, 1, None, "run"), made(1, 2, Some(1), "plan")]));
        kept.add(export("nuncius-client", vec![made(1, 3, Some(1), "get"), made(1, 4, Some(1), "get")]));
        let expected = json!([{ "parent": "nuncius-experimentd", "child": "nuncius-client", "callCount": 2 }]);
        assert_eq!(json!(dependencies(&kept)), expected);
        assert_eq!(services(&kept), ["nuncius-client", "nuncius-experimentd"]);
    }
}
