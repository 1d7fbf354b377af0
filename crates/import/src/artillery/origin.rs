//! What is remembered of a file beside its specification.

use serde::Serialize;

use super::flow::StepOrigin;
use super::meters::MeterOrigin;
use super::phases::Phase;
use super::plugins::ByEndpoint;
use super::scenario::ScenarioOrigin;

/// What reports in the form of Artillery need to know of the file.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Origin {
    /// Its phases.
    pub phases: Vec<Phase>,
    /// Its scenarios, in the order of the specification.
    pub scenarios: Vec<ScenarioOrigin>,
    /// Its steps, in the order of the specification.
    pub steps: Vec<StepOrigin>,
    /// What the processor counts and measures.
    pub meters: Vec<MeterOrigin>,
    /// `config.target`.
    pub target: String,
    /// How metrics by endpoint are named.
    pub by_endpoint: ByEndpoint,
    /// What is not shown on a terminal: metrics whose names hold one of these.
    pub hidden: Vec<String>,
    /// How long a satisfied user waits, in milliseconds; absent where nobody asks.
    pub apdex_threshold_ms: Option<f64>,
    /// Whether `http.total` and its like are wanted.
    pub extended_metrics: bool,
    /// Whether a failed expectation ends the command with 21.
    pub expectations_decide: bool,
}
