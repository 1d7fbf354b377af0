//! The merged seconds of one run: made when they close, changed by what comes late, folded into the report's series.
//! Pure.
//!
//! They are the one source of everything that is shown over time: what is published, stored and reported is these
//! values.

use std::collections::{BTreeMap, VecDeque};

use nuncius_schemas::codec::{self, MESSAGE_MAX_BYTES};
use nuncius_schemas::metric::{self, FailureCount, StatusCount};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::second::{ExperimentSecond, GroupSecond, GroupSums, NodeSecond, StepSecond};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::steps::{ITERATION, StepTable};
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::second::{add_piece, add_sums, distribution};

use crate::offered::{OfferedTimes, SecondsOfSchedule};
use crate::series::Series;
use crate::summary::OverTime;
use crate::totals::{SecondTotals, StepTotals};

mod meters;
mod state;

use meters::{MetersSoFar, meters_bytes};

/// Closed seconds that are kept to be published anew when more of them comes.
const RECENT_SECONDS_MAX: usize = 120;
/// Bytes that these may take, estimated.
const RECENT_BYTES_MAX: usize = 16 << 20;
/// Most nodes that a second tells of.
const NODES_TOLD_MAX: usize = 256;
/// Most kinds of failure that a group's sums tell.
const SUM_FAILURES_MAX: usize = 16;
/// About how long the message form of one of the slowest requests is, a name of 64 bytes included.
const SLOW_BYTES: usize = 320;
/// Room that the headers of a message take of the server's limit.
const HEADERS_BYTES: usize = 1_024;
/// Room left in a message for everything that is not a step.
const ENVELOPE_BYTES: usize = 16 * 1024;

/// What is known of a run when seconds of it close.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// Where the experiment is.
    pub status: RunStatus,
    /// Run time at which it was told to stop, if it was, in nanoseconds.
    pub stopped_ns: Option<u64>,
    /// Run time at which the last node ended, once it has, in nanoseconds.
    pub ended_ns: Option<u64>,
}

/// A group, as seconds name it.
#[derive(Debug)]
struct GroupFrame {
    group: u16,
    name: String,
    open: bool,
    steps: StepTable,
    schedule: Option<SecondsOfSchedule>,
    so_far: GroupSums,
    meters: MetersSoFar,
}

/// The seconds of one run.
#[derive(Debug)]
pub struct Seconds {
    experiment: String,
    /// The daemon's wall clock at the start, nanoseconds since the Unix epoch.
    start_unix_ns: u64,
    seconds_total: Option<u32>,
    /// How many of the slowest requests of a step are told.
    slowest: usize,
    groups: Vec<GroupFrame>,
    offered: OfferedTimes,
    next_second: u32,
    recent: VecDeque<ExperimentSecond>,
    recent_bytes: usize,
    /// Pieces that came too late to be added here.
    late_pieces: u32,
    last_offered_second: Option<u32>,
    series: Series,
}

/// How many seconds of load there are, where that is known.
fn seconds_total(spec: &ExperimentSpec) -> Option<u32> {
    u32::try_from(spec.amended_end_ns()?.div_ceil(SECOND_NS)).ok()
}

impl Seconds {
    /// None yet, of a run whose groups run on so many nodes.
    pub fn new(experiment: &str, spec: &ExperimentSpec, nodes_per_group: &[u32], start_unix_ns: u64) -> Self {
        let tables: Vec<(String, StepTable)> =
            spec.groups.iter().map(|group| (group.name.clone(), group.step_table())).collect();
        let groups = (0u16..)
            .zip(&spec.groups)
            .map(|(index, group)| GroupFrame {
                group: index,
                name: group.name.clone(),
                open: group.is_open(),
                steps: group.step_table(),
                schedule: {
                    let nodes = nodes_per_group.get(usize::from(index)).copied().unwrap_or(1);
                    SecondsOfSchedule::new(spec, index, group, nodes)
                },
                so_far: GroupSums::default(),
                meters: MetersSoFar::default(),
            })
            .collect();
        Self {
            experiment: experiment.to_owned(),
            start_unix_ns,
            seconds_total: seconds_total(spec),
            slowest: spec.trace_slowest as usize,
            groups,
            offered: OfferedTimes::new(spec, nodes_per_group),
            next_second: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
            late_pieces: 0,
            last_offered_second: None,
            series: Series::new(&tables),
        }
    }

