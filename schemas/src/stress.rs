//! Pressure on nodes while the load runs: what an experiment asks of the emulators of resources.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{Amount, ResourceKind};
use crate::spec::NodeSelection;
use crate::units::HumanDuration;

/// Most stress steps in an experiment.
pub const STRESS_MAX: usize = 64;

/// One time of pressure. It ends by itself after `for`, even where the daemon is gone, and with the run at the latest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StressStep {
    /// Which emulators of resources; all when absent.
    #[serde(default)]
    pub nodes: NodeSelection,
    /// When it begins, after the start of the load.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: HumanDuration,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub duration: HumanDuration,
    /// Time in which the amounts are reached, in a straight line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<HumanDuration>,
    /// Memory: bytes, or percent of the limit in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Amount>,
    /// Disk: bytes, or percent of the limit in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Amount>,
    /// Processor: cores, or percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Amount>,
}

fn is_zero(duration: &HumanDuration) -> bool {
    duration.0 == 0
}

impl StressStep {
    /// What is wanted of which resource.
    pub fn amounts(&self) -> impl Iterator<Item = (ResourceKind, Amount)> {
        [(ResourceKind::Memory, self.memory), (ResourceKind::Disk, self.disk), (ResourceKind::Cpu, self.cpu)]
            .into_iter()
            .filter_map(|(kind, amount)| Some((kind, amount?)))
    }
}
