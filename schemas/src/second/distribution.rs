//! A distribution as merged seconds have it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A distribution: a histogram that adds without loss, and a few of its quantiles.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Observations.
    pub count: u64,
    /// Median, in nanoseconds; absent without observations.
    pub p50_ns: Option<u64>,
    /// In nanoseconds.
    pub p95_ns: Option<u64>,
    /// In nanoseconds.
    pub p99_ns: Option<u64>,
    /// Largest, in nanoseconds.
    pub max_ns: Option<u64>,
    /// The histogram, encoded by `nuncius-stats` (docs/histograms.md); empty without observations.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub histogram: Vec<u8>,
}
