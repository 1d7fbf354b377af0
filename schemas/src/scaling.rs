//! Validation of scaling: how throughput per worker holds as a queue gets more workers.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::ARGUMENTS_MAX;
use crate::names::check_token;
use crate::spec::validate::{DURATION_MAX_NS, VALUE_MAX_BYTES};
use crate::units::{HumanDuration, SECOND_NS};

mod report;

pub use report::{ScalingEstimate, ScalingMeasurement, ScalingReport, ScalingStep, UslFit, UslResidual};

/// Fewest steps: one to compare with, one to compare.
pub const SCALING_STEPS_MIN: usize = 2;
/// Most steps.
pub const SCALING_STEPS_MAX: usize = 32;
/// Most workers of a step.
pub const SCALING_WORKERS_MAX: u32 = 4_096;
/// Most measurements of a step.
pub const SCALING_REPEATS_MAX: u32 = 100;
/// Most slots of a worker.
pub const SCALING_SLOTS_MAX: u32 = 4_096;
/// Most closed-loop users for each slot.
pub const JOBS_PER_SLOT_MAX: u32 = 1_000;
/// Highest efficiency that can be asked for; above 1 it asks for more than linear scaling.
pub const MIN_EFFICIENCY_MAX: f64 = 1.5;
/// Most lanes of an emulated device.
pub const DEVICE_LANES_MAX: u32 = 10_000;
/// Longest description of the work of an emulated device, in bytes.
pub const DEVICE_WORK_MAX_BYTES: usize = 256;
/// Longest name of a Kubernetes deployment (a DNS subdomain), in bytes.
pub const DEPLOYMENT_NAME_MAX_BYTES: usize = 253;
/// Longest name of a Kubernetes namespace (a DNS label), in bytes.
pub const NAMESPACE_NAME_MAX_BYTES: usize = 63;

/// A scaling experiment as it is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScalingSpec {
    /// Workers at each step, strictly rising: 2 to 32 steps of 1 to 4096 workers.
    pub steps: Vec<u32>,
    /// How often each step is measured, 1 to 100. With 1 the spread between measurements cannot be seen.
    #[serde(default = "default_repeats")]
    pub repeats: u32,
    /// Load before each measurement that is not counted.
    #[serde(default = "default_warm_up")]
    pub warm_up: HumanDuration,
    /// Length of one measurement.
    #[serde(default = "default_duration")]
    pub duration: HumanDuration,
    /// Steps of more workers are measured and fitted, but not judged; absent: all are judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_up_to: Option<u32>,
    /// Least throughput per worker, as a share of that of the first step; above 0, at most 1.5.
    #[serde(default = "default_min_efficiency")]
    pub min_efficiency: f64,
    /// Closed-loop users for each slot of the workers, so that no slot waits for a job.
    #[serde(default = "default_jobs_per_slot")]
    pub jobs_per_slot: u32,
    /// Where the workers come from.
    pub workers: ScalingWorkers,
    /// How long a step may take to have its workers.
    #[serde(default = "default_patience")]
    pub patience: HumanDuration,
    /// An emulated device to start for the experiment, for workers whose command is `device NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<EmulatedDevice>,
}

/// A device that is not there: jobs take the time that they would take on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmulatedDevice {
    /// Name, a token.
    pub name: String,
    /// Jobs it runs at once; more wait. 1 to 10000.
    #[serde(default = "default_lanes")]
    pub lanes: u32,
    /// Work of a job that does not say its own, as in `nuncius emulator device --work`: `100ms`, `exponential:100ms`.
    #[serde(default = "default_work")]
    pub work: String,
    /// Share of the work that is serial (contention), 0 to 1.
    #[serde(default)]
    pub alpha: f64,
    /// What each pair of jobs costs (coherency), 0 to 1.
    #[serde(default)]
    pub beta: f64,
}

/// Where the workers of a scaling experiment come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "start", rename_all = "snake_case", try_from = "WorkersFields")]
pub enum ScalingWorkers {
    /// Started on this machine, and stopped at the end.
    Local {
        /// The program a job runs, and its arguments.
        command: Vec<String>,
        /// Jobs each worker runs at once.
        #[serde(default = "default_slots")]
        slots: u32,
    },
    /// Started by somebody else; each step waits until as many workers of the queue are registered.
    Wait {
        /// Jobs each worker runs at once.
        #[serde(default = "default_slots")]
        slots: u32,
    },
    /// Replicas of a deployment, scaled by `kubectl`.
    Kubectl {
        /// Name of the deployment.
        deployment: String,
        /// Its namespace; absent: that of the current context.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Jobs each worker runs at once.
        #[serde(default = "default_slots")]
        slots: u32,
    },
}

