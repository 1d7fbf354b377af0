//! Deltas: what a node measured since its last one. Counts are added when merged, percentiles never.
//!
//! A delta is known by (experiment, attempt, node, epoch, sequence, part); merging one twice changes nothing. Sequences
//! start at 1 and have no gaps; a delta that would exceed the message limit is split into parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::FaultCount;
use crate::meter::MeterDelta;
use crate::track::TrackDelta;

mod check;
mod host;
mod series;

pub use check::{CHECK_NAME_MAX_BYTES, CHECKS_MAX, CHECKS_OTHERS, CheckCount, add_check, add_checks, sum_checks};
pub use host::{HOSTS_MAX, HOSTS_OTHERS, HostCount, add_hosts};
pub use series::{BySeries, Series};

/// One message on a node's metric subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricDelta {
    /// Experiment.
    pub experiment: String,
    /// Node.
    pub node: String,
    /// Incarnation of the node.
    pub epoch: u64,
    /// Which start of the experiment this is of, from 1: a run that is planned anew is another attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
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
    /// What kept the node from offering all of its schedule, as the rest of a sentence about it.
    pub stopped: Option<String>,
    /// The same for programs; in the last delta only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
    /// In the last delta of a run whose request records are kept: what the node has written of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsWritten>,
    /// What the steps measured.
    pub steps: Vec<StepDelta>,
    /// What the groups' meters added up; those without anything to add are absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<MeterDelta>,
    /// What became of messages that are numbered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<TrackDelta>,
    /// How the generator itself fared; in part 0 only.
    pub health: Option<Health>,
}

/// Request records that a node has written: what there is less in the store is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RecordsWritten {
    /// Batches, numbered from 1 without gaps.
    pub batches: u64,
    /// Rows in all of them.
    pub rows: u64,
}

/// What messages mean that do not say which attempt they are of.
pub(crate) const fn first_attempt() -> u32 {
    1
}

/// Why a node has not offered all of its schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// It was told to end by its own operator, and has told everything.
    Left,
    /// It stood at its horizon for a while, or for good, since nobody moved that.
    Stood,
    /// It could not go on, or had reached one of its caps.
    Failed,
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
    /// Planned, and passed by or given up before anything was sent, by the rules of the test itself. Together with what
    /// succeeded, failed, was censored and is still open it is all that was planned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Under way at the end of the delta: a gauge.
    pub in_flight: u64,
    /// Sent again because the server had closed the connection without seeing the request.
    #[serde(default)]
    pub retried: u64,
    /// Answers that led elsewhere and were followed: requests beside those that were sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redirects: u64,
    /// Waited for the node's cap on the rate before they were made.
    #[serde(default)]
    pub held_back: u64,
    /// Pauses of users whose iteration ended without an answer.
    #[serde(default)]
    pub backed_off: u64,
    /// Bytes written to connections.
    #[serde(default)]
    pub bytes_sent: u64,
    /// Bytes read from connections.
    #[serde(default)]
    pub bytes_received: u64,
    /// Answers by status, successes included; empty for protocols without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<StatusCount>,
    /// Failures by kind.
    pub failures: Vec<FailureCount>,
    /// Checks by name; at most [`CHECKS_MAX`] and [`CHECKS_OTHERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
    /// What each host did, where the target has several or goes by a route: at most
    /// [`HOSTS_MAX`](crate::metric::HOSTS_MAX) and one for all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostCount>,
    /// Taken − planned, encoded by `nuncius-stats`; empty when nothing was recorded.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub lag: Vec<u8>,
    /// Sent − taken.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub blocked: Vec<u8>,
    /// Done − sent, of what succeeded or waited its timeout.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub service: Vec<u8>,
    /// Done − planned, of what succeeded or waited its timeout.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub response: Vec<u8>,
    /// Done − sent, of answers that failed.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<u8>")]
    pub failed_service: Vec<u8>,
    /// Done − planned, of answers that failed.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<u8>")]
    pub failed_response: Vec<u8>,
    /// Stop − planned, of censored requests: lower bounds of their response.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub censored_response: Vec<u8>,
    /// Stop − sent, of requests censored after they were sent: lower bounds of their service.
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub censored_service: Vec<u8>,
    /// Of servos, in the last delta only and at the whole iteration: numbers of completed cycles, each with how many
    /// servos of the node completed so many. Added number by number when merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cycles: Vec<(u32, u64)>,
    /// The slowest requests that ended, slowest first: at most as many as the specification wants (`trace_slowest`).
    /// Empty for the whole iteration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowRequest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StepDelta {
    /// One of its distributions, encoded.
    pub const fn series(&self, series: Series) -> &Vec<u8> {
        match series {
            Series::Lag => &self.lag,
            Series::Blocked => &self.blocked,
            Series::Service => &self.service,
            Series::Response => &self.response,
            Series::FailedService => &self.failed_service,
            Series::FailedResponse => &self.failed_response,
            Series::CensoredService => &self.censored_service,
            Series::CensoredResponse => &self.censored_response,
        }
    }

    /// One of its distributions, to be changed.
    pub const fn series_mut(&mut self, series: Series) -> &mut Vec<u8> {
        match series {
            Series::Lag => &mut self.lag,
            Series::Blocked => &mut self.blocked,
            Series::Service => &mut self.service,
            Series::Response => &mut self.response,
            Series::FailedService => &mut self.failed_service,
            Series::FailedResponse => &mut self.failed_response,
            Series::CensoredService => &mut self.censored_service,
            Series::CensoredResponse => &mut self.censored_response,
        }
    }
}

