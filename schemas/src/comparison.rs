//! How two runs differ, step by step: what `nuncius compare` says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::Quantity;

/// Two runs against each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Confidence of all verdicts together: two runs of the same truth are told to differ anywhere in at most
    /// 1 − confidence of cases.
    pub confidence: f64,
    /// Relative differences up to this are none: 0.02 for 2 %.
    pub least_relative: f64,
    /// The two followed the same schedule second by second, and what both have in common over time is no noise.
    pub same_schedule: bool,
    /// How many comparisons share the confidence: those with enough data on both sides.
    pub comparisons: u32,
    /// The weightiest of all: different before too little data before not shown to differ.
    pub verdict: ComparisonVerdict,
    /// Each group and step that both runs have, in the order of the baseline.
    pub parts: Vec<PartComparison>,
    /// Parts of the baseline that the candidate does not have.
    pub only_in_baseline: Vec<PartName>,
    /// Parts of the candidate that the baseline does not have.
    pub only_in_candidate: Vec<PartName>,
}

/// How a comparison came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonVerdict {
    /// They differ.
    Different,
    /// The data do not show that they differ; that they are the same is not said.
    NotShownToDiffer,
    /// The data can say nothing.
    TooLittleData,
}

impl ComparisonVerdict {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Different => "different",
            Self::NotShownToDiffer => "not shown to differ",
            Self::TooLittleData => "too little data",
        }
    }
}

/// A group, or a step of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PartName {
    /// Name of the group.
    pub group: String,
    /// Name of the step, whose requests are compared; absent: whole iterations are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// What of a run is compared with another: its parts over time. A daemon gives it as a file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparableRun {
    /// Identifier of the experiment.
    pub experiment: String,
    /// Each group's iterations and each of its steps.
    pub parts: Vec<ComparablePart>,
}

/// A group's iterations or one of its steps over a run, without its warm-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparablePart {
    /// Which part.
    pub name: PartName,
    /// What its latencies are.
    pub quantity: Quantity,
    /// Seconds that a row stands for.
    pub row_seconds: u64,
    /// Seconds in the last row.
    pub last_row_seconds: u64,
    /// Seconds that had latencies, and came without their histogram.
    pub seconds_without_histogram: u64,
    /// In order.
    pub rows: Vec<ComparableRow>,
}

/// Some seconds together. Histograms are encoded as metric deltas have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparableRow {
    /// Latencies of requests that ended.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub completed: Vec<u8>,
    /// How long requests that did not end had waited.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub censored: Vec<u8>,
    /// Requests that ended as expected.
    pub succeeded: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// How long load was offered, in nanoseconds.
    pub offered_ns: u64,
}

/// One part of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartComparison {
    /// Which.
    pub name: PartName,
    /// Each figure, in the order of [`ComparedFigure::ALL`].
    pub figures: Vec<FigureComparison>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparedFigure {
    /// Median of the latency, in nanoseconds.
    P50,
    /// 95th percentile of the latency, in nanoseconds.
    P95,
    /// 99th percentile of the latency, in nanoseconds.
    P99,
    /// Mean of the latencies that ended, in nanoseconds.
    Mean,
    /// Failed requests as a share of those that ended.
    Failures,
    /// Succeeded requests per second of the time that load was offered for.
    Rate,
}

impl ComparedFigure {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 6] = [Self::P50, Self::P95, Self::P99, Self::Mean, Self::Failures, Self::Rate];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Mean => "mean",
            Self::Failures => "failures",
            Self::Rate => "rate",
        }
    }

    /// The quantile that it is, where it is one.
    pub const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::Mean | Self::Failures | Self::Rate => None,
        }
    }

    /// Whether it is of a latency.
    pub const fn is_latency(self) -> bool {
        match self {
            Self::P50 | Self::P95 | Self::P99 | Self::Mean => true,
            Self::Failures | Self::Rate => false,
        }
    }
}

/// One figure of a part in both runs. Values are nanoseconds, shares or per second, as [`ComparedFigure`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FigureComparison {
    /// Which figure.
    pub figure: ComparedFigure,
    /// Of which latency; absent for failures and the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// Whether they differ.
    pub verdict: ComparisonVerdict,
    /// In the baseline; absent without observations.
    pub baseline: Option<f64>,
    /// In the candidate; absent without observations.
    pub candidate: Option<f64>,
    /// Candidate − baseline.
    pub difference: Option<DifferenceEstimate>,
    /// Candidate / baseline − 1; absent where the baseline is 0.
    pub relative: Option<DifferenceEstimate>,
    /// Two-sided confidence of both intervals: the level that Holm's procedure gave this comparison, so that they leave
    /// out 0 (with `least_relative`: the differences that are none) exactly where the verdict is `different`.
    pub interval_confidence: Option<f64>,
    /// Two-sided p-value of this comparison alone.
    pub p_value: Option<f64>,
    /// The same after Holm's procedure over all comparisons.
    pub adjusted_p_value: Option<f64>,
    /// The smallest difference that would have been found in 4 of 5 cases, had this comparison been the one that is
    /// tested first.
    pub detectable: Option<f64>,
    /// The same as a share of the baseline.
    pub detectable_relative: Option<f64>,
    /// Why, for people.
    pub reason: String,
}

/// A difference with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DifferenceEstimate {
    /// The estimate.
    pub value: f64,
    /// Lower end; absent where the data set none.
    pub lower: Option<f64>,
    /// Upper end; absent where the data set none.
    pub upper: Option<f64>,
}
