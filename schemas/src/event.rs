//! Events of an experiment: its life cycle, replayable from the event stream; and live progress, which may be lost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::{RunStatus, Verdict};

/// One message on an experiment's event subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentEvent {
    /// Experiment.
    pub experiment: String,
    /// When, milliseconds since the Unix epoch, on the daemon's clock.
    pub at_unix_ms: u64,
    /// What kind.
    pub kind: EventKind,
    /// For people.
    pub message: String,
    /// The status the experiment has from now on.
    #[serde(default)]
    pub status: Option<RunStatus>,
    /// The verdict, with the last status.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Details.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The status changed.
    Status,
    /// A gate was decided.
    Gate,
    /// A node joined, was lost or spoke of itself.
    Node,
    /// Somebody asked for something.
    Control,
    /// Something that makes the result less certain.
    Warning,
    /// From outside, for the analyst.
    User,
}

impl EventKind {
    /// The name in listings and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Gate => "gate",
            Self::Node => "node",
            Self::Control => "control",
            Self::Warning => "warning",
            Self::User => "user",
        }
    }
}

/// Live figures of a running experiment, once a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Experiment.
    pub experiment: String,
    /// Where it is.
    pub status: RunStatus,
    /// Second of run time that the per-second figures are of.
    pub second: u32,
    /// Seconds of load in all, when known.
    pub seconds_total: Option<u32>,
    /// Offered in that second.
    pub offered: u64,
    /// Ended in that second, as expected or not.
    pub answered: u64,
    /// Failed in that second.
    pub failed: u64,
    /// Under way at its end.
    pub in_flight: u64,
    /// Offered so far.
    pub offered_total: u64,
    /// Succeeded so far.
    pub succeeded_total: u64,
    /// Failed so far.
    pub failed_total: u64,
    /// Censored so far.
    pub censored_total: u64,
    /// Response p50 of that second, in nanoseconds.
    pub response_p50_ns: Option<u64>,
    /// Response p95 of that second, in nanoseconds.
    pub response_p95_ns: Option<u64>,
    /// Response p99 of that second, in nanoseconds.
    pub response_p99_ns: Option<u64>,
    /// Each node's part.
    pub nodes: Vec<NodeProgress>,
}

/// One node's part of a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeProgress {
    /// Node.
    pub node: String,
    /// Offered in that second.
    pub offered: u64,
    /// Under way at its end.
    pub in_flight: u64,
    /// Lag p99 of that second, in nanoseconds.
    pub lag_p99_ns: Option<u64>,
}
