//! Where the messages came from that the daemon works on in batches: their traces are linked to, for none of them is
//! the parent of the work on all.

use std::collections::BTreeSet;

use nuncius_bus::Headers;
use nuncius_schemas::subjects::HEADER_TRACEPARENT;
use nuncius_telemetry::{LINKS_MAX, OpenSpan, Operation, SpanKind, messaging, parse_traceparent};

/// The span of the work on all messages of a kind that nodes send in a run; told when it is dropped.
#[derive(Debug)]
pub(crate) struct Sources {
    span: OpenSpan,
    known: BTreeSet<(u128, u64)>,
    messages: i64,
}

impl Sources {
    /// Under the current span. `destination` has its varying parts in braces.
    pub(crate) fn of(destination: &str, experiment: &str) -> Self {
        let attributes = || {
            let template = destination.to_owned();
            let mut attributes = messaging("nats", "process", Operation::Process, template.clone(), Some(template));
            attributes.push(("nuncius.experiment.id", experiment.to_owned().into()));
            attributes
        };
        let span = OpenSpan::child_of_current(SpanKind::Consumer, || format!("process {destination}"), attributes);
        Self { span, known: BTreeSet::new(), messages: 0 }
    }

    /// Takes down where a message came from.
    pub(crate) fn note(&mut self, headers: &Headers) {
        self.messages += 1;
        if self.known.len() > LINKS_MAX {
            return;
        }
        let Some((trace_id, span_id, true)) = headers.get(HEADER_TRACEPARENT).and_then(parse_traceparent) else {
            return;
        };
        if self.known.insert((trace_id, span_id)) {
            self.span.link(trace_id, span_id);
        }
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.span.set("messaging.batch.message_count", self.messages);
    }
}
