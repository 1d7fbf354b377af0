//! The latest traces, bounded in bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// 16 bytes, as OTLP has them.
pub(crate) type TraceId = [u8; 16];
/// 8 bytes.
pub(crate) type SpanId = [u8; 8];

/// What a span costs beyond its bytes.
const SPAN_EXTRA_BYTES: usize = 64;

/// Who made a span.
#[derive(Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) service: String,
    pub(crate) attributes: Vec<KeyValue>,
}

/// A span, by whom and with what it was made.
#[derive(Debug)]
pub(crate) struct KeptSpan {
    pub(crate) span: Span,
    pub(crate) process: Arc<Process>,
    pub(crate) scope: Arc<InstrumentationScope>,
    bytes: usize,
}

/// The spans that came of one trace, by their ids: one that is sent again counts once.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) spans: BTreeMap<SpanId, KeptSpan>,
    /// Spans beyond the limit, which are not kept.
    pub(crate) left_out: u64,
    bytes: usize,
    touched: u64,
}

/// All that is held.
#[derive(Debug)]
pub(crate) struct Kept {
    traces: HashMap<TraceId, Trace>,
    /// The same by when they were added to last.
    by_age: BTreeMap<u64, TraceId>,
    bytes: usize,
    bytes_max: usize,
    trace_spans_max: usize,
    /// Counts additions: the trace with the smallest was added to longest ago.
    clock: u64,
}

impl Kept {
    pub(crate) fn new(bytes_max: usize, trace_spans_max: usize) -> Self {
        Self { traces: HashMap::new(), by_age: BTreeMap::new(), bytes: 0, bytes_max, trace_spans_max, clock: 0 }
    }

    /// Takes the spans of one export; how many had no ids, or ids of another length, and were not taken.
    pub(crate) fn add(&mut self, request: ExportTraceServiceRequest) -> usize {
        let mut refused = 0;
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = text_of(&attributes, "service.name").unwrap_or("unknown_service").to_owned();
            let process = Arc::new(Process { service, attributes });
            for scope in resource.scope_spans {
                let made_with = Arc::new(scope.scope.unwrap_or_default());
                for span in scope.spans {
                    match (<TraceId>::try_from(&*span.trace_id), <SpanId>::try_from(&*span.span_id)) {
                        (Ok(trace), Ok(id)) => self.add_span(trace, id, span, &process, &made_with),
                        _ => refused += 1,
                    }
                }
            }
        }
        self.make_room();
        refused
    }

    fn add_span(
        &mut self,
        trace: TraceId,
        id: SpanId,
        span: Span,
        process: &Arc<Process>,
        scope: &Arc<InstrumentationScope>,
    ) {
        self.clock += 1;
        self.by_age.insert(self.clock, trace);
        let trace = self.traces.entry(trace).or_default();
        self.by_age.remove(&std::mem::replace(&mut trace.touched, self.clock));
        if trace.spans.len() >= self.trace_spans_max && !trace.spans.contains_key(&id) {
            trace.left_out += 1;
            return;
        }
        let bytes = span.encoded_len() + SPAN_EXTRA_BYTES;
        let kept = KeptSpan { span, process: Arc::clone(process), scope: Arc::clone(scope), bytes };
        let before = trace.spans.insert(id, kept).map_or(0, |span| span.bytes);
        trace.bytes = trace.bytes + bytes - before;
        self.bytes = self.bytes + bytes - before;
    }

    /// Forgets the traces that were added to longest ago.
    fn make_room(&mut self) {
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { return };
            self.bytes -= self.traces.remove(&oldest).map_or(0, |trace| trace.bytes);
        }
    }

    pub(crate) fn trace(&self, id: &TraceId) -> Option<&Trace> {
        self.traces.get(id)
    }

    pub(crate) fn traces(&self) -> impl Iterator<Item = (&TraceId, &Trace)> {
        self.traces.iter()
    }

    /// All spans, of whichever trace.
    pub(crate) fn spans(&self) -> impl Iterator<Item = &KeptSpan> {
        self.traces.values().flat_map(|trace| trace.spans.values())
    }
}

/// The text of an attribute.
fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        Value::BoolValue(_)
        | Value::IntValue(_)
        | Value::DoubleValue(_)
        | Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    pub(crate) fn text(key: &str, value: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    /// A span of trace `trace` (its id ends so) that lasts a millisecond.
    pub(crate) fn span(trace: u8, id: u8, parent: Option<u8>, name: &str) -> Span {
        Span {
            trace_id: [&[0; 15][..], &[trace]].concat(),
            span_id: [&[0; 7][..], &[id]].concat(),
            parent_span_id: parent.map(|parent| [&[0; 7][..], &[parent]].concat()).unwrap_or_default(),
            name: name.to_owned(),
            start_time_unix_nano: 1_000_000_000 + u64::from(id) * 1_000_000,
            end_time_unix_nano: 1_001_000_000 + u64::from(id) * 1_000_000,
            ..Span::default()
        }
    }

    pub(crate) fn export(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let resource = Some(Resource { attributes: vec![text("service.name", service)], ..Resource::default() });
        let scope = InstrumentationScope { name: "nuncius".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }
    }

    fn ids(kept: &Kept) -> Vec<u8> {
        let mut ids: Vec<u8> = kept.traces().map(|(id, _)| id[15]).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_span_that_is_sent_again_counts_once() {
        let mut kept = Kept::new(1 << 20, 100);
        for _ in 0..2 {
            assert_eq!(kept.add(export("client", vec![span(1, 1, None, "run"), span(1, 2, Some(1), "get")])), 0);
        }
        assert_eq!(kept.spans().count(), 2);
        let bytes: usize = kept.spans().map(|span| span.bytes).sum();
        assert_eq!(kept.bytes, bytes);
    }

    #[test]
    fn the_trace_that_nothing_was_added_to_for_longest_goes_first() {
        let one = span(1, 1, None, "run").encoded_len() + SPAN_EXTRA_BYTES;
        let mut kept = Kept::new(3 * one, 100);
        for trace in [1, 2, 3] {
            kept.add(export("client", vec![span(trace, 1, None, "run")]));
        }
        // The first grows, so the second is now the oldest.
        kept.add(export("client", vec![span(1, 2, None, "run")]));
        assert_eq!(ids(&kept), [1, 3]);
        assert_eq!(kept.bytes, 3 * one);
    }

    #[test]
    fn spans_beyond_the_limit_of_a_trace_are_counted_and_not_kept() {
        let mut kept = Kept::new(1 << 20, 2);
        kept.add(export("client", (1..=5).map(|id| span(1, id, None, "get")).collect()));
        let trace = kept.traces().next().unwrap().1;
        assert_eq!((trace.spans.len(), trace.left_out), (2, 3));
    }

    #[test]
    fn spans_without_ids_are_refused_and_told() {
        let mut kept = Kept::new(1 << 20, 100);
        let nameless = Span { name: "lost".to_owned(), ..Span::default() };
        assert_eq!(kept.add(export("client", vec![nameless, span(1, 1, None, "run")])), 1);
        assert_eq!(kept.spans().count(), 1);
    }
}
