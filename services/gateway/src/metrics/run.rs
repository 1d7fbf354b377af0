//! One run: its series, added up from what the daemon tells of it, second by second. Pure.
//!
//! A counter never goes backwards and counts nothing twice, whatever comes again, late, in parts or in another order:
//! of each step in each second it is remembered what was told, and only what a higher revision has beyond that is
//! added. Where the beginning of a run is not there any more, its sums so far say how much is missing.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::second::{ExperimentSecond, GroupSecond, MeterSecond, NodeSecond, StepSecond};

use memory::Memory;
use step::{Sums, sums_of};

use super::budget::OTHER;
use super::latency::Latency;

mod memory;
mod shown;
mod step;
#[cfg(test)]
mod tests;

/// The step of what was before the first second that could be read.
const EARLIER: &str = "(earlier)";
/// Most nodes of a run that have series.
const NODES_MAX: usize = 512;
/// Most late pieces that are remembered.
const LATE_PIECES_MAX: usize = 65_536;

/// What a record says that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    name: String,
    creator: String,
    status: Option<RunStatus>,
    verdict: Option<Verdict>,
    started_unix_ms: Option<u64>,
}

/// A group.
#[derive(Debug, Default)]
struct GroupSeries {
    name: String,
    is_open: bool,
    /// Users of the specification, in the closed model.
    users: Option<u32>,
    /// Load was offered in the last second.
    is_offered: bool,
    scheduled: u64,
    iterations: Sums,
    /// Iterations of the seconds that could be read: what was scheduled is known of these alone.
    offered_read: u64,
    response: Latency,
    in_flight: u64,
    /// The only step is the iteration, too.
    only_step: Option<u16>,
    /// What the daemon's sums say: of whole iterations, and of requests.
    iterations_so_far: Sums,
    requests_so_far: Sums,
    /// Requests that these have and no second that could be read.
    missing: Sums,
    /// By name, as told last; sums never go backwards.
    meters: BTreeMap<String, MeterSecond>,
}

/// A step.
#[derive(Debug, Default)]
struct StepSeries {
    group: String,
    step: String,
    sums: Sums,
    in_flight: u64,
    response: Latency,
    service: Latency,
    blocked: Latency,
    lag: Latency,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq)]
struct NodeSeries {
    offered: u64,
    in_flight: u64,
    lag_p99_ns: Option<u64>,
    run_delay_share: f64,
    utilisation: f64,
    /// The last second that it told of.
    second: u32,
}

/// The series of a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    id: String,
    head: Head,
    groups: BTreeMap<u16, GroupSeries>,
    steps: Vec<StepSeries>,
    /// Which of `steps` a step of a group is.
    places: BTreeMap<(u16, u16), usize>,
    nodes: BTreeMap<String, NodeSeries>,
    phases: BTreeMap<RunStatus, u64>,
    events: BTreeMap<EventKindKey, u64>,
    last_second: Option<u32>,
    run_ns: u64,
    seconds_total: Option<u32>,
    nodes_told: usize,
    nodes_left_out: u32,
    memory: Memory,
    late_pieces: BTreeSet<(u32, u32, u32)>,
    steps_max: usize,
    /// Changes of seconds that had been forgotten.
    pub(crate) late_seconds: u64,
    /// Since when it counts: the start of the run, nanoseconds since the Unix epoch.
    since_unix_ns: u64,
}

/// Kinds of events by name, which have no order of their own.
type EventKindKey = &'static str;

impl Run {
    /// A run of which a record is there. With zeros for everything that it will count: what happens first is seen as a
    /// change.
    pub(crate) fn new(record: &RunRecord, steps_max: usize) -> Self {
        let mut run = Self { id: record.id.clone(), steps_max: steps_max.max(1), ..Self::default() };
        for kind in EVENT_KINDS {
            run.events.insert(kind.name(), 0);
        }
        for (index, group) in (0u16..).zip(&record.spec.groups) {
            let steps = group.step_table();
            let series = GroupSeries {
                name: group.name.clone(),
                is_open: group.is_open(),
                users: group.users,
                only_step: steps.whole().is_none().then_some(steps.iteration()),
                ..GroupSeries::default()
            };
            run.groups.insert(index, series);
            for (step, name) in steps.steps() {
                let place = run.place(index, step, &group.name, name);
                if let Some(series) = run.steps.get_mut(place) {
                    for kind in FailureKind::ALL
                        .into_iter()
                        .filter(|kind| !kind.is_of_session() && *kind != FailureKind::Status)
                    {
                        series.sums.failures.entry((kind, 0)).or_default();
                    }
                }
            }
        }
        run.recorded(record);
        run
    }

