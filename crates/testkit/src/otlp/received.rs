//! What a receiver has received, in plain types, and how it behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use tokio::sync::watch;

/// One received span, in plain types. Ids are lower-case hex; an absent parent is the empty string; attribute values
/// are as text; times are unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, or empty for a root.
    pub parent_span_id: String,
    /// The span's name.
    pub name: String,
    /// OTLP's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Attributes of the span.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// Start, unix nanoseconds.
    pub start_ns: u64,
    /// End, unix nanoseconds.
    pub end_ns: u64,
    /// OTLP's number: 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// Trace ids and span ids this span links to.
    pub links: Vec<(String, String)>,
}

/// One received log record, in plain types, as [`Span`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What it says.
    pub body: String,
    /// `INFO`, `WARN`, …
    pub severity: String,
    /// The part of the program that it comes from.
    pub target: String,
    /// 32 hex digits, or empty.
    pub trace_id: String,
    /// 16 hex digits, or empty.
    pub span_id: String,
    /// Attributes of the record.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of its resource.
    pub resource: BTreeMap<String, String>,
}

/// How a receiver behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    #[default]
    Takes,
    /// Takes everything, so long after it was asked.
    Slow(Duration),
    /// Answers with this status of HTTP, or with that which gRPC has in its place, and asks for so long a pause.
    Answers {
        /// As 503.
        status: u16,
        /// `Retry-After`, or `RetryInfo`.
        retry_after: Option<Duration>,
    },
    /// Takes everything, and says that it did not want so many of the items.
    Rejects(i64),
    /// Accepts connections, and says nothing for ever.
    Silent,
}

/// What has been received, and how it behaves meanwhile.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) spans: watch::Sender<Vec<Span>>,
    pub(crate) logs: watch::Sender<Vec<LogLine>>,
    pub(crate) metrics: watch::Sender<Vec<ResourceMetrics>>,
    pub(crate) manner: watch::Sender<Manner>,
}