    /// The specification was amended from an instant on of which no second has closed yet.
    pub fn amend(&mut self, spec: &ExperimentSpec, nodes_per_group: &[u32]) {
        for (index, (frame, group)) in (0u16..).zip(self.groups.iter_mut().zip(&spec.groups)) {
            let nodes = nodes_per_group.get(usize::from(index)).copied().unwrap_or(1);
            if let Some(schedule) = &mut frame.schedule {
                schedule.amend(spec, index, group, nodes);
            }
        }
        self.offered = OfferedTimes::new(spec, nodes_per_group);
        self.seconds_total = seconds_total(spec);
    }

    /// Takes a second that has closed, and gives what is to be published of it: those before it of which nothing was
    /// told, then itself; or, of one that had been closed before, that one anew.
    pub fn close(&mut self, second: u32, totals: &SecondTotals, closing: &Closing) -> Vec<ExperimentSecond> {
        if second < self.next_second {
            return vec![self.late(second, totals, closing)];
        }
        let mut made = Vec::new();
        while self.next_second <= second {
            let at = self.next_second;
            self.next_second += 1;
            let nothing = SecondTotals::default();
            let one = self.make(at, if at == second { totals } else { &nothing }, closing);
            self.series.add(&one, None);
            self.keep(one.clone());
            made.push(one);
        }
        made
    }

    /// What the report says over time.
    pub fn over_time(&self) -> OverTime {
        let (series, series_left_out) = self.series.report();
        OverTime { series, series_left_out }
    }

    /// The end of the last second in which something was offered, in nanoseconds of run time; 0 without any.
    pub fn last_offered_ns(&self) -> u64 {
        self.last_offered_second.map_or(0, |second| (u64::from(second) + 1) * SECOND_NS)
    }

    fn make(&mut self, second: u32, totals: &SecondTotals, closing: &Closing) -> ExperimentSecond {
        let start_ns = u64::from(second) * SECOND_NS;
        let length_ns = closing.ended_ns.map_or(SECOND_NS, |ended_ns| ended_ns.saturating_sub(start_ns).min(SECOND_NS));
        let in_flight = totals.in_flight();
        let mut longest_ns = length_ns;
        let mut groups = Vec::with_capacity(self.groups.len());
        for frame in &mut self.groups {
            let mut group = group_second(frame, totals, &in_flight, self.slowest);
            let warm_up = (frame.group, frame.steps.warm_up(frame.steps.iteration()));
            let warmed_up = totals.steps.get(&warm_up).map_or(0, |step| step.planned);
            let scheduled = frame.schedule.as_mut().map(|schedule| schedule.count(second));
            group.scheduled = scheduled.map(|scheduled| scheduled.saturating_sub(warmed_up));
            let offered = group.iteration().map_or(0, |step| step.offered);
            if offered > 0 {
                self.last_offered_second = self.last_offered_second.max(Some(second));
            }
            let index = usize::from(frame.group);
            group.offered_ns = self.offered.within(index, second, length_ns, offered, closing.stopped_ns);
            // What was offered was under way, whatever the clock of the end says.
            longest_ns = longest_ns.max(group.offered_ns);
            add_to_sums(&mut frame.so_far, &group);
            group.so_far.clone_from(&frame.so_far);
            group.meters = frame.meters.second(frame.group, totals);
            groups.push(group);
        }
        let (nodes, nodes_left_out) = node_seconds(totals);
        ExperimentSecond {
            experiment: self.experiment.clone(),
            second,
            first_second: totals.first_second.map_or(second, |first| first.min(second)),
            revision: 0,
            late: false,
            part: 0,
            parts: 1,
            length_ns: longest_ns,
            at_unix_ns: self.start_unix_ns.saturating_add(start_ns),
            status: closing.status,
            seconds_total: self.seconds_total,
            groups,
            nodes,
            nodes_left_out,
        }
    }