    /// The record as it is now.
    pub(crate) fn recorded(&mut self, record: &RunRecord) {
        self.head = Head {
            name: record.spec.name.clone().unwrap_or_else(|| record.id.clone()),
            creator: record.spec.creator.clone().unwrap_or_default(),
            status: Some(record.status),
            verdict: record.verdict,
            started_unix_ms: record.started_unix_ms,
        };
        let at_unix_ms = match record.status {
            RunStatus::Submitted => Some(record.submitted_unix_ms),
            RunStatus::Running => record.started_unix_ms,
            RunStatus::Finished | RunStatus::Failed | RunStatus::Cancelled => record.ended_unix_ms,
            // When these begin, their events say.
            RunStatus::Planned | RunStatus::Preparing | RunStatus::Draining => None,
        };
        if let Some(at_unix_ms) = at_unix_ms {
            self.phases.entry(record.status).or_insert(at_unix_ms);
        }
        self.since_unix_ns = record.submitted_unix_ms.saturating_mul(1_000_000);
    }

    /// Its identifier.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.head.status.is_some_and(RunStatus::is_terminal)
    }

    /// An event of it, each of which comes once.
    pub(crate) fn event(&mut self, event: &ExperimentEvent) {
        *self.events.entry(event.kind.name()).or_default() += 1;
        if let Some(status) = event.status {
            // A run that is planned anew enters phases again: the last time counts.
            self.phases.insert(status, event.at_unix_ms);
        }
    }

    /// A second of it, or a part, a revision or a late piece of one.
    pub(crate) fn second(&mut self, told: &ExperimentSecond) {
        if told.late {
            let piece = (told.second, told.revision, told.part);
            if self.late_pieces.len() >= LATE_PIECES_MAX || !self.late_pieces.insert(piece) {
                return;
            }
        } else if self.memory.has_forgotten(told.second) {
            self.late_seconds += 1;
            return;
        }
        let is_last = self.last_second.is_none_or(|last| told.second >= last) && !told.late;
        for group in &told.groups {
            self.group(told, group, is_last);
        }
        for node in &told.nodes {
            self.node(told, node);
        }
        if is_last {
            if self.last_second != Some(told.second) {
                self.last_second = Some(told.second);
                self.run_ns = u64::from(told.second) * 1_000_000_000 + told.length_ns;
            }
            self.seconds_total = told.seconds_total;
            if told.part == 0 {
                self.nodes_told = told.nodes.len() + told.nodes_left_out as usize;
                self.nodes_left_out = told.nodes_left_out;
            }
        }
        // Its parts come in order: with the last one all is there that the sums have.
        if told.part + 1 >= told.parts {
            self.look_for_missing();
        }
        self.memory.forget();
    }

    fn group(&mut self, told: &ExperimentSecond, group: &GroupSecond, is_last: bool) {
        let key = (told.second, told.revision);
        let series = self.groups.entry(group.group).or_insert_with(|| GroupSeries {
            name: group.name.clone(),
            is_open: group.open,
            only_step: group.only_step().map(|step| step.step),
            ..GroupSeries::default()
        });
        let scheduled = group.scheduled.unwrap_or(0);
        series.scheduled += if told.late { scheduled } else { self.memory.scheduled(key, group.group, scheduled) };
        let iterations = Sums { counts: group.so_far.iterations, ..Sums::default() };
        series.iterations_so_far.raise_to(&iterations);
        series.requests_so_far.raise_to(&sums_of(&group.so_far));
        if is_last {
            series.is_offered = group.offered_ns > 0;
        }
        for meter in &group.meters {
            raise_meter(&mut series.meters, meter, is_last);
        }
        let only_step = series.only_step;
        for step in &group.steps {
            self.step(told, group, step, only_step == Some(step.step), is_last);
        }
        if let Some(whole) = &group.iterations {
            self.iterations(told, group.group, whole, is_last);
        }
    }

    fn step(&mut self, told: &ExperimentSecond, group: &GroupSecond, step: &StepSecond, is_only: bool, is_last: bool) {
        let place = self.place(group.group, step.step, &group.name, &step.name);
        let Some(change) = self.memory.step(told, (group.group, step.step), step) else { return };
        let Some(series) = self.steps.get_mut(place) else { return };
        series.sums.add(&change.sums);
        series.response.add(&change.now.response, &change.before.response);
        series.service.add(&change.now.service, &change.before.service);
        series.blocked.add(&change.now.blocked, &change.before.blocked);
        series.lag.add(&change.now.lag, &change.before.lag);
        if is_last {
            series.in_flight = step.in_flight;
        }
        for slow in step.slowest.iter().rev() {
            let is_among = slow.failure.is_none_or(|kind| kind == FailureKind::Timeout);
            if slow.trace_id.is_empty() || !is_among {
                continue;
            }
            let start_unix_ns = told.at_unix_ns.saturating_sub(u64::from(told.second) * 1_000_000_000);
            let unix_ns = start_unix_ns.saturating_add(slow.done_ns);
            series.response.remember(&slow.trace_id, slow.response_ns, unix_ns);
            series.service.remember(&slow.trace_id, slow.service_ns, unix_ns);
        }
        if is_only && let Some(of_group) = self.groups.get_mut(&group.group) {
            of_group.iterations.add(&change.sums);
            of_group.offered_read += change.sums.counts.offered;
            of_group.response.add(&change.now.response, &change.before.response);
            if is_last {
                of_group.in_flight = step.in_flight;
            }
        }
    }

    fn iterations(&mut self, told: &ExperimentSecond, group: u16, whole: &StepSecond, is_last: bool) {
        let Some(change) = self.memory.step(told, (group, u16::MAX), whole) else { return };
        let Some(series) = self.groups.get_mut(&group) else { return };
        series.iterations.add(&change.sums);
        series.offered_read += change.sums.counts.offered;
        series.response.add(&change.now.response, &change.before.response);
        if is_last {
            series.in_flight = whole.in_flight;
        }
    }

    fn node(&mut self, told: &ExperimentSecond, node: &NodeSecond) {
        let more = if told.late {
            node.offered
        } else {
            self.memory.node((told.second, told.revision), &node.node, node.offered)
        };
        let name = if self.nodes.len() < NODES_MAX || self.nodes.contains_key(&node.node) { &node.node } else { OTHER };
        let series = self.nodes.entry(name.to_owned()).or_default();
        series.offered += more;
        if told.second >= series.second && !told.late {
            series.second = told.second;
            series.in_flight = node.in_flight;
            series.lag_p99_ns = node.lag_p99_ns;
            series.run_delay_share = node.run_delay_share;
            series.utilisation = node.utilisation;
        }
    }

    /// Where the series of a step are. Steps of the same names share them; beyond as many as there may be, all share
    /// one.
    fn place(&mut self, group: u16, step: u16, group_name: &str, step_name: &str) -> usize {
        if let Some(place) = self.places.get(&(group, step)) {
            return *place;
        }
        let named = |steps: &[StepSeries], group: &str, step: &str| {
            steps.iter().position(|series| series.group == group && series.step == step)
        };
        let is_full = self.steps.len() + 1 >= self.steps_max;
        let (group_name, step_name) = match named(&self.steps, group_name, step_name) {
            None if is_full => (OTHER, OTHER),
            None | Some(_) => (group_name, step_name),
        };
        let place = named(&self.steps, group_name, step_name).unwrap_or_else(|| {
            let (group, step) = (group_name.to_owned(), step_name.to_owned());
            self.steps.push(StepSeries { group, step, ..StepSeries::default() });
            self.steps.len() - 1
        });
        // Bounded as the series are: what has no place of its own is looked for each time.
        if !is_full {
            self.places.insert((group, step), place);
        }
        place
    }

    /// What the sums so far have and no second that was read: of the time before.
    fn look_for_missing(&mut self) {
        let mut read: BTreeMap<&str, Sums> = BTreeMap::new();
        for series in &self.steps {
            read.entry(series.group.as_str()).or_default().add(&series.sums);
        }
        let nothing = Sums::default();
        for group in self.groups.values_mut() {
            let read = read.get(group.name.as_str()).unwrap_or(&nothing);
            group.missing.raise_to(&group.requests_so_far.beyond(read));
        }
    }
}

/// Notes what a meter has added up to now, and what it said last.
fn raise_meter(meters: &mut BTreeMap<String, MeterSecond>, told: &MeterSecond, is_last: bool) {
    let known = meters.entry(told.name.clone()).or_insert_with(|| told.clone());
    let (sum_so_far, values_so_far) =
        (known.sum_so_far.max(told.sum_so_far), known.values_so_far.max(told.values_so_far));
    if is_last {
        known.clone_from(told);
    }
    (known.sum_so_far, known.values_so_far) = (sum_so_far, values_so_far);
}

/// Every kind of event, so that each is there from the start.
const EVENT_KINDS: [EventKind; 7] = [
    EventKind::Status,
    EventKind::Gate,
    EventKind::Node,
    EventKind::Control,
    EventKind::Warning,
    EventKind::Experiment,
    EventKind::User,
];
