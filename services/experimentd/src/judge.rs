//! The verdict: gates over the run and over windows, and whether the measurement can be trusted at all.

use std::collections::BTreeMap;

use nuncius_schemas::default_gates::default_gates;
use nuncius_schemas::gate::Gate;
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::report::GateReport;

use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::{Confidence, GateOutcome, OfferedSpans, OfferedTime, Outcome, UnderWay, Windows, evaluate};

use crate::totals::{SecondTotals, StepTotals};

mod ages;
mod schedule;
mod scope;
mod state;
mod words;

use ages::Ages;
use schedule::GroupSchedule;
use scope::{Groups, Scope};
pub use words::verdict;

/// Share of a gate's error that all the looks before its last may use, when it may abort the run.
const LOOKS_SHARE: f64 = 0.5;

/// The gates of one experiment, with what their windows have seen.
pub struct Judge {
    gates: Vec<JudgedGate>,
    groups: Groups,
    schedules: Vec<GroupSchedule>,
    ages: Ages,
    lag_limit_ns: u64,
}

struct JudgedGate {
    gate: Gate,
    scope: Scope,
    /// Not written by anybody: see [`default_gates`].
    is_default: bool,
    windows: Option<Windows>,
    /// Looks at the whole run so far, of a gate that may abort it.
    looks: u64,
    /// How it failed, which nothing that comes later undoes.
    failed: Option<GateOutcome>,
}

/// How long load was offered, without its pauses, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfferedSeconds {
    /// By any group.
    pub all: f64,
    /// By each of them.
    pub by_group: Vec<f64>,
}

/// All gates, decided.
pub struct Decision {
    /// In the order of the specification, then the default ones.
    pub gates: Vec<GateReport>,
    /// Why gates cannot be believed: the generator's lag may have decided them.
    pub invalid: Vec<String>,
}

impl Judge {
    /// Gates of a specification whose groups run on so many nodes each; one where nothing is said.
    pub fn new(spec: &ExperimentSpec, nodes_per_group: &[u32]) -> Self {
        let groups = Groups::of(spec);
        let schedules: Vec<GroupSchedule> = spec
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| {
                GroupSchedule::of(spec, index, group, nodes_per_group.get(index).copied().unwrap_or(1))
            })
            .collect();
        let written = spec.gates.iter().map(|gate| (gate.clone(), false));
        let gates = written
            .chain(default_gates(spec).into_iter().map(|gate| (gate, true)))
            .map(|(gate, is_default)| {
                let scope = Scope::of(&gate, &groups);
                let spans = spans_of(&scope, &schedules);
                // A window that is no whole number of seconds was refused with the specification.
                let windows = gate.over.and_then(|_| Windows::new(gate.clone(), spans).ok());
                JudgedGate { gate, scope, is_default, windows, looks: 0, failed: None }
            })
            .collect::<Vec<_>>();
        let longest_ns = gates.iter().filter(|judged| judged.is_watched()).map(JudgedGate::limit_ns).max();
        Self { gates, groups, schedules, ages: Ages::of_limit(longest_ns), lag_limit_ns: spec.lag_limit.0 }
    }

    /// The specification was amended from an instant on of which no second has closed yet.
    pub fn amend(&mut self, spec: &ExperimentSpec, nodes_per_group: &[u32]) {
        for (index, (schedule, group)) in self.schedules.iter_mut().zip(&spec.groups).enumerate() {
            let nodes = nodes_per_group.get(index).copied().unwrap_or(1);
            schedule.spans = GroupSchedule::of(spec, index, group, nodes).spans;
        }
        for judged in &mut self.gates {
            if let Some(windows) = &mut judged.windows {
                windows.offer(spans_of(&judged.scope, &self.schedules));
            }
        }
    }

    /// Takes from a delta, which counts, when what it tells of was begun.
    pub fn note(&mut self, delta: &MetricDelta) {
        self.ages.note(delta);
    }

    /// Load is offered no longer than to `end_ns` of run time.
    pub fn end_at(&mut self, end_ns: u64) {
        for schedule in &mut self.schedules {
            schedule.spans.end_at(end_ns);
        }
        for windows in self.gates.iter_mut().filter_map(|judged| judged.windows.as_mut()) {
            windows.end_at(end_ns);
        }
    }

    /// Adds a closed second to the windows; returns the first gate that has failed and asks for the run's end.
    pub fn add_second(&mut self, second: u32, totals: &SecondTotals) -> Option<GateReport> {
        for (index, schedule) in self.schedules.iter_mut().enumerate() {
            if self.groups.iterations(index).is_some_and(|key| totals.steps.get(&key).is_some_and(|s| s.planned > 0)) {
                schedule.last_begun = Some(schedule.last_begun.map_or(second, |last| last.max(second)));
            }
        }
        let (ages, schedules) = (&self.ages, &self.schedules);
        let mut abort = None;
        for judged in &mut self.gates {
            let Some(windows) = &mut judged.windows else { continue };
            let scoped = judged.scope.sum(&totals.steps, judged.gate.expression.of);
            let under_way = UnderWay {
                requests: ages.under_way(judged.scope.counted()),
                overdue: overdue(ages, &judged.gate, &judged.scope, Some(second)),
            };
            let mut data = scoped.data(time_of(&judged.scope, schedules, 0, 0));
            // What is under way at the end of a second ends in a later one.
            data.unknown = 0;
            let failed = windows.close(u64::from(second), &data, under_way);
            match failed {
                Ok(true) if judged.gate.abort && abort.is_none() => {
                    let worst = windows.outcome();
                    abort = Some(words::report(&judged.gate, &worst.outcome, worst.worst_second, judged.is_default));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, gate = %judged.gate, "a second is missing in its windows"),
            }
        }
        abort
    }

    /// Looks at the gates over the whole run that ask for an abort; the first that has failed on what is known so far:
    /// everything through the second before `closed`, and some of what came until `run_ns`. To be called once for each
    /// second that is closed: each look has its part of the gate's error.
    pub fn look(&mut self, steps: &BTreeMap<(u16, u16), StepTotals>, closed: u32, run_ns: u64) -> Option<GateReport> {
        let (ages, schedules) = (&self.ages, &self.schedules);
        let closed_ns = u64::from(closed) * SECOND_NS;
        for judged in self.gates.iter_mut().filter(|judged| judged.gate.abort && judged.windows.is_none()) {
            judged.looks += 1;
            let mut scoped = judged.scope.sum(steps, judged.gate.expression.of);
            scoped.add_under_way(&judged.gate, overdue(ages, &judged.gate, &judged.scope, None));
            let data = scoped.data(time_of(&judged.scope, schedules, closed_ns, run_ns));
            let outcome = evaluate(&judged.gate, &data, Confidence::of_look(judged.looks, LOOKS_SHARE));
            if outcome.outcome == Outcome::Fail {
                let report = words::report(&judged.gate, &outcome, None, judged.is_default);
                judged.failed = Some(outcome);
                return Some(report);
            }
        }
        None
    }

    /// How long load was offered.
    pub fn offered(&self) -> OfferedSeconds {
        let of = |groups: &[usize]| time_of_groups(groups, &self.schedules, u64::MAX, u64::MAX).most_seconds;
        let all: Vec<usize> = (0..self.schedules.len()).collect();
        OfferedSeconds { all: of(&all), by_group: all.iter().map(|group| of(&[*group])).collect() }
    }

    /// Every gate, decided over the run, when nothing can come any more. `unaccounted` is by group what nodes that were
    /// lost may have offered without telling.
    pub fn decide(&mut self, steps: &BTreeMap<(u16, u16), StepTotals>, unaccounted: &[u64]) -> Decision {
        let mut decision = Decision { gates: Vec::new(), invalid: Vec::new() };
        let schedules = &self.schedules;
        for judged in &mut self.gates {
            let mut scoped = judged.scope.sum(steps, judged.gate.expression.of);
            scoped
                .add_unaccounted(judged.scope.groups().map(|group| unaccounted.get(group).copied().unwrap_or(0)).sum());
            let (outcome, window) = match &mut judged.windows {
                Some(windows) => {
                    if let Err(error) = windows.finish(scoped.unknown()) {
                        tracing::warn!(%error, gate = %judged.gate, "the end is missing in its windows");
                    }
                    let worst = windows.outcome();
                    (worst.outcome, worst.worst_second)
                }
                None => {
                    scoped.add_under_way(&judged.gate, 0);
                    let mut data = scoped.data(time_of(&judged.scope, schedules, u64::MAX, u64::MAX));
                    data.evenly_spaced_groups = judged.scope.evenly_spaced(schedules);
                    let share = if judged.gate.abort { 1.0 - LOOKS_SHARE } else { 1.0 };
                    let outcome = evaluate(&judged.gate, &data, Confidence::of_share(share));
                    (judged.failed.clone().unwrap_or(outcome), None)
                }
            };
            decision.invalid.extend(words::lag_problem(&judged.gate, &outcome, self.lag_limit_ns));
            decision.gates.push(words::report(&judged.gate, &outcome, window, judged.is_default));
        }
        decision
    }
}

