//! What every process says of itself.

use crate::{Metric, Unit};

/// A process that publishes metrics.
pub const PROCESS_INFO: Metric =
    Metric::info("nuncius_process_info", &["service", "version", "epoch"], "A process that publishes metrics.");

/// When it started, since the Unix epoch.
pub const PROCESS_START_TIME_SECONDS: Metric =
    Metric::gauge("nuncius_process_start_time_seconds", Unit::Seconds, &[], "When it started, since the Unix epoch.");

/// Processor time of the process, user and system.
pub const PROCESS_CPU_SECONDS: Metric = Metric::counter(
    "nuncius_process_cpu_seconds_total",
    Unit::Seconds,
    &[],
    "Processor time of the process, user and system.",
);

/// Resident memory of the process.
pub const PROCESS_RESIDENT_MEMORY_BYTES: Metric =
    Metric::gauge("nuncius_process_resident_memory_bytes", Unit::Bytes, &[], "Resident memory of the process.");

/// Open file descriptors of the process.
pub const PROCESS_OPEN_FILES: Metric =
    Metric::gauge("nuncius_process_open_files", Unit::None, &[], "Open file descriptors of the process.");

/// Threads of the process.
pub const PROCESS_THREADS: Metric =
    Metric::gauge("nuncius_process_threads", Unit::None, &[], "Threads of the process.");

/// 1 while the process is connected to NATS.
pub const BUS_CONNECTED: Metric =
    Metric::gauge("nuncius_bus_connected", Unit::None, &[], "1 while the process is connected to NATS.");

/// Times that the connection to NATS was lost.
pub const BUS_DISCONNECTS: Metric =
    Metric::counter("nuncius_bus_disconnects_total", Unit::None, &[], "Times that the connection to NATS was lost.");

/// Messages that the process dropped because a subscription was not read fast enough.
pub const BUS_SLOW_CONSUMER_MESSAGES: Metric = Metric::counter(
    "nuncius_bus_slow_consumer_messages_total",
    Unit::None,
    &[],
    "Messages that the process dropped because a subscription was not read fast enough.",
);

/// Spans, log records and messages of metrics that were lost on their way out.
pub const TELEMETRY_DROPPED: Metric = Metric::counter(
    "nuncius_telemetry_dropped_total",
    Unit::None,
    &["signal"],
    "Spans, log records and messages of metrics that were lost on their way out.",
);

/// Messages of traces, metrics and logs that were published.
pub const TELEMETRY_PUBLISHED: Metric = Metric::counter(
    "nuncius_telemetry_published_total",
    Unit::None,
    &["signal"],
    "Messages of traces, metrics and logs that were published.",
);

/// All of them.
pub const ALL: &[&Metric] = &[
    &PROCESS_INFO,
    &PROCESS_START_TIME_SECONDS,
    &PROCESS_CPU_SECONDS,
    &PROCESS_RESIDENT_MEMORY_BYTES,
    &PROCESS_OPEN_FILES,
    &PROCESS_THREADS,
    &BUS_CONNECTED,
    &BUS_DISCONNECTS,
    &BUS_SLOW_CONSUMER_MESSAGES,
    &TELEMETRY_DROPPED,
    &TELEMETRY_PUBLISHED,
];
