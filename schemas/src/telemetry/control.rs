//! How the telemetry of a node is steered at run time: requests on `telemetry.<node>.control`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::HumanDuration;

/// Shortest time between two samples.
pub const PERIOD_MIN: HumanDuration = HumanDuration::from_millis(100);
/// Longest time between two samples.
pub const PERIOD_MAX: HumanDuration = HumanDuration::from_secs(3_600);

/// A period that nobody samples at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("period {0}: samples are taken every {PERIOD_MIN} to {PERIOD_MAX}")]
pub struct PeriodError(pub HumanDuration);

/// Refuses a period outside [`PERIOD_MIN`] to [`PERIOD_MAX`].
///
/// # Errors
/// [`PeriodError`].
pub fn check_period(period: HumanDuration) -> Result<(), PeriodError> {
    if (PERIOD_MIN..=PERIOD_MAX).contains(&period) { Ok(()) } else { Err(PeriodError(period)) }
}

/// What is asked of a node's sampler; every one of these is answered by [`TelemetryState`]. Of what has no fields, too,
/// others are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum TelemetryControl {
    /// Say how you stand.
    Describe {},
    /// Sample nothing, until told otherwise. Holds of experiments go on.
    Pause {},
    /// Sample again.
    Resume {},
    /// Sample this often, until told otherwise.
    Period {
        /// Time between two samples.
        period: HumanDuration,
    },
    /// Sample for an experiment, paused or not. Asked again, it lasts anew.
    Hold {
        /// The experiment.
        experiment: String,
        /// At least this often; absent: as often as without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        period: Option<HumanDuration>,
        /// How long, at most an hour.
        lasts: HumanDuration,
    },
    /// The experiment is over.
    Release {
        /// The experiment.
        experiment: String,
    },
}

/// An experiment that a node samples for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryHold {
    /// The experiment.
    pub experiment: String,
    /// Time between two samples that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<HumanDuration>,
    /// How long it still lasts.
    pub remaining: HumanDuration,
}

/// How a node's sampler stands, after what was asked was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryState {
    /// The node.
    pub node: String,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Somebody paused it.
    pub is_paused: bool,
    /// Time between two samples, without experiments.
    pub period: HumanDuration,
    /// Time between two samples now; absent while it samples nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_every: Option<HumanDuration>,
    /// Experiments it samples for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<TelemetryHold>,
    /// Random number of the sampler.
    pub epoch: u64,
    /// Messages it has published.
    pub sequence: u64,
    /// Process that samples.
    pub process_id: u32,
    /// What that process is: `telemetry`, `client`, `worker`, `emulator`.
    pub process: String,
    /// The machine.
    pub machine: MachineDescription,
    /// What could not be read, or made no sense, since it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MachineDescription {
    /// Host name as the host gives it.
    pub host: String,
    /// Identifier of the machine since it was booted.
    pub machine: String,
    /// Architecture, as `x86_64`.
    pub architecture: String,
    /// Kernel and its version.
    pub kernel: String,
    /// What its processors call themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Processors that are online.
    pub processors: u32,
    /// Memory there is.
    pub memory_bytes: u64,
    /// When it was booted, in milliseconds since the Unix epoch.
    pub booted_unix_ms: u64,
    /// Its disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// Its network interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Its GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
}
