//! The gateway: what it hears, shows and exports, and what it had to leave out.

use crate::{Metric, Unit};

/// Series of the last rendering.
pub const SERIES: Metric =
    Metric::gauge("nuncius_gateway_series", Unit::None, &[], "Series of the last rendering.").of_gateway();

/// Series beyond the limit of a family, which are told together under `other`.
pub const FOLDED_SERIES: Metric = Metric::gauge(
    "nuncius_gateway_folded_series",
    Unit::None,
    &["family"],
    "Series beyond the limit of a family, which are told together under `other`.",
)
.of_gateway();

/// What was heard of metrics and left out, by why.
pub const REFUSED_METRICS: Metric = Metric::counter(
    "nuncius_gateway_refused_metrics_total",
    Unit::None,
    &["reason"],
    "What was heard of metrics and left out, by why.",
)
.of_gateway();

/// Processes whose metrics are shown.
pub const PROCESSES: Metric =
    Metric::gauge("nuncius_gateway_processes", Unit::None, &[], "Processes whose metrics are shown.").of_gateway();

/// Runs that have series.
pub const RUNS: Metric = Metric::gauge("nuncius_gateway_runs", Unit::None, &[], "Runs that have series.").of_gateway();

/// Runs that have no series, because there are too many.
pub const LEFT_OUT_RUNS: Metric = Metric::gauge(
    "nuncius_gateway_left_out_runs",
    Unit::None,
    &[],
    "Runs that have no series, because there are too many.",
)
.of_gateway();

/// Changes of seconds so old that the gateway had forgotten them: left out.
pub const LATE_SECONDS: Metric = Metric::counter(
    "nuncius_gateway_late_seconds_total",
    Unit::None,
    &[],
    "Changes of seconds so old that the gateway had forgotten them: left out.",
)
.of_gateway();

/// Messages that could not be read, by what they should have been.
pub const UNREADABLE_MESSAGES: Metric = Metric::counter(
    "nuncius_gateway_unreadable_messages_total",
    Unit::None,
    &["what"],
    "Messages that could not be read, by what they should have been.",
)
.of_gateway();

/// Scrapes that were answered, by format: openmetrics, text, protobuf.
pub const SCRAPES: Metric = Metric::counter(
    "nuncius_gateway_scrapes_total",
    Unit::None,
    &["format"],
    "Scrapes that were answered, by format: openmetrics, text, protobuf.",
)
.of_gateway();

/// Scrapes that were refused because too many were under way.
pub const REFUSED_SCRAPES: Metric = Metric::counter(
    "nuncius_gateway_refused_scrapes_total",
    Unit::None,
    &[],
    "Scrapes that were refused because too many were under way.",
)
.of_gateway();

/// How long the last rendering took.
pub const RENDERING_SECONDS: Metric =
    Metric::gauge("nuncius_gateway_rendering_seconds", Unit::Seconds, &[], "How long the last rendering took.")
        .of_gateway();

/// Size of the last rendering.
pub const RENDERED_BYTES: Metric =
    Metric::gauge("nuncius_gateway_rendered_bytes", Unit::Bytes, &["format"], "Size of the last rendering.")
        .of_gateway();

/// Frontends that tell of a queue: more than one is one too many.
pub const QUEUE_HOLDERS: Metric = Metric::gauge(
    "nuncius_queue_holders",
    Unit::None,
    &["queue"],
    "Frontends that tell of a queue: more than one is one too many.",
)
.of_gateway();

/// Messages of traces, metrics and logs that were heard on the bus.
pub const OTLP_MESSAGES: Metric = Metric::counter(
    "nuncius_gateway_otlp_messages_total",
    Unit::None,
    &["signal"],
    "Messages of traces, metrics and logs that were heard on the bus.",
)
.of_gateway();

/// Messages of traces, metrics and logs that a collector took.
pub const EXPORTED_MESSAGES: Metric = Metric::counter(
    "nuncius_gateway_exported_messages_total",
    Unit::None,
    &["signal"],
    "Messages of traces, metrics and logs that a collector took.",
)
.of_gateway();

/// Tries to export that failed.
pub const EXPORT_ERRORS: Metric =
    Metric::counter("nuncius_gateway_export_errors_total", Unit::None, &["signal"], "Tries to export that failed.")
        .of_gateway();

/// Messages of traces, metrics and logs that were not exported, by why; of all signals those that the bus forgot
/// before: expired.
pub const DROPPED_MESSAGES: Metric = Metric::counter(
    "nuncius_gateway_dropped_messages_total",
    Unit::None,
    &["signal", "reason"],
    "Messages of traces, metrics and logs that were not exported, by why; of all signals those that the bus forgot before: expired.",
).of_gateway();

/// Spans, data points and log records that a collector did not want, of messages that it took.
pub const REJECTED_ITEMS: Metric = Metric::counter(
    "nuncius_gateway_rejected_items_total",
    Unit::None,
    &["signal"],
    "Spans, data points and log records that a collector did not want, of messages that it took.",
)
.of_gateway();

/// Messages that wait to be exported.
pub const SPOOL_MESSAGES: Metric =
    Metric::gauge("nuncius_gateway_spool_messages", Unit::None, &["signal"], "Messages that wait to be exported.")
        .of_gateway();

/// Bytes that wait in memory to be exported.
pub const SPOOL_BYTES: Metric =
    Metric::gauge("nuncius_gateway_spool_bytes", Unit::Bytes, &["signal"], "Bytes that wait in memory to be exported.")
        .of_gateway();

/// Bytes that wait in files to be exported.
pub const SPOOL_DIRECTORY_BYTES: Metric = Metric::gauge(
    "nuncius_gateway_spool_directory_bytes",
    Unit::Bytes,
    &["signal"],
    "Bytes that wait in files to be exported.",
)
.of_gateway();

/// Most bytes that may wait in memory.
pub const SPOOL_LIMIT_BYTES: Metric =
    Metric::gauge("nuncius_gateway_spool_limit_bytes", Unit::Bytes, &["signal"], "Most bytes that may wait in memory.")
        .of_gateway();

/// All of them.
pub const ALL: &[&Metric] = &[
    &SERIES,
    &FOLDED_SERIES,
    &REFUSED_METRICS,
    &PROCESSES,
    &RUNS,
    &LEFT_OUT_RUNS,
    &LATE_SECONDS,
    &UNREADABLE_MESSAGES,
    &SCRAPES,
    &REFUSED_SCRAPES,
    &RENDERING_SECONDS,
    &RENDERED_BYTES,
    &QUEUE_HOLDERS,
    &OTLP_MESSAGES,
    &EXPORTED_MESSAGES,
    &EXPORT_ERRORS,
    &DROPPED_MESSAGES,
    &REJECTED_ITEMS,
    &SPOOL_MESSAGES,
    &SPOOL_BYTES,
    &SPOOL_DIRECTORY_BYTES,
    &SPOOL_LIMIT_BYTES,
];
