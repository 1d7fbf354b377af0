//! What came of a search, with every experiment of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Load;
use crate::units::HumanDuration;

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchFinding {
    /// Why it ended.
    pub ending: SearchEnding,
    /// The highest load that passed, below every one that did not.
    pub highest_passed: Option<SearchBound>,
    /// The lowest load that did not pass; where the generator itself could not be trusted, the lowest of these.
    pub lowest_not_passed: Option<SearchBound>,
    /// Probes that were made, without recoveries.
    pub probes: u32,
    /// Time that all of it took.
    pub time: HumanDuration,
    /// For people.
    pub reason: String,
}

impl SearchFinding {
    /// The highest load of which it is confirmed that the gates hold.
    pub fn found(&self) -> Option<Load> {
        self.highest_passed.filter(|bound| bound.is_confirmed).map(|bound| bound.load)
    }
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchEnding {
    /// Both ends are confirmed and within the precision of each other.
    Found,
    /// The highest load passes: the limit of the target lies above it.
    AboveHighest,
    /// The lowest load does not pass: the limit of the target lies below it.
    BelowLowest,
    /// From some load on the generator cannot be trusted; below it the target passes.
    GeneratorLimit,
    /// The target was not well again in time after a probe that failed.
    NotRecovered,
    /// All probes that it may have are made.
    ProbesSpent,
    /// All time that it may have is spent.
    TimeSpent,
    /// An experiment did not run to its end.
    Broken,
}

/// One end of the interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchBound {
    /// The load.
    pub load: Load,
    /// Enough of the probes that were made to confirm it agree.
    pub is_confirmed: bool,
    /// Of them, those that passed.
    pub passed: u32,
    /// Probes that were made to confirm it; the one that found it is not among them.
    pub of: u32,
    /// How sure it is that a probe of this load passes more often than not (or does not pass more often than not, for
    /// the upper end): one less the probability of so many that agree where passing is an even chance. Absent where
    /// none was made to confirm it.
    pub confidence: Option<f64>,
}

/// What a probe is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchPurpose {
    /// To have a load that passes and one that does not.
    Bracket,
    /// To halve the gap between the two.
    Halve,
    /// To confirm what an earlier probe of this load said.
    Confirm,
    /// To let the target become well again.
    Recover,
}

/// How a probe came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchOutcome {
    /// All gates hold.
    Pass,
    /// A gate does not.
    Fail,
    /// The data can carry neither.
    Undetermined,
    /// The generator could not be trusted.
    Invalid,
    /// The experiment did not run to its end: it failed or was cancelled.
    Broken,
}

/// One experiment of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchProbe {
    /// Number of the experiment in the search, from 1.
    pub number: u32,
    /// Its load.
    pub load: Load,
    /// How long it counts, without what settles before.
    pub length: HumanDuration,
    /// Load before that does not count.
    pub settle: HumanDuration,
    /// What for.
    pub purpose: SearchPurpose,
}

/// One experiment of a search that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchRecord {
    /// The experiment.
    pub probe: SearchProbe,
    /// How it came out.
    pub outcome: SearchOutcome,
    /// Why, for people.
    pub reason: String,
    /// How long it took.
    pub took: HumanDuration,
}
