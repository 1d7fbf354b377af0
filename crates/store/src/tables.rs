//! The files of Parquet that an export has: their names and columns. docs/exports.md says what they mean.

use crate::columns::{Column, Holds, added, always, maybe};

/// A file of an export.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileTable {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
}

pub(crate) const REQUESTS: FileTable = FileTable {
    name: "requests.parquet",
    columns: &[
        always("node", Holds::Text),
        always("group", Holds::Text),
        always("step", Holds::Text),
        always("index", Holds::Integer),
        always("planned_ns", Holds::Integer),
        maybe("sent_ns", Holds::Integer),
        maybe("done_ns", Holds::Integer),
        maybe("status", Holds::Integer),
        always("outcome", Holds::Text),
        maybe("span_id", Holds::Text),
        added("host", Holds::Text),
    ],
};
pub(crate) const SECONDS: FileTable = FileTable {
    name: "seconds.parquet",
    columns: &[
        always("second", Holds::Integer),
        always("late", Holds::Integer),
        always("group_index", Holds::Integer),
        always("step_index", Holds::Integer),
        always("group", Holds::Text),
        always("step", Holds::Text),
        always("is_iteration", Holds::Flag),
        always("length_ns", Holds::Integer),
        always("offered_ns", Holds::Integer),
        always("nodes", Holds::Integer),
        maybe("scheduled", Holds::Integer),
        always("offered", Holds::Integer),
        always("sent", Holds::Integer),
        always("succeeded", Holds::Integer),
        always("failed", Holds::Integer),
        always("censored", Holds::Integer),
        always("in_flight", Holds::Integer),
        always("retried", Holds::Integer),
        always("bytes_sent", Holds::Integer),
        always("bytes_received", Holds::Integer),
        maybe("response_p50_ns", Holds::Integer),
        maybe("response_p95_ns", Holds::Integer),
        maybe("response_p99_ns", Holds::Integer),
        maybe("response_max_ns", Holds::Integer),
        maybe("service_p50_ns", Holds::Integer),
        maybe("service_p95_ns", Holds::Integer),
        maybe("service_p99_ns", Holds::Integer),
        maybe("service_max_ns", Holds::Integer),
        maybe("blocked_p99_ns", Holds::Integer),
        maybe("lag_p99_ns", Holds::Integer),
        always("statuses", Holds::Text),
        always("failures", Holds::Text),
    ],
};
pub(crate) const SECOND_HISTOGRAMS: FileTable = FileTable {
    name: "second_histograms.parquet",
    columns: &[
        always("second", Holds::Integer),
        always("late", Holds::Integer),
        always("group_index", Holds::Integer),
        always("step_index", Holds::Integer),
        always("left_out", Holds::Flag),
        maybe("response", Holds::Bytes),
        maybe("censored_response", Holds::Bytes),
        maybe("service", Holds::Bytes),
        maybe("censored_service", Holds::Bytes),
    ],
};
pub(crate) const QUANTITIES: FileTable = FileTable {
    name: "quantities.parquet",
    columns: &[
        always("group", Holds::Text),
        always("step", Holds::Text),
        always("quantity", Holds::Text),
        always("count", Holds::Integer),
        always("overflow", Holds::Integer),
        maybe("min_ns", Holds::Integer),
        maybe("mean_ns", Holds::Real),
        maybe("max_ns", Holds::Integer),
        always("histogram", Holds::Bytes),
    ],
};
pub(crate) const HISTOGRAMS: FileTable = FileTable {
    name: "histograms.parquet",
    columns: &[
        always("group", Holds::Text),
        always("step", Holds::Text),
        always("quantity", Holds::Text),
        always("lowest_ns", Holds::Integer),
        always("highest_ns", Holds::Integer),
        always("count", Holds::Integer),
    ],
};
pub(crate) const EVENTS: FileTable = FileTable {
    name: "events.parquet",
    columns: &[
        always("at_unix_ms", Holds::Integer),
        always("kind", Holds::Text),
        always("message", Holds::Text),
        maybe("status", Holds::Text),
        maybe("verdict", Holds::Text),
        always("data", Holds::Text),
    ],
};
pub(crate) const PHASES: FileTable = FileTable {
    name: "phases.parquet",
    columns: &[always("status", Holds::Text), always("at_unix_ms", Holds::Integer)],
};
pub(crate) const NODES: FileTable = FileTable {
    name: "nodes.parquet",
    columns: &[
        always("name", Holds::Text),
        always("host", Holds::Text),
        always("version", Holds::Text),
        always("labels", Holds::Text),
        maybe("clock_offset_ns", Holds::Integer),
        maybe("clock_error_ns", Holds::Integer),
        maybe("clock_drift_ns", Holds::Integer),
        always("shards", Holds::Integer),
        always("offered", Holds::Integer),
        maybe("lag_p99_ns", Holds::Integer),
        always("run_delay_share", Holds::Real),
        always("throttled_ns", Holds::Integer),
        always("resident_bytes_max", Holds::Integer),
        always("deltas", Holds::Integer),
        maybe("lost", Holds::Text),
    ],
};
pub(crate) const GATES: FileTable = FileTable {
    name: "gates.parquet",
    columns: &[
        always("gate", Holds::Text),
        always("outcome", Holds::Text),
        maybe("observed", Holds::Real),
        maybe("lower", Holds::Real),
        maybe("upper", Holds::Real),
        always("samples", Holds::Integer),
        maybe("worst_window_second", Holds::Integer),
        always("reason", Holds::Text),
    ],
};
pub(crate) const SAMPLES: FileTable = FileTable {
    name: "samples.parquet",
    columns: &[
        always("sample", Holds::Integer),
        always("node", Holds::Text),
        always("machine", Holds::Text),
        always("epoch", Holds::Text),
        always("sequence", Holds::Integer),
        always("at_unix_ns", Holds::Integer),
        always("at_monotonic_ns", Holds::Integer),
        always("figures", Holds::Integer),
    ],
};
pub(crate) const TELEMETRY: FileTable = FileTable {
    name: "telemetry.parquet",
    columns: &[
        always("at_unix_ns", Holds::Integer),
        always("node", Holds::Text),
        always("metric", Holds::Text),
        always("subsystem", Holds::Text),
        always("value", Holds::Real),
        always("unit", Holds::Text),
        always("sample", Holds::Integer),
    ],
};

/// What every export has.
pub(crate) const ALWAYS: [&FileTable; 9] =
    [&REQUESTS, &SECONDS, &SECOND_HISTOGRAMS, &QUANTITIES, &HISTOGRAMS, &EVENTS, &PHASES, &NODES, &GATES];
/// What those have whose experiment has telemetry.
pub(crate) const WITH_TELEMETRY: [&FileTable; 2] = [&SAMPLES, &TELEMETRY];
/// The report, as JSON (schemas/json/report.schema.json), where there is one.
pub(crate) const REPORT: &str = "report.json";
