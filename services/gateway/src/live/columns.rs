//! A merged second as columns: the same index is the same row in each, and rows are those of the definitions.

use nuncius_schemas::metric::{FailureKind, SlowRequest};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::second::{Distribution, ExperimentSecond, GroupSecond, StepSecond};
use nuncius_stats::heat::cells;
use schemars::JsonSchema;
use serde::Serialize;

use super::definitions::Definitions;

/// Most nodes that one message tells of.
const NODES_MAX: usize = 64;
/// Most slow requests that one message tells of.
const SLOWEST_MAX: usize = 16;
/// Most cells of heat maps that one message tells of: those of iterations come first, and of more the rows that come
/// last have none.
const CELLS_MAX: usize = 4_000;

/// One second, or a part, a revision or a late piece of one. The highest revision of a second that is not late counts;
/// what is late is added.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct SecondColumns {
    /// Second of run time, from 0.
    second: u32,
    /// First second that is covered: less than `second` where several were told at once.
    first_second: u32,
    /// Raised when something that came late changed it.
    revision: u32,
    /// Holds only what came after the second had been let go.
    late: bool,
    /// 0 … parts − 1.
    part: u32,
    /// How many messages this revision has; each has other steps.
    parts: u32,
    /// How long the run was under way in it.
    length_ns: u64,
    /// When it began, on the daemon's clock.
    at_unix_ms: u64,
    /// Where the run is.
    status: RunStatus,
    /// Seconds of load in all, when that is known.
    seconds_total: Option<u32>,
    groups: GroupColumns,
    steps: StepColumns,
    nodes: NodeColumns,
    /// Failures: row of `steps`, kind, status of the answer (0 without one), how many.
    failures: Vec<(u32, FailureKind, u16, u64)>,
    /// The slowest requests that ended.
    slowest: Vec<Slow>,
    heat: HeatColumns,
}

/// Where latencies were: the response, or the service where nothing is planned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
struct HeatColumns {
    /// Row of `steps`.
    row: Vec<u32>,
    /// Index in `heat_upper_ns` of the definitions.
    edge: Vec<u16>,
    /// How many ended there.
    count: Vec<u64>,
}

/// A slow request.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Slow {
    /// Row of `steps`.
    row: u32,
    /// Done − planned.
    response_ns: u64,
    /// Done − sent.
    service_ns: u64,
    /// When it was done, in run time.
    done_ns: u64,
    /// Its trace; empty without one.
    trace_id: String,
    /// How it failed, if it did.
    failure: Option<FailureKind>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
struct GroupColumns {
    /// Rows of `groups` of the definitions.
    row: Vec<u16>,
    /// How long load was offered.
    offered_ns: Vec<u64>,
    /// Iterations that the schedule holds; absent in the closed model.
    scheduled: Vec<Option<u64>>,
    /// Iterations from the start on, this message included.
    so_far_offered: Vec<u64>,
    so_far_succeeded: Vec<u64>,
    so_far_failed: Vec<u64>,
    so_far_censored: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
struct StepColumns {
    /// Rows of `steps` of the definitions.
    row: Vec<u32>,
    offered: Vec<u64>,
    sent: Vec<u64>,
    succeeded: Vec<u64>,
    failed: Vec<u64>,
    /// Unanswered or unsent at the stop: their latencies are at least `censored_max_ns`.
    censored: Vec<u64>,
    skipped: Vec<u64>,
    in_flight: Vec<u64>,
    retried: Vec<u64>,
    bytes_sent: Vec<u64>,
    bytes_received: Vec<u64>,
    response_p50_ns: Vec<Option<u64>>,
    response_p95_ns: Vec<Option<u64>>,
    response_p99_ns: Vec<Option<u64>>,
    response_max_ns: Vec<Option<u64>>,
    service_p50_ns: Vec<Option<u64>>,
    service_p95_ns: Vec<Option<u64>>,
    service_p99_ns: Vec<Option<u64>>,
    service_max_ns: Vec<Option<u64>>,
    blocked_p99_ns: Vec<Option<u64>>,
    lag_p99_ns: Vec<Option<u64>>,
    censored_max_ns: Vec<Option<u64>>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
struct NodeColumns {
    node: Vec<String>,
    offered: Vec<u64>,
    in_flight: Vec<u64>,
    lag_p99_ns: Vec<Option<u64>>,
    run_delay_share: Vec<f64>,
    utilisation: Vec<f64>,
    /// Nodes that told of it and are not among these.
    left_out: u32,
}

impl SecondColumns {
    pub(crate) fn of(told: &ExperimentSecond, definitions: &Definitions) -> Self {
        let mut columns = Self {
            second: told.second,
            first_second: told.first_second,
            revision: told.revision,
            late: told.late,
            part: told.part,
            parts: told.parts,
            length_ns: told.length_ns,
            at_unix_ms: told.at_unix_ns / 1_000_000,
            status: told.status,
            seconds_total: told.seconds_total,
            groups: GroupColumns::default(),
            steps: StepColumns::default(),
            nodes: NodeColumns::default(),
            failures: Vec::new(),
            slowest: Vec::new(),
            heat: HeatColumns::default(),
        };
        for group in &told.groups {
            columns.groups.row.push(group.group);
            columns.groups.offered_ns.push(group.offered_ns);
            columns.groups.scheduled.push(group.scheduled);
            let so_far = group.so_far.iterations;
            columns.groups.so_far_offered.push(so_far.offered);
            columns.groups.so_far_succeeded.push(so_far.succeeded);
            columns.groups.so_far_failed.push(so_far.failed);
            columns.groups.so_far_censored.push(so_far.censored);
            for (is_iteration, step) in group.recorders() {
                columns.step(group, step, definitions);
                if is_iteration {
                    columns.heat(group, step, definitions);
                }
            }
        }
        for group in &told.groups {
            for (_, step) in group.recorders().filter(|(is_iteration, _)| !is_iteration) {
                columns.heat(group, step, definitions);
            }
        }
        columns.slowest.sort_by_key(|slow| std::cmp::Reverse(slow.response_ns));
        columns.slowest.truncate(SLOWEST_MAX);
        let left_out = u32::try_from(told.nodes.len().saturating_sub(NODES_MAX)).unwrap_or(u32::MAX);
        columns.nodes.left_out = told.nodes_left_out.saturating_add(left_out);
        for node in told.nodes.iter().take(NODES_MAX) {
            let nodes = &mut columns.nodes;
            nodes.node.push(node.node.clone());
            nodes.offered.push(node.offered);
            nodes.in_flight.push(node.in_flight);
            nodes.lag_p99_ns.push(node.lag_p99_ns);
            nodes.run_delay_share.push(rounded(node.run_delay_share));
            nodes.utilisation.push(rounded(node.utilisation));
        }
        columns
    }

