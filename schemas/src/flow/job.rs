//! A job that a step submits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::capture::Capture;
use super::check::Check;
use super::http::OnCheckFailure;
use crate::units::HumanDuration;

/// A job to submit. In a session its arguments are templates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// In a session: the queue of Nuncius that it is submitted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// In a session: longest wait for its record; the group's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// In a session: what is taken from its result.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capture: BTreeMap<String, Capture>,
    /// In a session: what is asked of its result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// In a session: what follows from a failed check.
    #[serde(default, skip_serializing_if = "OnCheckFailure::is_default")]
    pub on_check_failure: OnCheckFailure,
}
