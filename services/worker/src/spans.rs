//! The spans of a job on the worker: how long it waited, what was done with it, and the run itself. They hang under the
//! submission's span, so that every attempt at a job is in one trace.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions for messaging (NATS has none of its own).

use nuncius_bus::Bus;
use nuncius_jobs::{Finish, Taken};
use nuncius_schemas::job::JobResult;
use nuncius_schemas::subjects::job_consumer;
use nuncius_telemetry::{OpenSpan, Operation, SpanKind, SpanRecord, Value, is_recording, messaging, parse_traceparent};

use crate::attempt::Bench;

/// When the parts of an attempt were, by this machine's clock.
pub(crate) struct Parts {
    /// When its message came.
    pub(crate) received_unix_ns: u64,
    pub(crate) begun_unix_ns: u64,
    pub(crate) ran_until_unix_ns: u64,
}

/// The id of the attempt's span, where its submission is sampled and spans leave this process.
pub(crate) fn span_id(taken: &Taken) -> Option<u64> {
    if !is_recording() {
        return None;
    }
    let (_, _, sampled) = parse_traceparent(taken.traceparent.as_deref()?)?;
    sampled.then(|| fastrand::u64(1..))
}

/// The trace context of the attempt.
pub(crate) fn traceparent(taken: &Taken, span_id: u64) -> Option<String> {
    let (trace_id, _, _) = parse_traceparent(taken.traceparent.as_deref()?)?;
    Some(nuncius_telemetry::traceparent(trace_id, span_id, true))
}

/// The work that an emulated device does for an attempt, until it has answered.
pub(crate) fn request_device(bus: &Bus, device: &str, traceparent: Option<&str>) -> OpenSpan {
    let template = || bus.namespace().device_run("{device}");
    let subject = || bus.namespace().device_run(device);
    let attributes = || messaging("nats", "request", Operation::Send, subject(), Some(template()));
    OpenSpan::child_of(traceparent, SpanKind::Client, || format!("request {}", template()), attributes)
}

/// Tells the spans of an attempt that has ended: the job's wait in the queue, its receipt, the work on it, and within
/// that the run of the workload.
pub(crate) fn record(
    bench: &Bench,
    taken: &Taken,
    result: &JobResult,
    span_id: u64,
    parts: &Parts,
    finish: Option<Finish>,
) {
    let Some((trace_id, parent_span_id, _)) = taken.traceparent.as_deref().and_then(parse_traceparent) else { return };
    let namespace = bench.bus.namespace().as_str();
    let template = format!("{namespace}.job.{}", bench.queue);
    let of_job = || -> Vec<(&'static str, Value)> {
        vec![
            ("messaging.message.id", taken.id.clone().into()),
            ("messaging.client.id", bench.worker.clone().into()),
            ("nuncius.queue", bench.queue.clone().into()),
            ("nuncius.job.attempt", i64::from(taken.attempt).into()),
        ]
    };
    let common = |operation: &'static str, kind: Operation| -> Vec<(&'static str, Value)> {
        let mut attributes = messaging("nats", operation, kind, template.clone(), None);
        attributes.push(("messaging.consumer.group.name", job_consumer(taken.priority).into()));
        attributes.extend(of_job());
        attributes
    };
    let told = |name: &str, kind: SpanKind, attributes, (start_unix_ns, end_unix_ns): (u64, u64)| {
        let name = format!("{name} {template}");
        let record = SpanRecord::new(trace_id, fastrand::u64(1..), name, kind, start_unix_ns, end_unix_ns);
        nuncius_telemetry::record_span(SpanRecord { parent_span_id, attributes, ..record });
    };
    let received_unix_ns = parts.received_unix_ns.min(parts.begun_unix_ns);
    let wait_from = u64::try_from(taken.submitted_unix_ns).unwrap_or(0).min(received_unix_ns);
    // An attempt beyond the first waited since it was tried before, which is not known here: its wait begins with the
    // job.
    told("wait", SpanKind::Internal, of_job(), (wait_from, received_unix_ns));
    let receipt = (received_unix_ns, parts.begun_unix_ns);
    told("receive", SpanKind::Client, common("receive", Operation::Receive), receipt);
    let mut attributes = common("process", Operation::Process);
    attributes.push(("nuncius.node", bench.node.clone().into()));
    attributes.push(("nuncius.pod", bench.pod.clone().into()));
    let outcome = match finish {
        Some(Finish::Recorded(status)) => status.name(),
        Some(Finish::Retried(_)) => "retried",
        Some(Finish::Superseded) => "superseded",
        Some(Finish::Repeated) => "repeated",
        None => "returned",
    };
    attributes.push(("nuncius.job.outcome", outcome.into()));
    nuncius_telemetry::record_span(SpanRecord {
        parent_span_id,
        attributes,
        error: result.error.clone(),
        ..SpanRecord::new(
            trace_id,
            span_id,
            format!("process {template}"),
            SpanKind::Consumer,
            parts.begun_unix_ns,
            nuncius_bus::clock::unix_ns(),
        )
    });
    let workload = bench.workload.name();
    let mut attributes: Vec<(&'static str, Value)> = vec![("process.executable.path", workload.to_owned().into())];
    if let Some(exit_code) = result.exit_code {
        attributes.push(("process.exit.code", i64::from(exit_code).into()));
    }
    if let Some(signal) = result.signal {
        attributes.push(("nuncius.job.signal", i64::from(signal).into()));
    }
    if let Some(device) = &result.device {
        attributes.push(("nuncius.device", device.clone().into()));
    }
    let name = workload.rsplit('/').next().unwrap_or(workload);
    nuncius_telemetry::record_span(SpanRecord {
        parent_span_id: span_id,
        attributes,
        error: result.error.clone(),
        ..SpanRecord::new(
            trace_id,
            fastrand::u64(1..),
            format!("execute {name}"),
            SpanKind::Internal,
            parts.begun_unix_ns,
            parts.ran_until_unix_ns,
        )
    });
}