    fn heat(&mut self, group: &GroupSecond, step: &StepSecond, definitions: &Definitions) {
        let Some(row) = definitions.row(group, step).and_then(|row| u32::try_from(row).ok()) else { return };
        let Ok(cells) = cells(&headline(group, step).histogram, &definitions.heat_upper_ns) else { return };
        if self.heat.row.len() + cells.len() > CELLS_MAX {
            return;
        }
        for (edge, count) in cells {
            self.heat.row.push(row);
            self.heat.edge.push(edge);
            self.heat.count.push(count);
        }
    }

    fn step(&mut self, group: &GroupSecond, step: &StepSecond, definitions: &Definitions) {
        let Some(row) = definitions.row(group, step).and_then(|row| u32::try_from(row).ok()) else { return };
        let steps = &mut self.steps;
        steps.row.push(row);
        for (column, value) in [
            (&mut steps.offered, step.offered),
            (&mut steps.sent, step.sent),
            (&mut steps.succeeded, step.succeeded),
            (&mut steps.failed, step.failed),
            (&mut steps.censored, step.censored),
            (&mut steps.skipped, step.skipped),
            (&mut steps.in_flight, step.in_flight),
            (&mut steps.retried, step.retried),
            (&mut steps.bytes_sent, step.bytes_sent),
            (&mut steps.bytes_received, step.bytes_received),
        ] {
            column.push(value);
        }
        let censored = step.censored_response.max_ns.or(step.censored_service.max_ns);
        for (column, value) in [
            (&mut steps.response_p50_ns, step.response.p50_ns),
            (&mut steps.response_p95_ns, step.response.p95_ns),
            (&mut steps.response_p99_ns, step.response.p99_ns),
            (&mut steps.response_max_ns, step.response.max_ns),
            (&mut steps.service_p50_ns, step.service.p50_ns),
            (&mut steps.service_p95_ns, step.service.p95_ns),
            (&mut steps.service_p99_ns, step.service.p99_ns),
            (&mut steps.service_max_ns, step.service.max_ns),
            (&mut steps.blocked_p99_ns, step.blocked.p99_ns),
            (&mut steps.lag_p99_ns, step.lag.p99_ns),
            (&mut steps.censored_max_ns, censored),
        ] {
            column.push(value);
        }
        self.failures.extend(step.failures.iter().map(|failure| (row, failure.kind, failure.status, failure.count)));
        self.slowest.extend(step.slowest.iter().map(|slow: &SlowRequest| Slow {
            row,
            response_ns: slow.response_ns,
            service_ns: slow.service_ns,
            done_ns: slow.done_ns,
            trace_id: slow.trace_id.clone(),
            failure: slow.failure,
        }));
    }
}

/// The latency that counts: the response, or the service where nothing is planned.
pub(crate) const fn headline<'a>(group: &GroupSecond, step: &'a StepSecond) -> &'a Distribution {
    if group.open { &step.response } else { &step.service }
}

/// A share in millionths: more digits say nothing.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}
