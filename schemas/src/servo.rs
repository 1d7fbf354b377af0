//! Groups of servos: emulated clients of the OCO servo protocol, how long their operations take, and what they do wrong
//! on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::HumanDuration;

mod distribution;

pub use distribution::{DistributionError, DurationDistribution, LONGEST_NS};

/// The events a servo sends, in the order of a report's steps.
pub const SERVO_STEPS: [&str; 8] = [
    "hello",
    "whats_next",
    "description",
    "measurement_progress",
    "measurement",
    "adjustment_progress",
    "adjustment",
    "goodbye",
];

/// Target of servos whose requests go over the bus.
pub const BUS_TARGET: &str = "nats://oco";

/// Longest name of an account or an application, in bytes.
pub const NAME_MAX_BYTES: usize = 64;

/// Shortest interval of progress reports, and shortest pause before an event is sent again, in nanoseconds.
pub const INTERVAL_MIN_NS: u64 = 10_000_000;

/// What servos are and do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServoOptions {
    /// Account: 1 to 64 of A-Z a-z 0-9 . _ -; over the bus a token.
    #[serde(default = "default_account")]
    pub account: String,
    /// Name of a servo's application: `{n}` is the servo's number over all nodes, `{n:05}` the same in five digits.
    #[serde(default = "default_app_template")]
    pub app_template: String,
    /// How long a measurement takes.
    #[serde(default)]
    pub measure: DurationDistribution,
    /// How long an adjustment takes.
    #[serde(default)]
    pub adjust: DurationDistribution,
    /// Time between two progress reports of an operation.
    #[serde(default = "default_progress_interval")]
    pub progress_interval: HumanDuration,
    /// Servos say hello evenly spread by chance over this time.
    #[serde(default = "default_start_spread")]
    pub start_spread: HumanDuration,
    /// What a servo does when an event failed.
    #[serde(default)]
    pub retry: ServoRetry,
    /// With `retry: legacy` and `retry: always`, pause before an event is sent again.
    #[serde(default = "default_retry_delay")]
    pub retry_delay: HumanDuration,
    /// Connections of servos over HTTP.
    #[serde(default)]
    pub connections: ServoConnections,
    /// Bearer token, as `${NAME}` of the node's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What servos do wrong.
    #[serde(default)]
    pub faults: ServoFaults,
}

impl Default for ServoOptions {
    fn default() -> Self {
        Self {
            account: default_account(),
            app_template: default_app_template(),
            measure: DurationDistribution::default(),
            adjust: DurationDistribution::default(),
            progress_interval: default_progress_interval(),
            start_spread: default_start_spread(),
            retry: ServoRetry::default(),
            retry_delay: default_retry_delay(),
            connections: ServoConnections::default(),
            token: None,
            faults: ServoFaults::default(),
        }
    }
}

fn default_account() -> String {
    "a".to_owned()
}

fn default_app_template() -> String {
    "app{n:05}".to_owned()
}

fn default_progress_interval() -> HumanDuration {
    HumanDuration::from_secs(5)
}

fn default_retry_delay() -> HumanDuration {
    HumanDuration::from_secs(20)
}

fn default_start_spread() -> HumanDuration {
    HumanDuration::from_secs(10)
}

/// What a servo does when an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServoRetry {
    /// Says goodbye and hello again.
    #[default]
    None,
    /// Sends the same event again after `retry_delay` (a whats_next after 1 s the first time) for ever; a progress
    /// report once, a goodbye three times.
    Legacy,
    /// Sends the same event again after `retry_delay`, whatever it is, until it is answered.
    Always,
}

/// Connections of servos over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServoConnections {
    /// At most 64 for each engine thread, shared by its servos.
    #[default]
    Pool,
    /// One for each servo.
    PerServo,
}

/// What servos do wrong: each the probability, 0 to 1, that it happens in an operation (a measurement or an
/// adjustment).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServoFaults {
    /// The final event comes without any progress report before it.
    #[serde(default)]
    pub skip_progress: f64,
    /// Asks what is next a second time, after it was told.
    #[serde(default)]
    pub double_whats_next: f64,
    /// A progress report says less than the one before it.
    #[serde(default)]
    pub progress_backwards: f64,
    /// The connection is closed after a progress report was written, before its answer.
    #[serde(default)]
    pub drop_connection: f64,
    /// The servo is gone for good in the middle, without goodbye.
    #[serde(default)]
    pub crash: f64,
}

impl ServoFaults {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, f64); 5] {
        [
            ("skip_progress", self.skip_progress),
            ("double_whats_next", self.double_whats_next),
            ("progress_backwards", self.progress_backwards),
            ("drop_connection", self.drop_connection),
            ("crash", self.crash),
        ]
    }
}

impl ServoOptions {
    /// Name of the application of servo `number`; `None` when the template cannot be read.
    pub fn app_name(&self, number: u32) -> Option<String> {
        let (before, rest) = self.app_template.split_once('{')?;
        let (placeholder, after) = rest.split_once('}')?;
        if after.contains(['{', '}']) {
            return None;
        }
        let digits = match placeholder.strip_prefix('n')? {
            "" => number.to_string(),
            format => {
                let width: usize = format.strip_prefix(":0")?.parse().ok().filter(|width| *width <= 20)?;
                format!("{number:0width$}")
            }
        };
        Some(format!("{before}{digits}{after}"))
    }
}

#[cfg(test)]
mod tests;
