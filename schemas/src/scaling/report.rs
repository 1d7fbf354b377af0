//! How throughput grew with the workers of a queue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EmulatedDevice;
use crate::run::Verdict;

/// What came of a scaling experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingReport {
    /// Identifier of the scaling experiment.
    pub id: String,
    /// Queue whose workers were stepped.
    pub queue: String,
    /// When it began, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// How it was judged.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: String,
    /// Each step, by rising number of workers.
    pub steps: Vec<ScalingStep>,
    /// The universal scalability law fitted to all measurements; absent where they cannot carry it.
    pub fit: Option<UslFit>,
    /// Why there is no fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_problem: Option<String>,
    /// Workers of the last step that was still worth its workers; absent when throughput grew to the last step, or
    /// when the measurements cannot tell.
    pub knee: Option<u32>,
    /// How the knee was found or why there is none, for people.
    pub knee_reason: String,
    /// Least throughput per worker that was asked for, as a share of that of the first step.
    pub min_efficiency: f64,
    /// Steps of more workers were not judged; absent: all were.
    pub judge_up_to: Option<u32>,
    /// The emulated device that was started for it: the figures are those of an emulation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<EmulatedDevice>,
}

/// A number with its two-sided 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingEstimate {
    /// The estimate.
    pub value: f64,
    /// Lower end; absent when the data set none.
    pub lower: Option<f64>,
    /// Upper end; absent when the data set none.
    pub upper: Option<f64>,
}

/// One step of a scaling experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingStep {
    /// Workers.
    pub workers: u32,
    /// Slots of all of them together.
    pub slots: u32,
    /// Each measurement.
    pub measurements: Vec<ScalingMeasurement>,
    /// Mean throughput in jobs per second; absent without a measurement that can be used.
    pub jobs_per_second: Option<ScalingEstimate>,
    /// Throughput per worker as a share of that of the first step that had any; absent where either is missing.
    pub efficiency: Option<ScalingEstimate>,
    /// Whether it counts for the verdict.
    pub judged: bool,
    /// How it came out, also where it does not count.
    pub outcome: Verdict,
    /// Why, for people.
    pub reason: String,
}

/// One measurement of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingMeasurement {
    /// The experiment that measured it.
    pub experiment: String,
    /// Its length without warm-up, in seconds.
    pub seconds: f64,
    /// Jobs that succeeded in that time.
    pub succeeded: u64,
    /// Jobs that ended otherwise in that time.
    pub failed: u64,
    /// Jobs that succeeded per second; one that ran over an end of that time counts with the share of its run within.
    pub jobs_per_second: f64,
    /// Median run time of a job, in seconds.
    pub run_p50_seconds: Option<f64>,
    /// Median time a job waited, in seconds.
    pub wait_p50_seconds: Option<f64>,
}

/// The universal scalability law X(N) = λN / (1 + α(N − 1) + βN(N − 1)) as fitted to throughput X of N workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UslFit {
    /// Throughput of one worker, in jobs per second.
    pub lambda: ScalingEstimate,
    /// Contention: the share of work that cannot be done side by side; 0 or more.
    pub alpha: ScalingEstimate,
    /// Coherency: what each pair of workers costs; 0 or more. Throughput falls at last where it is above 0.
    pub beta: ScalingEstimate,
    /// Share of the variance of throughput that the law explains; 1 at best, below 0 when a constant does better.
    pub r_squared: f64,
    /// Workers of the highest throughput by the law; absent when it never falls.
    pub peak_workers: Option<f64>,
    /// Each measurement against the law.
    pub residuals: Vec<UslResidual>,
}

/// One measurement against the fitted law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UslResidual {
    /// Workers.
    pub workers: u32,
    /// Throughput measured, in jobs per second.
    pub jobs_per_second: f64,
    /// Throughput by the law, in jobs per second.
    pub fitted_jobs_per_second: f64,
    /// (measured − fitted) / fitted.
    pub relative: f64,
}

impl UslFit {
    /// Throughput of `workers` workers by the law, in jobs per second.
    pub fn jobs_per_second(&self, workers: f64) -> f64 {
        let others = workers - 1.0;
        self.lambda.value * workers / (1.0 + self.alpha.value * others + self.beta.value * workers * others)
    }
}
