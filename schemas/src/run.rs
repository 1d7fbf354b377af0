//! The run record: what the bus knows of an experiment from its admission on (bucket `run`, one key an experiment).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amendment::Change;
use crate::route::Route;
use crate::spec::ExperimentSpec;

/// Where an experiment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Admitted; waits for nodes.
    Submitted,
    /// Nodes and shards are chosen.
    Planned,
    /// Nodes have been asked to get ready.
    Preparing,
    /// Load is offered.
    Running,
    /// The schedule is over; answers are waited for.
    Draining,
    /// Ran to its end, or to a gate that aborts.
    Finished,
    /// Could not run, or lost what it needed to.
    Failed,
    /// Ended by request.
    Cancelled,
}

impl RunStatus {
    /// Whether nothing will change any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }

    /// The name in records, events and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Planned => "planned",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a run showed, in rising precedence: an invalid measurement outweighs every failed gate, and a gate that
/// certainly failed is never hidden by one that lacks samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every gate held.
    Pass,
    /// Too little data to say, or the run was cut short.
    Undetermined,
    /// A gate did not hold.
    Fail,
    /// The measurement cannot be trusted.
    Invalid,
}

impl Verdict {
    /// The name in records, events and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undetermined => "undetermined",
            Self::Invalid => "invalid",
        }
    }
}

/// Exit code of `nuncius run` for how a run ended.
pub const fn exit_code(status: RunStatus, verdict: Option<Verdict>) -> u8 {
    match (status, verdict) {
        (RunStatus::Cancelled, _) => 6,
        (RunStatus::Finished, Some(Verdict::Pass)) => 0,
        (RunStatus::Finished, Some(Verdict::Fail)) => 1,
        (RunStatus::Finished, Some(Verdict::Undetermined)) => 3,
        (RunStatus::Finished, Some(Verdict::Invalid)) => 4,
        _ => 5,
    }
}

/// A node that takes part, and which incarnation of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunNode {
    /// Name in the registry.
    pub name: String,
    /// Epoch of the incarnation that was planned with.
    pub epoch: u64,
}

/// Everything the bus knows of one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Identifier.
    pub id: String,
    /// Sequence of the submission in its stream: the same key with the same sequence is the same submission.
    pub stream_sequence: u64,
    /// Where it is in its life.
    pub status: RunStatus,
    /// How it was judged, once it has ended.
    pub verdict: Option<Verdict>,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// The specification as submitted, secrets redacted unless the run has yet to start.
    #[serde(deserialize_with = "crate::spec::within::one")]
    pub spec: ExperimentSpec,
    /// When it was admitted, milliseconds since the Unix epoch.
    pub submitted_unix_ms: u64,
    /// When load was first offered, milliseconds since the Unix epoch.
    pub started_unix_ms: Option<u64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_unix_ms: Option<u64>,
    /// The routes that its targets are resolved by. While it offers load they follow the routing table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// How often they have changed since it was planned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub route_changes: u32,
    /// Who was planned to take part; of very many the first.
    pub nodes: Vec<RunNode>,
    /// How many more there are: where the run stands has them all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nodes_left_out: u32,
    /// How often nodes were chosen for it: the attempt that is under way, 0 before the first.
    #[serde(default)]
    pub attempt: u32,
    /// Fencing token of the daemon that looks after it, or did last; 0 before the first. It names where the run stands.
    #[serde(default)]
    pub token: u64,
    /// W3C trace context of the submission.
    pub traceparent: Option<String>,
    /// Where its result is stored, once a daemon looks after it: the host and the path of the file, or the server and
    /// its database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Most nodes that a run record names: it is written with every status, and must fit into a message.
pub const RECORD_NODES_MAX: usize = 1_024;

impl RunRecord {
    /// Notes who was planned to take part, as far as there is room.
    pub fn set_nodes(&mut self, nodes: &[RunNode]) {
        self.nodes = nodes.iter().take(RECORD_NODES_MAX).cloned().collect();
        self.nodes_left_out = u32::try_from(nodes.len() - self.nodes.len()).unwrap_or(u32::MAX);
    }

    /// Whether it has ended and its end was told. One that was cancelled by writing its record, while no daemon ran,
    /// has neither an event nor a report of that yet.
    pub fn is_told(&self) -> bool {
        self.status.is_terminal() && !(self.status == RunStatus::Cancelled && self.ended_unix_ms.is_none())
    }
}

/// Answer to a submission that named a `Nuncius-Reply` subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitReply {
    /// Identifier the experiment got, when it got one.
    pub id: Option<String>,
    /// Whether it will be run.
    pub accepted: bool,
    /// Why not.
    pub error: Option<String>,
}

/// A request on an experiment's control subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "control", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// End the run; a waiting one never starts.
    Cancel {
        /// Why, for the audit.
        #[serde(default)]
        reason: String,
        /// Who asks, for the audit, where a face knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
    /// Change the load from the end of the present horizon on.
    Amend {
        /// The group; every group when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// What is changed.
        change: Change,
        /// Why, for the audit.
        #[serde(default)]
        reason: String,
        /// Who asks, for the audit, where a face knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
    /// Mark the run: an event of kind `user`.
    Mark {
        /// What the mark is called.
        name: String,
        /// What it says beside that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// Who sets it, where a face knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
        /// When it happened, in milliseconds since the Unix epoch; absent: now. What has yet to come counts as now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_unix_ms: Option<u64>,
    },
}

/// Answer to a control request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlReply {
    /// Whether it is done or under way.
    pub accepted: bool,
    /// Why not.
    pub error: Option<String>,
    /// From which instant of run time on it holds, in nanoseconds, where that is not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ns: Option<u64>,
}