/// Most of the slowest requests that are told of one step and second.
pub const SLOWEST_MAX: usize = 32;

/// One of the slowest requests: what leads from a tail to its trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlowRequest {
    /// Trace that its span is in, 32 hexadecimal digits; empty where no span of it leaves its node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// Its span, 16 hexadecimal digits: a function of the request alone. Empty with the trace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub span_id: String,
    /// Done − planned, in nanoseconds; where nothing was planned (closed model, later steps), done − begun.
    pub response_ns: u64,
    /// Done − sent, in nanoseconds.
    pub service_ns: u64,
    /// When it ended, in nanoseconds of run time.
    pub done_ns: u64,
    /// Index of the iteration, as request records have it.
    pub index: u64,
    /// Status of the answer; 0 without one.
    pub status: u16,
    /// What went wrong; absent where it ended as expected. It is among the `response`s when this is absent or a
    /// timeout, among the `failed_response`s otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
    /// It carried a sampled `traceparent`: the target may have told spans of its own. Otherwise its trace holds what
    /// the client saw, and nothing else of it.
    #[serde(default)]
    pub sampled: bool,
    /// Node that made it; empty in a delta, which names its node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
}

/// Answers with one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct StatusCount {
    /// Status of the answer.
    pub status: u16,
    /// How many.
    pub count: u64,
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
    /// The answer has nothing of what was to be taken from it.
    Capture,
    /// A check failed that ends the iteration.
    Check,
    /// The body of the answer was longer than what is kept for captures, checks and scripts.
    BodyLimit,
    /// A template could not be filled in: the test's own fault.
    Template,
    /// The test's script failed: the test's own fault.
    Script,
    /// There was no data for it, such as another row: the test's own fault.
    Data,
}

/// How long a failure took, as a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureLatency {
    /// It waited its whole timeout: it counts among the latencies of all, for the answer took at least that long.
    Waited,
    /// It was answered: its latency is kept apart from those of what succeeded.
    Answered,
    /// It ended before the target had its time: its length says nothing of the target's speed.
    Short,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Status,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Closed,
        Self::Protocol,
        Self::Refused,
        Self::Resolve,
        Self::Job,
        Self::Capture,
        Self::Check,
        Self::BodyLimit,
        Self::Template,
        Self::Script,
        Self::Data,
    ];

    /// Whether and as what the length of such a failure counts as latency: the one list that all engines go by.
    ///
    /// A connect, handshake or look-up that is ended by its timeout is a [`Self::Timeout`], whatever it waited for.
    pub const fn latency(self) -> FailureLatency {
        match self {
            Self::Timeout => FailureLatency::Waited,
            Self::Status | Self::Refused | Self::Job | Self::Capture | Self::Check | Self::BodyLimit => {
                FailureLatency::Answered
            }
            Self::Connect
            | Self::Tls
            | Self::Closed
            | Self::Protocol
            | Self::Resolve
            | Self::Template
            | Self::Script
            | Self::Data => FailureLatency::Short,
        }
    }

    /// Whether it is the test's own fault, and says nothing of the target.
    pub const fn is_of_test(self) -> bool {
        match self {
            Self::Template | Self::Script | Self::Data => true,
            Self::Status
            | Self::Timeout
            | Self::Connect
            | Self::Tls
            | Self::Closed
            | Self::Protocol
            | Self::Refused
            | Self::Resolve
            | Self::Job
            | Self::Capture
            | Self::Check
            | Self::BodyLimit => false,
        }
    }

    /// Whether only sessions meet it: what they take from answers, check, fill in or run.
    pub const fn is_of_session(self) -> bool {
        match self {
            Self::Capture | Self::Check | Self::BodyLimit | Self::Template | Self::Script | Self::Data => true,
            Self::Status
            | Self::Timeout
            | Self::Connect
            | Self::Tls
            | Self::Closed
            | Self::Protocol
            | Self::Refused
            | Self::Resolve
            | Self::Job => false,
        }
    }

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
            Self::Capture => "capture",
            Self::Check => "check",
            Self::BodyLimit => "body_limit",
            Self::Template => "template",
            Self::Script => "script",
            Self::Data => "data",
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
    /// Time the busiest engine thread ran, in nanoseconds.
    #[serde(default)]
    pub busy_ns: u64,
    /// What the generator ran out of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultCount>,
}
