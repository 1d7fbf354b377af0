//! From spans and log records to messages of OTLP, none longer than it may be.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

mod spans;

pub(crate) use spans::SpanEncoder;

/// Tags and lengths around the items of a message, at most.
const FRAME_BYTES: usize = 64;
/// Tag and length of one item.
const ITEM_BYTES: usize = 5;

/// A message, and how many items are in it.
pub(crate) struct Encoded {
    pub(crate) message: Bytes,
    pub(crate) items: u64,
}

/// What came of a batch.
pub(crate) struct Encoding {
    pub(crate) messages: Vec<Encoded>,
    /// Items that no message can hold.
    pub(crate) too_long: u64,
}

/// What a process says of itself.
pub(crate) fn resource_of(attributes: &[(String, String)]) -> Resource {
    let pair = |(key, value): &(String, String)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.clone())) }),
        ..KeyValue::default()
    };
    Resource { attributes: attributes.iter().map(pair).collect(), ..Resource::default() }
}

/// Messages of log records, each with the part of the program that it comes from.
pub(crate) fn logs(records: Vec<(&'static str, LogRecord)>, resource: &Resource, limit_bytes: usize) -> Encoding {
    let fixed = resource.encoded_len() + FRAME_BYTES;
    let size = |(target, record): &(&str, LogRecord)| record.encoded_len() + target.len() + FRAME_BYTES;
    split(records.into_iter(), size, fixed, limit_bytes, |records| {
        let mut scope_logs: Vec<ScopeLogs> = Vec::new();
        for (target, record) in records {
            let is_of = |logs: &&mut ScopeLogs| logs.scope.as_ref().is_some_and(|scope| scope.name == target);
            match scope_logs.iter_mut().find(is_of) {
                Some(logs) => logs.log_records.push(record),
                None => {
                    let scope = InstrumentationScope { name: target.to_owned(), ..InstrumentationScope::default() };
                    scope_logs.push(ScopeLogs {
                        scope: Some(scope),
                        log_records: vec![record],
                        ..ScopeLogs::default()
                    });
                }
            }
        }
        let of_resource = ResourceLogs { resource: Some(resource.clone()), scope_logs, ..ResourceLogs::default() };
        ExportLogsServiceRequest { resource_logs: vec![of_resource] }.encode_to_vec()
    })
}

fn split<T>(
    items: impl Iterator<Item = T>,
    size_bytes: impl Fn(&T) -> usize,
    fixed_bytes: usize,
    limit_bytes: usize,
    encode: impl Fn(Vec<T>) -> Vec<u8>,
) -> Encoding {
    let room = limit_bytes.saturating_sub(fixed_bytes);
    let mut encoding = Encoding { messages: Vec::new(), too_long: 0 };
    let mut group = Vec::new();
    let mut group_bytes = 0;
    let mut close = |group: Vec<T>| {
        if !group.is_empty() {
            let items = group.len() as u64;
            encoding.messages.push(Encoded { message: Bytes::from(encode(group)), items });
        }
    };
    for item in items {
        let bytes = size_bytes(&item) + ITEM_BYTES;
        if bytes > room {
            encoding.too_long += 1;
            continue;
        }
        if group_bytes + bytes > room {
            close(std::mem::take(&mut group));
            group_bytes = 0;
        }
        group_bytes += bytes;
        group.push(item);
    }
    close(group);
    encoding
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use opentelemetry_sdk::trace::SpanData;

    use super::*;
    use crate::record::{SpanKind, SpanRecord};

    const LIMIT_BYTES: usize = 4_096;

    fn resource() -> Resource {
        let value = AnyValue { value: Some(Value::StringValue("nuncius-test".to_owned())) };
        let name = KeyValue { key: "service.name".to_owned(), value: Some(value), ..KeyValue::default() };
        Resource { attributes: vec![name], ..Resource::default() }
    }

    fn spans(spans: Vec<SpanData>) -> Encoding {
        let attributes = [("service.name".to_owned(), "nuncius-test".to_owned())];
        SpanEncoder::new(&attributes).unwrap().encode(spans, LIMIT_BYTES)
    }

    fn span(number: u64, name_bytes: usize) -> SpanData {
        SpanRecord::new(1, number, "x".repeat(name_bytes), SpanKind::Client, 1, 2).into_span_data()
    }

    #[test]
    fn every_span_is_in_one_message_and_no_message_is_longer_than_it_may_be() {
        let all: Vec<SpanData> = (1..=500).map(|number| span(number, number as usize % 700)).collect();
        let encoding = spans(all);
        assert_eq!(encoding.too_long, 0);
        let mut ids = Vec::new();
        for Encoded { message, items } in &encoding.messages {
            assert!(message.len() <= LIMIT_BYTES, "{}", message.len());
            let request = ExportTraceServiceRequest::decode(message.clone()).unwrap();
            let [of_resource] = request.resource_spans.as_slice() else { panic!("{request:?}") };
            assert_eq!(of_resource.resource, Some(resource()));
            let spans: Vec<&Span> = of_resource.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
            assert_eq!(spans.len() as u64, *items);
            ids.extend(spans.iter().map(|span| u64::from_be_bytes(span.span_id.as_slice().try_into().unwrap())));
        }
        assert_eq!(ids, (1..=500).collect::<Vec<u64>>());
        assert!(encoding.messages.len() < 160, "messages are filled: {}", encoding.messages.len());
    }

    #[test]
    fn what_no_message_can_hold_is_left_out_and_counted() {
        let encoding = spans(vec![span(1, 10), span(2, 5_000), span(3, 10)]);
        let items: u64 = encoding.messages.iter().map(|message| message.items).sum();
        assert_eq!((encoding.too_long, items), (1, 2));
    }

    #[test]
    fn log_records_keep_the_part_of_the_program_that_they_come_from() {
        let record = |number: u64| LogRecord { time_unix_nano: number, ..LogRecord::default() };
        let records = vec![("nuncius_client", record(1)), ("nuncius_bus", record(2)), ("nuncius_client", record(3))];
        let encoding = logs(records, &resource(), LIMIT_BYTES);
        let request = ExportLogsServiceRequest::decode(encoding.messages[0].message.clone()).unwrap();
        let scopes: Vec<(String, usize)> = request.resource_logs[0]
            .scope_logs
            .iter()
            .map(|logs| (logs.scope.as_ref().unwrap().name.clone(), logs.log_records.len()))
            .collect();
        assert_eq!(scopes, [("nuncius_client".to_owned(), 2), ("nuncius_bus".to_owned(), 1)]);
    }
}
