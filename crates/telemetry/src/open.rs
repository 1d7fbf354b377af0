//! Spans whose end is yet to come, for calls and messages: without `tracing`, whose spans cost more and show in each
//! line of the log.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::Value;

use crate::context::{current_traceparent, parse_traceparent, traceparent};
use crate::record::{SpanKind, SpanRecord, is_recording, record_span};

/// A span that is under way; told when it is dropped. Nothing where nothing is exported, or its parent is not sampled.
#[derive(Debug, Default)]
pub struct OpenSpan(Option<Box<SpanRecord>>);

impl OpenSpan {
    /// A span that is not told.
    pub fn none() -> Self {
        Self(None)
    }

    /// A child of the sampled span that a `traceparent` names.
    pub fn child_of<N: Into<Cow<'static, str>>>(
        parent: Option<&str>,
        kind: SpanKind,
        name: impl FnOnce() -> N,
        attributes: impl FnOnce() -> Vec<(&'static str, Value)>,
    ) -> Self {
        if !is_recording() {
            return Self(None);
        }
        let Some((trace_id, parent_span_id, true)) = parent.and_then(parse_traceparent) else { return Self(None) };
        let now_ns = unix_ns();
        let record = SpanRecord::new(trace_id, fastrand::u64(1..), name(), kind, now_ns, now_ns);
        Self(Some(Box::new(SpanRecord { parent_span_id, attributes: attributes(), ..record })))
    }

    /// A child of the current `tracing` span.
    pub fn child_of_current<N: Into<Cow<'static, str>>>(
        kind: SpanKind,
        name: impl FnOnce() -> N,
        attributes: impl FnOnce() -> Vec<(&'static str, Value)>,
    ) -> Self {
        if !is_recording() {
            return Self(None);
        }
        Self::child_of(current_traceparent().as_deref(), kind, name, attributes)
    }

    /// What a message carries so that its receiver's spans become children of this one.
    pub fn traceparent(&self) -> Option<String> {
        self.0.as_ref().map(|record| traceparent(record.trace_id, record.span_id, true))
    }

    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.0 {
            record.attributes.push((key, value.into()));
        }
    }

    /// Ends it untold.
    pub fn forget(mut self) {
        self.0 = None;
    }

    /// Has to do with a message of this trace and span, and is no child of it.
    pub fn link(&mut self, trace_id: u128, span_id: u64) {
        if let Some(record) = &mut self.0 {
            record.links.push((trace_id, span_id));
        }
    }

    /// It failed: `kind` is one of few (`error.type`), `problem` for people.
    pub fn fail(&mut self, kind: impl Into<Value>, problem: impl Into<String>) {
        if let Some(record) = &mut self.0 {
            record.attributes.push(("error.type", kind.into()));
            record.error = Some(problem.into());
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut record) = self.0.take() {
            // The clock may have been set back.
            record.end_unix_ns = unix_ns().max(record.start_unix_ns);
            record_span(*record);
        }
    }
}

pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