/// Where the workers come from, as it is written: every field of every way to start them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WorkersFields {
    /// How they are started.
    start: WorkersStart,
    /// With `local`: the program a job runs, and its arguments.
    #[serde(default)]
    command: Option<Vec<String>>,
    /// With `kubectl`: name of the deployment.
    #[serde(default)]
    deployment: Option<String>,
    /// With `kubectl`: its namespace; absent: that of the current context.
    #[serde(default)]
    namespace: Option<String>,
    /// Jobs each worker runs at once.
    #[serde(default = "default_slots")]
    slots: u32,
}

/// How workers are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WorkersStart {
    /// On this machine.
    #[default]
    Local,
    /// By somebody else.
    Wait,
    /// As replicas of a deployment.
    Kubectl,
}

impl TryFrom<WorkersFields> for ScalingWorkers {
    type Error = String;

    fn try_from(fields: WorkersFields) -> Result<Self, String> {
        let WorkersFields { start, command, deployment, namespace, slots } = fields;
        let foreign = |name: &str, start: &str| Err(format!("`{name}` belongs to `start: {start}`"));
        let missing = |name: &str| format!("missing field `{name}`");
        if command.is_some() && start != WorkersStart::Local {
            return foreign("command", "local");
        }
        if deployment.is_some() && start != WorkersStart::Kubectl {
            return foreign("deployment", "kubectl");
        }
        if namespace.is_some() && start != WorkersStart::Kubectl {
            return foreign("namespace", "kubectl");
        }
        Ok(match start {
            WorkersStart::Local => Self::Local { command: command.ok_or_else(|| missing("command"))?, slots },
            WorkersStart::Wait => Self::Wait { slots },
            WorkersStart::Kubectl => {
                Self::Kubectl { deployment: deployment.ok_or_else(|| missing("deployment"))?, namespace, slots }
            }
        })
    }
}

fn default_repeats() -> u32 {
    3
}

fn default_warm_up() -> HumanDuration {
    HumanDuration::from_secs(2)
}

fn default_duration() -> HumanDuration {
    HumanDuration::from_secs(10)
}

fn default_min_efficiency() -> f64 {
    0.9
}

fn default_jobs_per_slot() -> u32 {
    2
}

fn default_slots() -> u32 {
    1
}

fn default_patience() -> HumanDuration {
    HumanDuration::from_secs(120)
}

fn default_lanes() -> u32 {
    1
}

fn default_work() -> String {
    "100ms".to_owned()
}

/// Why a scaling experiment cannot be as wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scaling {field}: {problem}")]
pub struct ScalingError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl ScalingWorkers {
    /// Jobs each worker runs at once.
    pub const fn slots(&self) -> u32 {
        match self {
            Self::Local { slots, .. } | Self::Wait { slots } | Self::Kubectl { slots, .. } => *slots,
        }
    }

    fn check(&self) -> Result<(), ScalingError> {
        match self {
            Self::Local { command, .. } => check_command(command)?,
            Self::Wait { .. } => {}
            Self::Kubectl { deployment, namespace, .. } => {
                check_dns("workers.deployment", deployment, DEPLOYMENT_NAME_MAX_BYTES, true)?;
                if let Some(namespace) = namespace {
                    check_dns("workers.namespace", namespace, NAMESPACE_NAME_MAX_BYTES, false)?;
                }
            }
        }
        within("workers.slots", self.slots(), SCALING_SLOTS_MAX)
    }
}

impl ScalingSpec {
    /// An experiment of these steps with everything else as when it is not said.
    pub fn new(steps: Vec<u32>, workers: ScalingWorkers) -> Self {
        Self {
            steps,
            repeats: default_repeats(),
            warm_up: default_warm_up(),
            duration: default_duration(),
            judge_up_to: None,
            min_efficiency: default_min_efficiency(),
            jobs_per_slot: default_jobs_per_slot(),
            workers,
            patience: default_patience(),
            device: None,
        }
    }

    /// How long each measurement offers load: the warm-up and what is counted after it.
    pub fn offered(&self) -> HumanDuration {
        HumanDuration(self.warm_up.0.saturating_add(self.duration.0))
    }

    /// The seconds of its run time that a measurement counts: the whole ones between the warm-up and the end.
    pub fn counted_seconds(&self) -> Range<u32> {
        let second = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        second(self.warm_up.0.div_ceil(SECOND_NS))..second(self.offered().0 / SECOND_NS)
    }

    /// Closed-loop users of a step of this many workers.
    pub fn users(&self, workers: u32) -> u64 {
        u64::from(workers) * u64::from(self.workers.slots()) * u64::from(self.jobs_per_slot)
    }