impl JudgedGate {
    /// Whether it must be known how long requests have been under way.
    fn is_watched(&self) -> bool {
        self.windows.is_some() || self.gate.abort
    }

    fn limit_ns(&self) -> u64 {
        if self.gate.expression.metric.quantity().is_some() { self.gate.expression.limit as u64 } else { 0 }
    }
}

/// How many requests of a gate have for certain been under way for longer than its limit.
fn overdue(ages: &Ages, gate: &Gate, scope: &Scope, through: Option<u32>) -> u64 {
    let Some(quantity) = gate.expression.metric.quantity() else { return 0 };
    ages.overdue(scope.measured(quantity), quantity, gate.expression.limit as u64, through)
}

fn spans_of(scope: &Scope, schedules: &[GroupSchedule]) -> OfferedSpans {
    let spans = scope.groups().filter_map(|group| schedules.get(group)).map(|schedule| schedule.spans.clone());
    spans.fold(OfferedSpans::default(), |sum, spans| sum.union(&spans))
}

/// How long the groups of a scope were offered, up to some time between `from_ns` and `to_ns`.
fn time_of(scope: &Scope, schedules: &[GroupSchedule], from_ns: u64, to_ns: u64) -> OfferedTime {
    time_of_groups(&scope.groups().collect::<Vec<_>>(), schedules, from_ns, to_ns)
}

fn time_of_groups(groups: &[usize], schedules: &[GroupSchedule], from_ns: u64, to_ns: u64) -> OfferedTime {
    let length = |until_ns: u64, ended: fn(&GroupSchedule) -> OfferedSpans| {
        let spans = groups.iter().filter_map(|group| schedules.get(*group)).map(ended);
        spans.fold(OfferedSpans::default(), |sum, spans| sum.union(&spans)).length_ns(until_ns) as f64
            / SECOND_NS as f64
    };
    OfferedTime {
        least_seconds: length(from_ns, GroupSchedule::shortest),
        most_seconds: length(to_ns, GroupSchedule::longest),
    }
}

/// Where the iterations of each group are counted.
pub fn iteration_recorders(spec: &ExperimentSpec) -> Vec<u16> {
    spec.groups.iter().map(|group| group.step_table().iteration()).collect()
}

#[cfg(test)]
mod tests;