    /// What came after its second had closed: the second anew, or, where that is no longer at hand, the piece alone.
    fn late(&mut self, second: u32, totals: &SecondTotals, closing: &Closing) -> ExperimentSecond {
        let in_flight = totals.in_flight();
        let (nodes, nodes_left_out) = node_seconds(totals);
        let mut piece = ExperimentSecond {
            experiment: self.experiment.clone(),
            second,
            first_second: totals.first_second.map_or(second, |first| first.min(second)),
            revision: 1,
            late: true,
            part: 0,
            parts: 1,
            length_ns: SECOND_NS,
            at_unix_ns: self.start_unix_ns.saturating_add(u64::from(second) * SECOND_NS),
            status: closing.status,
            seconds_total: self.seconds_total,
            groups: Vec::new(),
            nodes,
            nodes_left_out,
        };
        for frame in &mut self.groups {
            let mut group = group_second(frame, totals, &in_flight, self.slowest);
            add_to_sums(&mut frame.so_far, &group);
            group.so_far.clone_from(&frame.so_far);
            group.meters = frame.meters.second(frame.group, totals);
            piece.groups.push(group);
        }
        let slowest = self.slowest;
        let known = self.recent.iter_mut().find(|known| known.second == second);
        let whole = known.and_then(|known| {
            let mut whole = known.clone();
            whole.revision += 1;
            whole.status = closing.status;
            match add_piece(&mut whole, &piece) {
                Ok(()) => {
                    let steps = whole.groups.iter_mut().flat_map(|group| &mut group.steps);
                    steps.for_each(|step| step.slowest.truncate(slowest));
                    known.clone_from(&whole);
                    Some(whole)
                }
                // What cannot be decoded was made here: it can.
                Err(error) => {
                    tracing::error!(%error, second, "a second could not be changed");
                    None
                }
            }
        });
        self.series.add(&piece, whole.as_ref());
        whole.unwrap_or_else(|| {
            // Each piece has a number of its own: they are added, all of them.
            self.late_pieces += 1;
            piece.revision = self.late_pieces;
            piece
        })
    }

    fn keep(&mut self, second: ExperimentSecond) {
        self.recent_bytes += estimated_bytes(&second);
        self.recent.push_back(second);
        while self.recent.len() > RECENT_SECONDS_MAX || (self.recent_bytes > RECENT_BYTES_MAX && self.recent.len() > 1)
        {
            let Some(gone) = self.recent.pop_front() else { break };
            self.recent_bytes = self.recent_bytes.saturating_sub(estimated_bytes(&gone));
        }
    }
}

fn add_to_sums(sums: &mut GroupSums, group: &GroupSecond) {
    add_sums(sums, group);
    sums.failures.truncate(SUM_FAILURES_MAX);
}

fn group_second(
    frame: &GroupFrame,
    totals: &SecondTotals,
    in_flight: &BTreeMap<(u16, u16), u64>,
    slowest: usize,
) -> GroupSecond {
    let nothing = StepTotals::default();
    let step = |(index, name): (u16, &str)| {
        let key = (frame.group, index);
        let in_flight = in_flight.get(&key).copied().unwrap_or(0);
        step_second(index, name, totals.steps.get(&key).unwrap_or(&nothing), in_flight, slowest)
    };
    GroupSecond {
        group: frame.group,
        name: frame.name.clone(),
        open: frame.open,
        offered_ns: 0,
        scheduled: None,
        iterations: frame.steps.whole().map(|whole| step((whole, ITERATION))),
        steps: frame.steps.steps().map(step).collect(),
        so_far: GroupSums::default(),
        meters: Vec::new(),
    }
}

fn step_second(step: u16, name: &str, totals: &StepTotals, in_flight: u64, slowest: usize) -> StepSecond {
    let failure = |((kind, status), (count, sample)): (&(_, u16), &(u64, Option<String>))| FailureCount {
        kind: *kind,
        status: *status,
        count: *count,
        sample: sample.clone(),
    };
    let mut told = StepSecond {
        step,
        name: name.to_owned(),
        offered: totals.planned,
        sent: totals.sent,
        succeeded: totals.succeeded,
        failed: totals.failed,
        censored: totals.censored,
        skipped: totals.skipped,
        in_flight,
        retried: totals.retried,
        redirects: totals.redirects,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
        statuses: totals
            .statuses
            .iter()
            .map(|(status, count)| StatusCount { status: *status, count: *count })
            .collect(),
        failures: totals.failures.iter().map(failure).collect(),
        checks: totals.checks.clone(),
        hosts: totals.hosts.clone(),
        slowest: totals.slowest.iter().take(slowest).cloned().collect(),
        ..StepSecond::default()
    };
    for series in metric::Series::ALL {
        *told.series_mut(series) = distribution(totals.series(series));
    }
    told
}

/// Each node's part, and how many were left out: of very many, half of those that are told had the longest lag, the
/// others waited longest for a processor.
fn node_seconds(totals: &SecondTotals) -> (Vec<NodeSecond>, u32) {
    let share = |part_ns: u64, of_ns: u64| if of_ns > 0 { part_ns as f64 / of_ns as f64 } else { 0.0 };
    let mut nodes: Vec<NodeSecond> = totals
        .nodes
        .iter()
        .map(|(node, part)| NodeSecond {
            node: node.clone(),
            offered: part.offered,
            in_flight: part.in_flight,
            lag_p99_ns: part.lag.quantile_ns(0.99),
            run_delay_share: share(part.run_delay_ns, part.interval_ns),
            utilisation: share(part.busy_ns, part.interval_ns),
        })
        .collect();
    let left_out = nodes.len().saturating_sub(NODES_TOLD_MAX);
    if left_out > 0 {
        nodes.sort_by_key(|node| std::cmp::Reverse(node.lag_p99_ns));
        let mut others = nodes.split_off(NODES_TOLD_MAX / 2);
        others.sort_by(|a, b| b.run_delay_share.total_cmp(&a.run_delay_share));
        nodes.extend(others.into_iter().take(NODES_TOLD_MAX - NODES_TOLD_MAX / 2));
        nodes.sort_by(|a, b| a.node.cmp(&b.node));
    }
    (nodes, u32::try_from(left_out).unwrap_or(u32::MAX))
}

