//! A job that a step submits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::HumanDuration;

/// A job to submit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobStep {
    /// Arguments for the workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Priority, 0 the most urgent.
    #[serde(default)]
    pub priority: u8,
    /// Longest run; the smaller one of this and the worker's counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<HumanDuration>,
}
