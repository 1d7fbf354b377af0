//! The report of an experiment: everything a person or a program is told of how it went.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::ExperimentEvent;
use crate::gate::Quantity;
use crate::meter::{MeterKind, MeterUnit};
use crate::metric::{CheckCount, FailureKind, HostCount, SlowRequest, StatusCount};
use crate::profile::ProfileReport;
use crate::run::{RunStatus, Verdict};
use crate::search::SearchReport;
use crate::spec::{EngineKind, ExperimentSpec};
use crate::sweep::SweepReport;
use crate::track::TrackReport;

pub mod machine;
pub mod series;

pub use machine::{MACHINES_MAX, MachineReport};
pub use series::{FailureSeries, HeatMap, SeriesColumns, SeriesReport, StatusSeries};

/// Name and version of the form of [`Report`].
pub const REPORT_SCHEMA: &str = "report.v2";

/// One experiment's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Name and version of this form: [`REPORT_SCHEMA`]. In `report.v1` latencies of failed answers were among the
    /// others, rates were over the whole run, and seconds were in `intervals`.
    pub schema: String,
    /// Version of the program that wrote it.
    pub version: String,
    /// Experiment.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Who wanted it.
    pub creator: Option<String>,
    /// How it ended.
    pub status: RunStatus,
    /// How it was judged; absent when it never ran.
    pub verdict: Option<Verdict>,
    /// Why, the weightiest first.
    pub reasons: Vec<String>,
    /// When it was admitted, milliseconds since the Unix epoch.
    pub submitted_unix_ms: u64,
    /// When load was first offered, milliseconds since the Unix epoch.
    pub started_unix_ms: Option<u64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_unix_ms: Option<u64>,
    /// How long load was offered, in seconds: of the group that was offered longest.
    pub offered_seconds: f64,
    /// Iterations the schedules of all open groups hold in the time that was to be offered.
    pub scheduled: u64,
    /// Iterations of open groups that nodes took from their schedules.
    pub offered: u64,
    /// Scheduled − offered: load that was promised and not given.
    pub deficit: u64,
    /// Of the deficit, what a lost node may have offered without a word: the rest was certainly not offered.
    #[serde(default)]
    pub unaccounted: u64,
    /// What was measured, group by group.
    pub groups: Vec<GroupReport>,
    /// What had to hold.
    pub gates: Vec<GateReport>,
    /// Who took part.
    pub nodes: Vec<NodeReport>,
    /// What their machines are, and those whose telemetry is stored: at most [`MACHINES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineReport>,
    /// What became of messages that were numbered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<TrackReport>,
    /// What became of commands beside the load, by profile and node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileReport>,
    /// Over time, by group and step.
    #[serde(default)]
    pub series: Vec<SeriesReport>,
    /// Series beyond [`series::SERIES_MAX`]: they are in the exports only.
    #[serde(default)]
    pub series_left_out: u32,
    /// Seconds over all groups, of reports of the first version only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<Interval>,
    /// Of a search: its experiments and what came of them. It has no groups of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Box<SearchReport>>,
    /// Of a sweep: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Box<SweepReport>>,
    /// What happened.
    pub events: Vec<ExperimentEvent>,
    /// Trace id of the experiment, 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The specification, redacted.
    #[serde(default, deserialize_with = "crate::spec::within::maybe")]
    pub spec: Option<ExperimentSpec>,
}

/// What one group measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupReport {
    /// Name.
    pub name: String,
    /// What it spoke.
    pub engine: EngineKind,
    /// Whom it spoke to, redacted.
    pub target: String,
    /// Whether it followed a schedule: only then is there a planned instant, lag and a response time from it.
    pub open: bool,
    /// Iterations its schedule holds (open model), without those of the warm-up.
    pub scheduled: Option<u64>,
    /// Iterations begun, without those of the warm-up.
    pub offered: u64,
    /// What began in its warm-up; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUpReport>,
    /// How long this group's load was offered, in seconds, without its warm-up: rates are over this time.
    #[serde(default)]
    pub offered_seconds: f64,
    /// Iterations begun per second of that time.
    #[serde(default)]
    pub offered_per_second: f64,
    /// Whether the certificates of its TLS peers were checked; absent where it spoke no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_verified: Option<bool>,
    /// Each step; with several steps the last one, named `iteration`, is the whole.
    pub steps: Vec<StepReport>,
    /// Of servos: how many cycles they completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles: Option<CyclesReport>,
    /// Figures that the test or its protocol has of its own, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<MeterReport>,
}

