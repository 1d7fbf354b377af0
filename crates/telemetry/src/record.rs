//! Spans of the hot path: measured first, told afterwards.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind as OtelKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::export::ExportQueue;

/// The scope that all of Nuncius's spans carry.
pub(crate) const SCOPE: &str = "nuncius";

/// Most links of a span, as OpenTelemetry's own limit has it.
pub const LINKS_MAX: usize = 128;

/// The process's queue; empty for ever when nothing is exported.
static QUEUE: OnceLock<Arc<ExportQueue>> = OnceLock::new();

static INSTRUMENTATION_SCOPE: LazyLock<InstrumentationScope> =
    LazyLock::new(|| InstrumentationScope::builder(SCOPE).build());

pub(crate) fn install(queue: Arc<ExportQueue>) {
    // A second queue cannot come: the subscriber is set once, and before this.
    let _ = QUEUE.set(queue);
}

/// What a span was for, in OpenTelemetry's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// A request to somebody, waited for.
    Client,
    /// The same, of who answers it.
    Server,
    /// A message handed over, not waited for.
    Producer,
    /// A message worked on.
    Consumer,
    /// Neither.
    Internal,
}

/// A finished span whose ids were chosen beforehand (they travelled in a `traceparent`), and for which the sampling has
/// been decided: only sampled ones are made.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRecord {
    /// Not 0.
    pub trace_id: u128,
    /// Not 0.
    pub span_id: u64,
    /// 0 for a root.
    pub parent_span_id: u64,
    /// Few different ones: templates, not addresses.
    pub name: Cow<'static, str>,
    /// What it was for.
    pub kind: SpanKind,
    /// Nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// Nanoseconds since 1970.
    pub end_unix_ns: u64,
    /// Key and value.
    pub attributes: Vec<(&'static str, Value)>,
    /// Trace and span ids of what it has to do with and is no child of: the messages of a batch. Beyond
    /// [`LINKS_MAX`] they are dropped, and counted as OTLP has it.
    pub links: Vec<(u128, u64)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl SpanRecord {
    /// A root span without attributes that went well.
    pub fn new(
        trace_id: u128,
        span_id: u64,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        start_unix_ns: u64,
        end_unix_ns: u64,
    ) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: 0,
            name: name.into(),
            kind,
            start_unix_ns,
            end_unix_ns,
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn into_span_data(self) -> SpanData {
        let context = |trace_id, span_id, is_remote| {
            let (trace_id, span_id) = (TraceId::from(trace_id), SpanId::from(span_id));
            SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, is_remote, TraceState::NONE)
        };
        let mut links = SpanLinks::default();
        links.dropped_count = u32::try_from(self.links.len().saturating_sub(LINKS_MAX)).unwrap_or(u32::MAX);
        let linked = self.links.iter().take(LINKS_MAX);
        links.links.extend(linked.map(|(trace_id, span_id)| Link::with_context(context(*trace_id, *span_id, true))));
        SpanData {
            span_context: context(self.trace_id, self.span_id, false),
            parent_span_id: SpanId::from(self.parent_span_id),
            parent_span_is_remote: false,
            span_kind: match self.kind {
                SpanKind::Client => OtelKind::Client,
                SpanKind::Server => OtelKind::Server,
                SpanKind::Producer => OtelKind::Producer,
                SpanKind::Consumer => OtelKind::Consumer,
                SpanKind::Internal => OtelKind::Internal,
            },
            name: self.name,
            start_time: UNIX_EPOCH + Duration::from_nanos(self.start_unix_ns),
            end_time: UNIX_EPOCH + Duration::from_nanos(self.end_unix_ns),
            attributes: self.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: INSTRUMENTATION_SCOPE.clone(),
        }
    }
}

/// True when spans leave this process: ask before building a [`SpanRecord`].
pub fn is_recording() -> bool {
    QUEUE.get().is_some()
}

/// Hands a finished span to the exporter; does nothing when nothing is exported. Never waits: a span beyond the limit
/// of the queue (`OTEL_BSP_MAX_QUEUE_SIZE`, 65536) is dropped and counted. It goes past `tracing` and past the sampler.
pub fn record_span(record: SpanRecord) {
    if let Some(queue) = QUEUE.get() {
        queue.push(record.into_span_data());
    }
}
