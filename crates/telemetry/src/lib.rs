//! Logs on standard error, and spans, metrics and log records on their way out, started once per process by [`init`]
//! and ended by the guard it returns.
//!
//! Everything leaves as messages of OTLP: into the [`OutBox`], which somebody else carries to the bus, or to the
//! receiver that the environment names. A single thread of its own encodes and sends, so that a program on a runtime
//! with one worker neither waits for it nor starves it. This crate must never write to standard output, never block or
//! end a process because a receiver is away, never make telemetry about its own sending, and it knows no NATS: trace
//! contexts travel as text, messages as bytes.
//!
//! The environment: `NUNCIUS_LOG`, then `RUST_LOG` (default `info`); `OTEL_SDK_DISABLED`; `OTEL_TRACES_EXPORTER`,
//! `OTEL_METRICS_EXPORTER`, `OTEL_LOGS_EXPORTER` (`otlp` or `none`); `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL`
//! (`http/protobuf`, `grpc`), `_HEADERS`, `_TIMEOUT`, `_COMPRESSION`, and the forms of these for one signal, as in
//! `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`; `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BLRP_MAX_QUEUE_SIZE`; `OTEL_SERVICE_NAME`,
//! `OTEL_RESOURCE_ATTRIBUTES`; `NUNCIUS_OTLP_MESSAGE_BYTES`, `NUNCIUS_OTLP_QUEUE_BYTES`,
//! `NUNCIUS_OTLP_QUEUE_MESSAGES`.

mod context;
mod encode;
mod export;
mod init;
mod logs;
mod messaging;
mod open;
pub mod otlp;
mod out_box;
mod process;
mod record;
mod settings;

pub use context::{
    context_from_traceparent, current_traceparent, ids_of, parse_traceparent, sampled_ids_of, set_parent, traceparent,
};
pub use export::Losses;
pub use init::{LogFormat, Telemetry, TelemetryOptions, init};
pub use messaging::{Operation, messaging};
pub use nuncius_schemas::subjects::Signal;
pub use open::OpenSpan;
pub use opentelemetry::Value;
pub use out_box::{OutBox, OutBoxLimits, Parcel};
pub use process::{flush, is_wanted, lose, losses, out_box, resource, send};
pub use record::{LINKS_MAX, SpanKind, SpanRecord, is_recording, record_span};
pub use settings::{check_endpoint, pairs};

/// What went wrong with logs or spans.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A variable of the environment cannot be understood.
    #[error("{variable}=`{value}`: {problem}")]
    Variable {
        /// Its name.
        variable: String,
        /// Its value; headers are not shown.
        value: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The filter of the logs cannot be understood.
    #[error("log filter `{filter}`: {problem}; write a level, or target=level separated by commas")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong.
        problem: String,
    },
    /// Nothing can be sent to a receiver that was named.
    #[error("nothing can be sent by OTLP to {endpoint}: {problem}")]
    Exporter {
        /// Where it should have gone.
        endpoint: String,
        /// What is wrong.
        problem: String,
    },
    /// The exporter's thread could not be started.
    #[error("the thread that exports telemetry could not be started: {0}")]
    Thread(std::io::Error),
    /// Somebody has set the process's subscriber already.
    #[error("tracing is set up already in this process; call init once")]
    AlreadyInstalled,
    /// Something was still unsent at the deadline.
    #[error("{unsent} spans and log records were not sent within {deadline:?}; the OTLP endpoint may be away or slow")]
    Deadline {
        /// How long was waited.
        deadline: std::time::Duration,
        /// Spans, log records and messages of metrics that were queued or under way.
        unsent: u64,
    },
    /// Everything was tried, and something is lost.
    #[error(
        "{spans} spans, {log_records} log records and {metric_messages} messages of metrics were lost; the last \
         failure: {reason}"
    )]
    Lost {
        /// Spans since the start: beyond the limit of the queue, or refused by the endpoint.
        spans: u64,
        /// The same of log records.
        log_records: u64,
        /// The same of messages of metrics.
        metric_messages: u64,
        /// The last failure.
        reason: String,
    },
}