/// About how long a step's message form is.
fn step_bytes(step: &StepSecond) -> usize {
    // Names of fields and their numbers, about 440 bytes; then what varies.
    let samples: usize = step.failures.iter().map(|f| 80 + f.sample.as_ref().map_or(0, String::len)).sum();
    let checks: usize = step.checks.iter().map(|check| 48 + check.name.len()).sum();
    let hosts: usize = step.hosts.iter().map(|host| 72 + host.host.len()).sum();
    let histograms: usize =
        metric::Series::ALL.into_iter().map(|series| 90 + step.series(series).histogram.len()).sum();
    440 + step.name.len()
        + samples
        + checks
        + hosts
        + step.statuses.len() * 32
        + step.slowest.len() * SLOW_BYTES
        + histograms
}

fn estimated_bytes(second: &ExperimentSecond) -> usize {
    let steps = second.groups.iter().flat_map(|group| group.steps.iter().chain(&group.iterations));
    let meters = second.groups.iter().map(|group| meters_bytes(&group.meters)).sum::<usize>();
    ENVELOPE_BYTES + steps.map(step_bytes).sum::<usize>() + meters + second.nodes.len() * 160
}

/// The messages of a second, each within the limit of a message and of what the server takes: split by steps, and a
/// step whose histograms alone exceed the limit without them.
pub fn split(second: ExperimentSecond, max_payload_bytes: usize) -> Vec<ExperimentSecond> {
    let limit_bytes = max_payload_bytes.saturating_sub(HEADERS_BYTES).min(MESSAGE_MAX_BYTES);
    split_within(second, limit_bytes, ENVELOPE_BYTES.min(limit_bytes / 4))
}

fn split_within(second: ExperimentSecond, limit_bytes: usize, envelope_bytes: usize) -> Vec<ExperimentSecond> {
    if codec::encode(&second).is_ok_and(|bytes| bytes.len() <= limit_bytes) {
        return vec![second];
    }
    let nodes = second.nodes;
    let nodes_left_out = second.nodes_left_out;
    let head = ExperimentSecond { groups: Vec::new(), nodes: Vec::new(), nodes_left_out: 0, ..second };
    let mut parts = vec![ExperimentSecond { nodes, nodes_left_out, ..head.clone() }];
    let mut bytes = envelope_bytes + parts.iter().map(|part| part.nodes.len() * 160).sum::<usize>();
    for group in second.groups {
        let mut frame = GroupSecond { iterations: None, steps: Vec::new(), ..group };
        if envelope_bytes + 512 + meters_bytes(&frame.meters) > limit_bytes / 2 {
            frame.meters.iter_mut().for_each(|meter| meter.values.histogram.clear());
        }
        let whole = group.iterations.into_iter().map(|step| (true, step));
        for (is_iteration, mut step) in whole.chain(group.steps.into_iter().map(|step| (false, step))) {
            let frame_bytes = 512 + frame.so_far.failures.len() * 400 + meters_bytes(&frame.meters);
            if envelope_bytes + frame_bytes + step_bytes(&step) > limit_bytes {
                metric::Series::ALL.into_iter().for_each(|series| step.series_mut(series).histogram.clear());
                step.without_histograms = true;
            }
            let size = step_bytes(&step) + frame_bytes;
            if bytes + size > limit_bytes {
                parts.push(head.clone());
                bytes = envelope_bytes;
            }
            bytes += size;
            let Some(part) = parts.last_mut() else { continue };
            if part.groups.last().is_none_or(|last| last.group != frame.group) {
                part.groups.push(frame.clone());
                frame.meters.clear();
            }
            let Some(last) = part.groups.last_mut() else { continue };
            if is_iteration { last.iterations = Some(step) } else { last.steps.push(step) }
        }
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    (0u32..).zip(parts).map(|(number, part)| ExperimentSecond { part: number, parts: count, ..part }).collect()
}

#[cfg(test)]
mod tests;
