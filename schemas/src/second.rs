//! One merged second of an experiment, by group and step: the one source of every live view, chart, export and metric.
//!
//! The daemon publishes it once, when every node has spoken of a later second or the second is long past. Counts are
//! those of that second; distributions are sparse histograms, which can be added to those of other seconds, steps or
//! groups without loss. Quantiles stand beside them for readers that do not decode histograms; they are of the same
//! data, and are never to be averaged. `docs/seconds.md` has every field, the units and how to merge.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod distribution;
mod meter;

pub use distribution::Distribution;
pub use meter::MeterSecond;

use crate::metric::{CheckCount, FailureCount, HostCount, Series, SlowRequest, StatusCount};
use crate::run::RunStatus;

/// Message on `<namespace>.experiment.<id>.second`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentSecond {
    /// Experiment.
    pub experiment: String,
    /// Second of run time, from 0.
    pub second: u32,
    /// First second that is covered: less than `second` where a node could not tell its seconds in time, and told
    /// several at once with the last of them.
    #[serde(default)]
    pub first_second: u32,
    /// 0 for the second as it was first published; raised when deltas that came late changed it. The highest one that
    /// is not [`Self::late`] counts.
    pub revision: u32,
    /// Holds only what came after the second itself had been let go: its counts and histograms are added to what was
    /// published before, instead of taking its place.
    #[serde(default)]
    pub late: bool,
    /// 0 … parts − 1: a second that would exceed the message limit is split by steps.
    #[serde(default)]
    pub part: u32,
    /// How many messages this revision has.
    #[serde(default = "one_part")]
    pub parts: u32,
    /// How long the run was under way in this second, in nanoseconds: less than a whole one in the last.
    pub length_ns: u64,
    /// Start of the second on the daemon's wall clock, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// Where the experiment is.
    pub status: RunStatus,
    /// Seconds of load in all, when that is known.
    pub seconds_total: Option<u32>,
    /// What each group did, in the order of the specification.
    pub groups: Vec<GroupSecond>,
    /// Each node's part; of very many those that fared worst. In part 0 only.
    pub nodes: Vec<NodeSecond>,
    /// Nodes that told of it and are not among these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nodes_left_out: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What messages mean that do not say how many parts there are.
const fn one_part() -> u32 {
    1
}

/// What one group did in a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GroupSecond {
    /// Index in the specification.
    pub group: u16,
    /// Name.
    pub name: String,
    /// Whether it follows a schedule.
    pub open: bool,
    /// How long its load was offered in this second, in nanoseconds; 0 before and after its schedule.
    #[serde(default)]
    pub offered_ns: u64,
    /// Iterations that its schedule holds in this second; absent in the closed model.
    pub scheduled: Option<u64>,
    /// Whole iterations, from the planned instant of the first step to the end of the last. Absent where the group has
    /// one step, which is the iteration then, and in parts that do not carry it.
    pub iterations: Option<StepSecond>,
    /// Requests, step by step.
    pub steps: Vec<StepSecond>,
    /// Sums over every second that was published up to now, this one included.
    #[serde(default)]
    pub so_far: GroupSums,
    /// Its meters that have added something up to now; in the first part alone that tells of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<MeterSecond>,
}

impl GroupSecond {
    /// Where its iterations are counted: the whole iteration, or the only step.
    pub fn iteration(&self) -> Option<&StepSecond> {
        self.iterations.as_ref().or(self.only_step())
    }

    /// The step that is the iteration: the only one where nothing is told of the whole.
    pub fn only_step(&self) -> Option<&StepSecond> {
        match (self.steps.as_slice(), &self.iterations) {
            ([only], None) => Some(only),
            _ => None,
        }
    }

    /// Everything it tells of, steps first, each with whether iterations are counted there.
    pub fn recorders(&self) -> impl Iterator<Item = (bool, &StepSecond)> {
        let is_only = self.only_step().is_some();
        self.steps.iter().map(move |step| (is_only, step)).chain(self.iterations.iter().map(|whole| (true, whole)))
    }
}

/// What a group did from the start of the run on: whoever joins late knows where it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GroupSums {
    /// Whole iterations.
    pub iterations: Counts,
    /// Requests of all steps.
    pub requests: Counts,
    /// Failed requests by kind and status, the most frequent first.
    pub failures: Vec<FailureCount>,
}

/// How things that were begun ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Taken from the schedule, or begun.
    pub offered: u64,
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
}

/// Counts and distributions of one step, or of whole iterations, in a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StepSecond {
    /// Index of the step in the group; one past the last for the whole iteration.
    #[serde(default)]
    pub step: u16,
    /// Name; `iteration` for the whole.
    pub name: String,
    /// Taken from the schedule, or begun.
    pub offered: u64,
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
    /// Under way at the end of the second.
    pub in_flight: u64,
    /// Sent again because the server had closed the connection without seeing the request.
    pub retried: u64,
    /// Answers that led elsewhere and were followed: requests beside those that were sent.
    #[serde(default)]
    pub redirects: u64,
    /// Bytes written to connections.
    pub bytes_sent: u64,
    /// Bytes read from connections.
    pub bytes_received: u64,
    /// Answers by status, successes included.
    pub statuses: Vec<StatusCount>,
    /// Failures by kind.
    pub failures: Vec<FailureCount>,
    /// Checks by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
    /// What each host did, where the target has several or goes by a route: at most
    /// [`HOSTS_MAX`](crate::metric::HOSTS_MAX) and one for all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostCount>,
    /// Done − planned, of what succeeded or waited its timeout.
    pub response: Distribution,
    /// Done − sent, of what succeeded or waited its timeout.
    pub service: Distribution,
    /// Sent − taken: no free connection.
    pub blocked: Distribution,
    /// Taken − planned: the generator's own delay.
    pub lag: Distribution,
    /// Done − planned, of answers that failed.
    pub failed_response: Distribution,
    /// Done − sent, of answers that failed.
    pub failed_service: Distribution,
    /// Stop − planned, of what was censored: lower bounds of its response.
    #[serde(default)]
    pub censored_response: Distribution,
    /// Stop − sent, of what was censored after it was sent: lower bounds of its service.
    #[serde(default)]
    pub censored_service: Distribution,
    /// The slowest requests that ended, slowest first, at most as many as the specification wants (`trace_slowest`),
    /// each with its trace. Empty for whole iterations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowRequest>,
    /// The histograms were left out because they alone exceed the message limit; counts and quantiles are complete.
    #[serde(default)]
    pub without_histograms: bool,
}

impl StepSecond {
    /// One of its distributions.
    pub const fn series(&self, series: Series) -> &Distribution {
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
    pub const fn series_mut(&mut self, series: Series) -> &mut Distribution {
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

/// One node's part of a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NodeSecond {
    /// Node.
    pub node: String,
    /// Iterations it took or began.
    pub offered: u64,
    /// Under way at the end of the second.
    pub in_flight: u64,
    /// Lag p99, in nanoseconds.
    pub lag_p99_ns: Option<u64>,
    /// Share of the second that its busiest engine thread waited for a processor.
    pub run_delay_share: f64,
    /// Share of the second that its busiest engine thread ran.
    pub utilisation: f64,
}
