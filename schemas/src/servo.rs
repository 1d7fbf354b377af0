//! Groups of servos: emulated clients of the OCO servo protocol, how long their operations take, and what they do wrong
//! on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::check_token;
use crate::spec::validate::Reading;
use crate::spec::{EngineKind, Group, SpecError};
use crate::units::HumanDuration;
use crate::variable::is_variable;

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

fn refuse<T>(field: String, problem: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError { field, problem: problem.into() })
}

/// Refuses what a group of servos cannot be, and `servo` in any other group.
pub(crate) fn check_group(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    if group.engine != EngineKind::Servo {
        return match group.servo {
            Some(_) => refuse(format!("{path}.servo"), "belongs to `engine: servo`"),
            None => Ok(()),
        };
    }
    let wrong = [
        ("steps", !group.steps.is_empty(), "leave it out: the steps of servos are the events of their protocol"),
        ("rate", group.rate.is_some() || !group.stages.is_empty(), "servos are `users` for a `duration`"),
        ("iterations", group.iterations.is_some(), "servos go on to the end: give a `duration`"),
        ("think_time", group.think_time.0 > 0, "the pauses of servos follow from `servo.measure` and `servo.adjust`"),
        ("backoff", !group.backoff.is_default(), "servos try again after `servo.retry`"),
        ("users", group.users.is_none(), "missing: say how many servos there are"),
        ("duration", group.duration.is_none(), "missing: say how long the servos run"),
        ("tls", group.tls.is_some(), "servos speak plain HTTP or NATS"),
    ];
    if let Some((name, _, problem)) = wrong.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
        return refuse(format!("{path}.{name}"), problem);
    }
    let is_bus = group.target.starts_with("nats://");
    if is_bus && group.target.trim_end_matches('/') != BUS_TARGET {
        return refuse(format!("{path}.target"), format!("over the bus the target of servos is {BUS_TARGET}"));
    }
    if is_bus && !group.headers.is_empty() {
        return refuse(format!("{path}.headers"), "belong to servos over HTTP");
    }
    if group.target.contains('?') {
        return refuse(format!("{path}.target"), "the root of the service has no query");
    }
    let options = group.servo.clone().unwrap_or_default();
    check_options(&format!("{path}.servo"), &options, group.users.unwrap_or(1), is_bus, reading)
}

fn check_options(
    path: &str,
    options: &ServoOptions,
    users: u32,
    is_bus: bool,
    reading: Reading,
) -> Result<(), SpecError> {
    if reading.knows(&options.account) {
        check_name(format!("{path}.account"), &options.account, is_bus)?;
    }
    let field = || format!("{path}.app_template");
    let numbers = if reading.knows(&options.app_template) { vec![0, users.saturating_sub(1)] } else { Vec::new() };
    for number in numbers {
        match options.app_name(number) {
            Some(app) => check_name(field(), &app, is_bus)?,
            None => return refuse(field(), "needs one `{n}` or `{n:05}` for the number of the servo"),
        }
    }
    for (name, interval) in [("progress_interval", options.progress_interval), ("retry_delay", options.retry_delay)] {
        if interval.0 < INTERVAL_MIN_NS {
            return refuse(format!("{path}.{name}"), "shorter than 10ms");
        }
    }
    if options.start_spread.0 > LONGEST_NS {
        return refuse(format!("{path}.start_spread"), "longer than 24h");
    }
    for (name, share) in options.faults.named() {
        if !(0.0..=1.0).contains(&share) {
            return refuse(format!("{path}.faults.{name}"), "not within 0 to 1");
        }
    }
    match &options.token {
        // A specification is stored and shown: what is secret stays on the nodes.
        Some(token) if reading == Reading::Written && !is_variable(token) => {
            refuse(format!("{path}.token"), "write `${NAME}`: the token is taken from the environment of the node")
        }
        _ => Ok(()),
    }
}

fn check_name(field: String, name: &str, is_token: bool) -> Result<(), SpecError> {
    if is_token {
        return check_token("name", name)
            .map_err(|error| SpecError { field, problem: format!("{error} over the bus") });
    }
    let fine = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fine { Ok(()) } else { refuse(field, format!("use 1 to {NAME_MAX_BYTES} of A-Z a-z 0-9 . _ -")) }
}

#[cfg(test)]
mod tests;
