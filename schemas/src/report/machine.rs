//! What the machines of an experiment are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::telemetry::MachineDescription;

/// Most machines that a report describes.
pub const MACHINES_MAX: usize = 1_024;

/// A machine that took part, or whose telemetry is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineReport {
    /// Who described it: the name under which its telemetry is stored, or that of a node.
    pub node: String,
    /// What it is. Of a machine that nobody samples, name, processors and memory alone are known: the rest is empty
    /// or 0.
    pub machine: MachineDescription,
}
