//! Deltas: what a node measured since its last one. Counts are added when merged, percentiles never.
//!
//! A delta is known by (experiment, node, epoch, sequence, part); merging one twice changes nothing. Sequences start
//! at 1 and have no gaps; a delta that would exceed the message limit is split into parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One message on a node's metric subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricDelta {
    /// Experiment.
    pub experiment: String,
    /// Node.
    pub node: String,
    /// Incarnation of the node.
    pub epoch: u64,
    /// 1, 2, 3 …
    pub sequence: u64,
    /// 0 … parts − 1.
    pub part: u32,
    /// How many messages this sequence has.
    pub parts: u32,
    /// First second of run time covered.
    pub first_second: u32,
    /// Last second of run time covered; more than the first when seconds were folded while the bus was away.
    pub last_second: u32,
    /// Nothing follows this sequence.
    pub last: bool,
    /// Why the node stopped before its schedule ended.
    pub stopped: Option<String>,
    /// What the steps measured.
    pub steps: Vec<StepDelta>,
    /// How the generator itself fared; in part 0 only.
    pub health: Option<Health>,
}

/// What one step measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StepDelta {
    /// Index of the group in the specification.
    pub group: u16,
    /// Index of the step in the group; one past the last is the whole iteration of a group with several steps.
    pub step: u16,
    /// Taken from the schedule (open model) or begun (closed model).
    pub planned: u64,
    /// Written to a connection.
    pub sent: u64,
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Planned, and unanswered or unsent at the stop.
    pub censored: u64,
    /// Under way at the end of the delta: a gauge.
    pub in_flight: u64,
    /// Failures by kind.
    pub failures: Vec<FailureCount>,
    /// Taken − planned, encoded by `nuncius-stats`; empty when nothing was recorded.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub lag: Vec<u8>,
    /// Sent − taken.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub blocked: Vec<u8>,
    /// Done − sent.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub service: Vec<u8>,
    /// Done − planned; of answered requests and timeouts.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub response: Vec<u8>,
    /// Stop − planned, of censored requests: lower bounds of their response.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub censored_response: Vec<u8>,
    /// Stop − sent, of requests censored after they were sent: lower bounds of their service.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub censored_service: Vec<u8>,
    /// Of servos, in the last delta only and at the whole iteration: numbers of completed cycles, each with how many servos of the node
    /// completed so many. Added number by number when merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cycles: Vec<(u32, u64)>,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureCount {
    /// What went wrong.
    pub kind: FailureKind,
    /// Status of the answer, 0 when there was none.
    pub status: u16,
    /// How many.
    pub count: u64,
    /// One of them, bounded and redacted; may be absent after the first.
    pub sample: Option<String>,
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Answered with a status that was not expected.
    Status,
    /// No complete answer within the timeout.
    Timeout,
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// The connection ended before the answer did.
    Closed,
    /// The answer was not of the protocol.
    Protocol,
    /// The broker refused the message.
    Refused,
    /// The name of the target has no address.
    Resolve,
    /// The job ended otherwise than well: it failed, was given up or dropped.
    Job,
}

impl FailureKind {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Resolve => "resolve",
            Self::Job => "job",
        }
    }
}

/// How the generator itself fared during a delta.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Wall time covered, in nanoseconds.
    pub interval_ns: u64,
    /// Time the engine threads were runnable and did not run, the worst thread, in nanoseconds.
    pub run_delay_ns: u64,
    /// Time the cgroup was throttled, in nanoseconds.
    pub throttled_ns: u64,
    /// Processor time of the process, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory of the process, in bytes.
    pub resident_bytes: u64,
    /// Request records that found no room and were dropped.
    pub dropped_records: u64,
    /// Messages the NATS client dropped because a subscription was not read fast enough.
    pub slow_consumer: u64,
    /// Longest the reporting thread was late, in nanoseconds.
    pub heartbeat_late_ns: u64,
}