/// What began in the warm-up of a group: it was sent, and counts in nothing else that is reported.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct WarmUpReport {
    /// How long it was, in seconds.
    pub seconds: f64,
    /// Iterations begun in it.
    pub iterations: u64,
    /// Requests of theirs that were sent.
    pub sent: u64,
    /// Redirects that were followed: requests more.
    pub redirects: u64,
    /// Requests that were answered as expected.
    pub succeeded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were given up at the end.
    pub censored: u64,
}

/// One meter over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeterReport {
    /// Name.
    pub name: String,
    /// What it adds up.
    pub kind: MeterKind,
    /// What its values are of.
    pub unit: MeterUnit,
    /// Of a counter: the sum.
    #[serde(default)]
    pub sum: u64,
    /// The same per second of the group's offered load.
    #[serde(default)]
    pub sum_per_second: f64,
    /// Of a histogram: its values, in its unit; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<MeterSummary>,
}

/// The values of a meter, in its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeterSummary {
    /// Values.
    pub count: u64,
    /// Values beyond the histogram's range.
    pub overflow: u64,
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
    /// p50, p90, p95, p99, p99.9, p99.99 as far as they mean something: quantile and value.
    pub quantiles: Vec<(f64, f64)>,
}

/// Cycles of measurement and adjustment that servos completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CyclesReport {
    /// Servos that told of theirs.
    pub servos: u64,
    /// Cycles of all of them.
    pub total: u64,
    /// Of the servo with the fewest.
    pub min: u32,
    /// Of the servo with the most.
    pub max: u32,
    /// Of a servo, on average.
    pub average: f64,
    /// Servos that completed none.
    #[serde(default)]
    pub idle: u64,
    /// (max − min) / average: 0 where all completed the same number; absent where none completed any.
    pub unevenness: Option<f64>,
}

/// What one step measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    /// Name.
    pub name: String,
    /// Not requests of one step are counted, but whole iterations of a group with several steps.
    #[serde(default)]
    pub is_iteration: bool,
    /// Taken from the schedule or begun.
    pub planned: u64,
    /// Written to a connection.
    pub sent: u64,
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Unanswered or unsent at the stop.
    pub censored: u64,
    /// Passed by, or given up before anything was sent, by the rules of the test itself.
    #[serde(default)]
    pub skipped: u64,
    /// Sent again because the server had closed the connection without seeing the request.
    #[serde(default)]
    pub retried: u64,
    /// Answers that led elsewhere and were followed: requests beside those that were sent.
    #[serde(default)]
    pub redirects: u64,
    /// Waited for a node's cap on the rate before they were made.
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
    /// Succeeded per second of the group's offered load.
    pub succeeded_per_second: f64,
    /// Bytes written to connections per second of the group's offered load.
    #[serde(default)]
    pub bytes_sent_per_second: f64,
    /// Bytes read from connections per second of the group's offered load.
    #[serde(default)]
    pub bytes_received_per_second: f64,
    /// Answers by status, successes included, rising; empty for protocols without one.
    #[serde(default)]
    pub statuses: Vec<StatusCount>,
    /// Failures, the most frequent first.
    pub failures: Vec<FailureReport>,
    /// Checks by name; a check that failed is told apart from a request that did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
    /// What each host did, where the target has several or goes by a route: at most
    /// [`HOSTS_MAX`](crate::metric::HOSTS_MAX) and one for all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostCount>,
    /// The four quantities of what succeeded or waited its timeout; those without data are absent.
    pub quantities: BTreeMap<Quantity, Summary>,
    /// Response and service of answers that failed; those without data are absent.
    #[serde(default)]
    pub failed_quantities: BTreeMap<Quantity, Summary>,
    /// The slowest requests of the run, slowest first, each with its trace: of those that were among the slowest of
    /// their second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowRequest>,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// What went wrong.
    pub kind: FailureKind,
    /// Status of the answer, 0 when there was none.
    pub status: u16,
    /// How many.
    pub count: u64,
    /// One of them, bounded and redacted.
    pub sample: Option<String>,
}

