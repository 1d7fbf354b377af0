//! Events of an experiment: its life cycle, replayable from the event stream.

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
