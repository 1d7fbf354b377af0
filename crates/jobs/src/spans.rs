//! The spans of what is published and acknowledged around a job, where its trace is sampled.

use nuncius_bus::Bus;
use nuncius_telemetry::{OpenSpan, Operation, SpanKind, messaging};

/// The terminal record on its way into the books: what the client's receipt of it becomes a child of.
pub(crate) fn send_record(bus: &Bus, queue: &str, job: &str, parent: Option<&str>) -> OpenSpan {
    let destination = || format!("{}.record.{queue}", bus.namespace().as_str());
    let kind = SpanKind::Producer;
    of_job(parent, kind, ("send", Operation::Send), destination, job)
}

/// The answer to the queue that gave the job: `ack` or `nack`.
pub(crate) fn settle(bus: &Bus, queue: &str, job: &str, name: &'static str, parent: Option<&str>) -> OpenSpan {
    let destination = || format!("{}.job.{queue}", bus.namespace().as_str());
    of_job(parent, SpanKind::Client, (name, Operation::Settle), destination, job)
}

/// A record as its client receives it.
pub(crate) fn receive_record(bus: &Bus, queue: &str, job: &str, parent: Option<&str>) -> OpenSpan {
    let destination = || format!("{}.result.{queue}", bus.namespace().as_str());
    let kind = SpanKind::Consumer;
    of_job(parent, kind, ("process", Operation::Process), destination, job)
}

fn of_job(
    parent: Option<&str>,
    kind: SpanKind,
    (name, operation): (&'static str, Operation),
    destination: impl Fn() -> String,
    job: &str,
) -> OpenSpan {
    let attributes = || {
        let mut attributes = messaging("nats", name, operation, destination(), None);
        attributes.push(("messaging.message.id", job.to_owned().into()));
        attributes
    };
    OpenSpan::child_of(parent, kind, || format!("{name} {}", destination()), attributes)
}
