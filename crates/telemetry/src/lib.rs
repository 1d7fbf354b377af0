//! Logs on standard error and spans over OTLP, started once per process by [`init`] and ended by the guard it returns.
//!
//! Nothing is started that was not asked for: without an OTLP endpoint in the environment there is no thread, no
//! exporter, and [`record_span`] is one load. With one, a single thread of its own carries spans out, so that a program
//! on a runtime with one worker neither waits for it nor starves it. This crate must never write to standard output,
//! never block or end a process because a collector is away, and it knows no NATS: trace contexts travel as text.
//!
//! The environment: `NUNCIUS_LOG`, then `RUST_LOG` (default `info`); `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER`,
//! `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL` (`http/protobuf` alone), `_HEADERS`, `_TIMEOUT`, `_COMPRESSION` and their
//! `OTEL_EXPORTER_OTLP_TRACES_` forms; `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`.

mod context;
mod export;
mod init;
mod record;
mod settings;

pub use context::{context_from_traceparent, current_traceparent, ids_of, parse_traceparent, set_parent, traceparent};
pub use init::{LogFormat, Telemetry, TelemetryOptions, init};
pub use opentelemetry::Value;
pub use record::{SpanKind, SpanRecord, is_recording, record_span};

/// What went wrong with logs or spans.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A variable of the environment cannot be understood.
    #[error("{variable}=`{value}`: {problem}")]
    Variable {
        /// Its name.
        variable: &'static str,
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
    /// The exporter could not be built.
    #[error("the OTLP exporter for {endpoint} could not be built: {problem}")]
    Exporter {
        /// Where it should have sent to.
        endpoint: String,
        /// What is wrong.
        problem: String,
    },
    /// The exporter's thread could not be started.
    #[error("the thread that exports spans could not be started: {0}")]
    Thread(std::io::Error),
    /// Somebody has set the process's subscriber already.
    #[error("tracing is set up already in this process; call init once")]
    AlreadyInstalled,
    /// Spans were still unsent at the deadline.
    #[error("{unsent} spans were not sent within {deadline:?}; the OTLP endpoint may be away or slow")]
    Deadline {
        /// How long was waited.
        deadline: std::time::Duration,
        /// Spans that were queued or under way.
        unsent: u64,
    },
    /// Everything was tried, and some spans are lost.
    #[error("{dropped} spans were lost; the last failure: {reason}")]
    Lost {
        /// Since the start: beyond the limit of the queue, or refused by the endpoint.
        dropped: u64,
        /// The last failure.
        reason: String,
    },
}
