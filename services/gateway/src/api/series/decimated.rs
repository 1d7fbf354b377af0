//! One series with as many points as are wanted.

use std::collections::BTreeMap;

use nuncius_schemas::report::{FailureSeries, HeatMap};
use schemars::JsonSchema;
use serde::Serialize;

/// One series: columns of one length, the same index is the same point in each.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(in crate::api) struct Decimated {
    /// Name of the group.
    pub(super) group: String,
    /// Name of the step; absent: whole iterations are counted.
    pub(super) step: Option<String>,
    /// Seconds that a point stands for.
    pub(super) point_seconds: u32,
    /// First second of each point.
    pub(super) second: Vec<u32>,
    /// Sums over each point, by name.
    pub(super) counts: BTreeMap<&'static str, Vec<u64>>,
    /// Levels and quantiles of rows, by name: quantiles are of a row's own histogram, and never averaged.
    pub(super) levels: BTreeMap<&'static str, Level>,
    /// Sums over each point of what failed, by kind and status.
    pub(super) failures: Vec<FailureSeries>,
    /// Where the latencies were, in columns of its own. Absent where there is no room beside the others, or there are
    /// too many steps.
    pub(super) heat: Option<HeatMap>,
}

/// A level at each point; absent where there was none.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(in crate::api) struct Level {
    /// The least row of the point; absent where each point is one row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) min: Vec<Option<u64>>,
    /// The greatest row; absent where each point is one row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) max: Vec<Option<u64>>,
    /// The last row.
    pub(super) last: Vec<Option<u64>>,
}