    /// Refuses what cannot be, by field.
    ///
    /// # Errors
    /// When a field is outside its limits, which the error names.
    pub fn check(&self) -> Result<(), ScalingError> {
        let refuse = |field, problem: String| Err(ScalingError { field, problem });
        if !(SCALING_STEPS_MIN..=SCALING_STEPS_MAX).contains(&self.steps.len()) {
            let problem = format!("{} of them; give {SCALING_STEPS_MIN} to {SCALING_STEPS_MAX}", self.steps.len());
            return refuse("steps", problem);
        }
        for workers in &self.steps {
            within("steps", *workers, SCALING_WORKERS_MAX)?;
        }
        for (before, after) in self.steps.iter().zip(self.steps.iter().skip(1)) {
            if after <= before {
                return refuse("steps", format!("{after} after {before}; each step must have more workers"));
            }
        }
        within("repeats", self.repeats, SCALING_REPEATS_MAX)?;
        check_duration("warm_up", self.warm_up, true)?;
        check_duration("duration", self.duration, false)?;
        check_duration("patience", self.patience, false)?;
        if self.counted_seconds().is_empty() {
            let problem = format!(
                "{} after a warm_up of {} holds no whole second; give a second more, as whole seconds are counted",
                self.duration, self.warm_up
            );
            return refuse("duration", problem);
        }
        let second = self.steps.get(1).copied().unwrap_or_default();
        if let Some(most) = self.judge_up_to.filter(|most| *most < second) {
            let problem = format!("{most} leaves nothing to compare with the first step; give {second} or more");
            return refuse("judge_up_to", problem);
        }
        // Also false for what is not a number.
        if !(self.min_efficiency > 0.0 && self.min_efficiency <= MIN_EFFICIENCY_MAX) {
            let problem = format!("{}; give a share above 0, at most {MIN_EFFICIENCY_MAX}", self.min_efficiency);
            return refuse("min_efficiency", problem);
        }
        within("jobs_per_slot", self.jobs_per_slot, JOBS_PER_SLOT_MAX)?;
        self.workers.check()?;
        self.device.as_ref().map_or(Ok(()), check_device)
    }
}

fn check_device(device: &EmulatedDevice) -> Result<(), ScalingError> {
    if let Err(error) = check_token("device", &device.name) {
        return Err(ScalingError { field: "device.name", problem: error.to_string() });
    }
    within("device.lanes", device.lanes, DEVICE_LANES_MAX)?;
    for (field, share) in [("device.alpha", device.alpha), ("device.beta", device.beta)] {
        // Also false for what is not a number.
        if !(0.0..=1.0).contains(&share) {
            return Err(ScalingError { field, problem: format!("{share}; give a share of 0 to 1") });
        }
    }
    // What it says is understood where the device is.
    if device.work.is_empty() || device.work.len() > DEVICE_WORK_MAX_BYTES {
        let problem = format!("{} bytes; give 1 to {DEVICE_WORK_MAX_BYTES}", device.work.len());
        return Err(ScalingError { field: "device.work", problem });
    }
    Ok(())
}

fn within(field: &'static str, number: u32, most: u32) -> Result<(), ScalingError> {
    if (1..=most).contains(&number) {
        return Ok(());
    }
    Err(ScalingError { field, problem: format!("{number}; give 1 to {most}") })
}

fn check_duration(field: &'static str, duration: HumanDuration, may_be_zero: bool) -> Result<(), ScalingError> {
    let longest = HumanDuration(DURATION_MAX_NS);
    if duration.0 == 0 && !may_be_zero {
        return Err(ScalingError { field, problem: format!("0s; give more, up to {longest}") });
    }
    if duration > longest {
        return Err(ScalingError { field, problem: format!("{duration}; give at most {longest}") });
    }
    Ok(())
}

fn check_command(command: &[String]) -> Result<(), ScalingError> {
    let field = "workers.command";
    let problem = if command.first().is_none_or(String::is_empty) {
        "names no program; give it and its arguments".to_owned()
    } else if command.len() > ARGUMENTS_MAX as usize {
        format!("{} words; give at most {ARGUMENTS_MAX}", command.len())
    } else if let Some(long) = command.iter().find(|word| word.len() > VALUE_MAX_BYTES) {
        format!("a word of {} bytes; give at most {VALUE_MAX_BYTES}", long.len())
    } else if command.iter().any(|word| word.contains('\0')) {
        "a word holds a NUL byte, which no program can be given".to_owned()
    } else {
        return Ok(());
    };
    Err(ScalingError { field, problem })
}

/// Refuses what is no DNS label, or no subdomain (labels with dots) where that may be. Such a name is no option of
/// `kubectl` either, as it cannot begin with `-`.
fn check_dns(field: &'static str, name: &str, longest: usize, dots: bool) -> Result<(), ScalingError> {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (dots && b == b'.');
    let fine = name.len() <= longest
        && edge(name.bytes().next())
        && edge(name.bytes().next_back())
        && name.bytes().all(inside)
        && !name.contains("..");
    if fine {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let also = if dots { " and dots" } else { "" };
    let problem = format!(
        "`{shown}`; give 1 to {longest} of a-z 0-9 -{also}, with a letter or digit at the beginning and the end"
    );
    Err(ScalingError { field, problem })
}

#[cfg(test)]
mod tests;