/// A quantity in figures; times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Observations that ended.
    pub count: u64,
    /// Observations known only from below.
    pub censored: u64,
    /// Observations beyond the histogram's range.
    pub overflow: u64,
    /// Smallest.
    pub min_ns: u64,
    /// Mean of those that ended.
    pub mean_ns: f64,
    /// Largest; of those that did not end, how long they had waited.
    pub max_ns: u64,
    /// p50, p90, p95, p99, p99.9, p99.99 as far as they mean something.
    pub quantiles: Vec<QuantileReport>,
    /// Percentile curve: quantile and value in nanoseconds, rising.
    pub curve: Vec<(f64, u64)>,
}

/// One quantile with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantileReport {
    /// In (0, 1).
    pub quantile: f64,
    /// The estimate, in nanoseconds.
    pub value_ns: u64,
    /// The estimate is a lower bound, because of censored observations: print it with ≥.
    pub at_least: bool,
    /// One-sided 95 % lower bound, in nanoseconds.
    pub lower_ns: Option<u64>,
    /// One-sided 95 % upper bound, in nanoseconds; absent when there are too few observations for one.
    pub upper_ns: Option<u64>,
}

/// How one gate was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// The gate as text.
    pub gate: String,
    /// `pass`, `fail` or `undetermined`.
    pub outcome: Verdict,
    /// What was observed: nanoseconds, a share, or per second, as the gate's metric.
    pub observed: Option<f64>,
    /// One-sided lower bound; at 95 %, or surer where a gate is looked at more than once.
    pub lower: Option<f64>,
    /// One-sided upper bound; at 95 %, or surer where a gate is looked at more than once.
    pub upper: Option<f64>,
    /// Observations it rests on.
    pub samples: u64,
    /// First second of the worst window, for a windowed gate.
    pub worst_window_second: Option<u32>,
    /// For people.
    pub reason: String,
}

/// What one node did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReport {
    /// Name.
    pub name: String,
    /// Host name.
    pub host: String,
    /// Version of its program.
    pub version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its clock − the daemon's, in nanoseconds (of CLOCK_MONOTONIC: only its change means something).
    pub clock_offset_ns: Option<i64>,
    /// Bound of the error of that, in nanoseconds.
    pub clock_error_ns: Option<u64>,
    /// How far the offset moved during the run, in nanoseconds.
    pub clock_drift_ns: Option<i64>,
    /// Shards it was given, over all groups.
    pub shards: u32,
    /// Iterations it took or began.
    pub offered: u64,
    /// Lag p99 over the run, in nanoseconds.
    pub lag_p99_ns: Option<u64>,
    /// Largest share of any 5 s in which an engine thread waited for a processor.
    pub run_delay_share: f64,
    /// Time its cgroup was throttled, in nanoseconds.
    pub throttled_ns: u64,
    /// Largest resident memory, in bytes.
    pub resident_bytes_max: u64,
    /// Deltas merged.
    pub deltas: u64,
    /// Why it stopped early or was given up.
    pub lost: Option<String>,
}

/// One second of the run, over all groups and nodes, in reports of the first version; [`SeriesReport`] took its place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Second of run time.
    pub second: u32,
    /// Iterations offered.
    pub offered: u64,
    /// Requests that ended as expected.
    pub succeeded: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Under way at its end.
    pub in_flight: u64,
    /// Response p50, in nanoseconds.
    pub response_p50_ns: Option<u64>,
    /// Response p95, in nanoseconds.
    pub response_p95_ns: Option<u64>,
    /// Response p99, in nanoseconds.
    pub response_p99_ns: Option<u64>,
    /// Service p50, in nanoseconds.
    pub service_p50_ns: Option<u64>,
    /// Service p99, in nanoseconds.
    pub service_p99_ns: Option<u64>,
    /// Blocked p99, in nanoseconds.
    pub blocked_p99_ns: Option<u64>,
    /// Lag p99, in nanoseconds.
    pub lag_p99_ns: Option<u64>,
}
