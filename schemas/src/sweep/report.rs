//! A sweep and what came of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SweepSpec;
use crate::run::Verdict;

/// Values of factors as people read them, by the factors' names.
pub type SweepLevels = BTreeMap<String, String>;

/// A sweep and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepReport {
    /// Identifier of the sweep.
    pub id: String,
    /// When it began, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// What was asked for.
    pub sweep: SweepSpec,
    /// Its runs that are over.
    pub runs: Vec<SweepRun>,
    /// Two-sided confidence of each interval by itself.
    pub confidence: f64,
    /// Each combination, by number.
    pub cells: Vec<SweepCell>,
    /// What each factor does by itself, figure by figure.
    pub effects: Vec<SweepEffects>,
    /// Load against response, one curve for each combination of the other factors; none where no factor is the load.
    pub curves: Vec<SweepCurve>,
    /// The highest load that passes, for each combination of the other factors.
    pub capacity: Vec<SweepCapacity>,
    /// The least of the resource that passes at each load, for each combination of the other factors; none where no
    /// factor is the resource.
    pub demand: Vec<SweepDemand>,
    /// Why there are no tables of the load or of the resource, where there could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One run of a sweep that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepRun {
    /// Number of its combination, from 1.
    pub combination: u64,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// How it was judged; absent where it did not run to its end.
    pub verdict: Option<Verdict>,
    /// Its figures by name, with their units in the names: `response_p99_ns`, `succeeded_per_second`. Those of an
    /// invalid run count for nothing.
    pub figures: BTreeMap<String, f64>,
}

/// A mean over runs with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepEstimate {
    /// Mean.
    pub mean: f64,
    /// Lower end; absent where one run shows no spread.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
    /// Standard deviation from run to run; absent of one run.
    pub deviation: Option<f64>,
    /// Runs that it is of.
    pub runs: u32,
}

/// One combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepCell {
    /// Its number, from 1.
    pub combination: u64,
    /// Its values.
    pub levels: SweepLevels,
    /// Runs that passed.
    pub passed: u32,
    /// Runs that failed.
    pub failed: u32,
    /// Runs that were undetermined.
    pub undetermined: u32,
    /// Runs that were invalid.
    pub invalid: u32,
    /// Runs that did not run to their end.
    pub unfinished: u32,
    /// Figures over the runs that were neither invalid nor unfinished.
    pub figures: BTreeMap<String, SweepEstimate>,
}

impl SweepCell {
    /// Whether more than half of the runs that were judged passed; what is undetermined has not been shown to. `None`
    /// where none was judged.
    pub const fn passes(&self) -> Option<bool> {
        let judged = self.passed + self.failed + self.undetermined;
        if judged == 0 { None } else { Some(self.passed * 2 > judged) }
    }
}

/// What each value of each factor does to one figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepEffects {
    /// Name of the figure.
    pub figure: String,
    /// Mean of the means of all combinations.
    pub mean: f64,
    /// Each value of each factor.
    pub effects: Vec<SweepEffect>,
    /// The intervals are of what differs within repeats: what a repeat adds to all combinations is in none.
    pub by_blocks: bool,
}

/// What one value of a factor does to a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepEffect {
    /// Name of the factor.
    pub factor: String,
    /// The value.
    pub value: String,
    /// Mean of the means of all combinations with this value.
    pub mean: f64,
    /// That mean less the mean of all combinations: the main effect.
    pub effect: f64,
    /// Lower end of the effect's interval; absent where too few runs show their spread.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
}

/// Load against response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepCurve {
    /// Values of the other factors.
    pub levels: SweepLevels,
    /// By rising load.
    pub points: Vec<SweepPoint>,
}

/// One load of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepPoint {
    /// The load as a number: per second, or users.
    pub load: f64,
    /// The load as it was written.
    pub value: String,
    /// The combination that it is of.
    pub combination: u64,
    /// Whether more than half of the runs that were judged passed; absent where none was judged.
    pub passes: Option<bool>,
    /// Runs that passed.
    pub passed: u32,
    /// Runs that were judged.
    pub judged: u32,
    /// Figures.
    pub figures: BTreeMap<String, SweepEstimate>,
}

/// The highest load that passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepCapacity {
    /// Values of the other factors.
    pub levels: SweepLevels,
    /// The highest load that passes below every one that does not; absent where none does.
    pub highest_passed: Option<String>,
    /// The lowest that does not; absent where all pass.
    pub lowest_not_passed: Option<String>,
    /// A load above one that does not pass passes: more repeats may tell which of the two is right.
    pub is_inverted: bool,
}

/// The least of a resource that passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepDemand {
    /// Values of the other factors.
    pub levels: SweepLevels,
    /// The load as it was written.
    pub load: String,
    /// The least value of the resource above every one that does not pass; absent where none does.
    pub least_passed: Option<String>,
    /// The most of it that does not pass; absent where all do.
    pub most_not_passed: Option<String>,
    /// A value below one that does not pass passes.
    pub is_inverted: bool,
}
