//! What a report says over time: each group's iterations and each of its steps, in columns of equal length.
//!
//! Made from the merged seconds ([`crate::second::ExperimentSecond`]). A report is bounded: in a long run a row stands
//! for several seconds, and says so. Every second on its own is in the exports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::Quantity;
use crate::metric::FailureKind;

/// Most series of a report: the iterations of each group come first, then the steps, in the order of the specification.
pub const SERIES_MAX: usize = 512;
/// Most rows of a series.
pub const SERIES_ROWS_MAX: usize = 1_800;
/// Most columns of a heat map.
pub const HEAT_MAP_COLUMNS_MAX: usize = 300;

/// The iterations of a group, or one of its steps, over time.
///
/// A group with one step has one series, of that step: the request is the iteration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SeriesReport {
    /// Name of the group.
    pub group: String,
    /// Name of the step, whose requests are counted; absent: whole iterations are.
    pub step: Option<String>,
    /// Seconds of run time that a row stands for: more than 1 where the run had too many seconds for a report.
    pub row_seconds: u32,
    /// The figures.
    pub columns: SeriesColumns,
    /// Answers by status over time, successes included.
    pub statuses: Vec<StatusSeries>,
    /// Failures by kind over time.
    pub failures: Vec<FailureSeries>,
    /// Where the latencies were, over time; absent without any.
    pub heat_map: Option<HeatMap>,
}

/// Columns of one length: the same index is the same row in each.
///
/// Of a row of several seconds, counts are sums, what is under way is the last, and quantiles are those of the
/// histograms of all its seconds together: percentiles are never averaged. What came after the row was whole, later
/// than any node may be, has the larger quantile told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SeriesColumns {
    /// First second of run time of the row.
    pub second: Vec<u32>,
    /// How long the run was under way within the row, in nanoseconds: what ended is divided by this for a rate.
    pub length_ns: Vec<u64>,
    /// How long the group's load was offered within the row, in nanoseconds: what was offered is divided by this.
    pub offered_ns: Vec<u64>,
    /// Nodes that told of the row, of every second of it: 0 where what happened was told with a later one, or not at
    /// all.
    #[serde(default)]
    pub nodes: Vec<u32>,
    /// Iterations that the schedule holds; empty for steps that are not the whole iteration, and in the closed model.
    pub scheduled: Vec<u64>,
    /// Taken from the schedule, or begun.
    pub offered: Vec<u64>,
    /// Written to a connection.
    pub sent: Vec<u64>,
    /// Ended as expected.
    pub succeeded: Vec<u64>,
    /// Ended otherwise.
    pub failed: Vec<u64>,
    /// Unanswered or unsent at the stop.
    pub censored: Vec<u64>,
    /// Under way at the end of the row.
    pub in_flight: Vec<u64>,
    /// Sent again because the server had closed the connection without seeing the request.
    pub retried: Vec<u64>,
    /// Bytes written to connections.
    pub bytes_sent: Vec<u64>,
    /// Bytes read from connections.
    pub bytes_received: Vec<u64>,
    /// Response p50, in nanoseconds; absent where nothing ended.
    pub response_p50_ns: Vec<Option<u64>>,
    /// Response p95, in nanoseconds.
    pub response_p95_ns: Vec<Option<u64>>,
    /// Response p99, in nanoseconds.
    pub response_p99_ns: Vec<Option<u64>>,
    /// Largest response, in nanoseconds.
    pub response_max_ns: Vec<Option<u64>>,
    /// Service p50, in nanoseconds.
    pub service_p50_ns: Vec<Option<u64>>,
    /// Service p95, in nanoseconds.
    pub service_p95_ns: Vec<Option<u64>>,
    /// Service p99, in nanoseconds.
    pub service_p99_ns: Vec<Option<u64>>,
    /// Largest service, in nanoseconds.
    pub service_max_ns: Vec<Option<u64>>,
    /// Blocked p99, in nanoseconds.
    pub blocked_p99_ns: Vec<Option<u64>>,
    /// Lag p99, in nanoseconds.
    pub lag_p99_ns: Vec<Option<u64>>,
}

/// Answers with one status, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StatusSeries {
    /// Status of the answer.
    pub status: u16,
    /// How many in each row.
    pub counts: Vec<u64>,
}

/// Failures of one kind and status, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureSeries {
    /// What went wrong.
    pub kind: FailureKind,
    /// Status of the answer, 0 when there was none.
    pub status: u16,
    /// How many in each row.
    pub counts: Vec<u64>,
}

/// How many latencies were how long, when. Sparse: cells without any are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeatMap {
    /// What is shown: response where there is a planned instant, else service.
    pub quantity: Quantity,
    /// Seconds of run time that a column stands for.
    pub column_seconds: u32,
    /// Upper edge of each row, in nanoseconds, rising by about a quarter from row to row. A row holds what is above the
    /// edge before it and not above its own; the first all that is not above its own; the last all above the one
    /// before.
    pub row_upper_ns: Vec<u64>,
    /// Cells: column, row, how many. By column, then by row.
    pub cells: Vec<(u32, u32, u64)>,
}
