//! The books of one run: what all nodes measured, merged exactly.
//!
//! Pure: deltas in, sums out. A delta that was merged before changes nothing (see [`nuncius_stats::ledger`]).

use std::collections::BTreeMap;

use nuncius_schemas::metric::{MetricDelta, RecordsWritten, Shortfall};
use nuncius_schemas::steps::in_warm_up;
use serde::{Deserialize, Serialize};

use nuncius_stats::{Accept, Histogram, Incarnation, Ledger, Totals};

use crate::health::NodeHealth;

mod meter;
mod step;
mod track;

pub use meter::MeterTotals;
pub use step::StepTotals;
pub(crate) use step::add;
pub use track::TrackTotals;

/// Seconds of run time that are kept apart for reports and windows before the oldest is closed.
pub const OPEN_SECONDS: u32 = 16;

/// A delta that cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A histogram's bytes are not what they should be.
    #[error("histogram of group {group}, step {step} from {node}: {problem}")]
    Histogram {
        /// Index of the group.
        group: u16,
        /// Index of the step.
        step: u16,
        /// Node that sent it.
        node: String,
        /// What was wrong.
        problem: String,
    },
    /// A meter's bytes are not what they should be, or it is another one than was told before.
    #[error("meter `{meter}` of group {group} from {node}: {problem}")]
    Meter {
        /// Index of the group.
        group: u16,
        /// Name of the meter.
        meter: String,
        /// Node that sent it.
        node: String,
        /// What was wrong.
        problem: String,
    },
    /// The ranges of a track are none.
    #[error("track `{track}` from {node}: {problem}")]
    Track {
        /// Name of the track.
        track: String,
        /// Node that sent it.
        node: String,
        /// What was wrong.
        problem: String,
    },
    /// The ledger refuses it.
    #[error("delta of {node}: {problem}")]
    Ledger {
        /// Node that sent it.
        node: String,
        /// What was wrong.
        problem: String,
    },
}

/// One second of run time, over all nodes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SecondTotals {
    /// First second that its deltas cover; `None` without any.
    pub first_second: Option<u32>,
    /// By group and step.
    pub steps: BTreeMap<(u16, u16), StepTotals>,
    /// In flight by node, group and step, as last said.
    in_flight: BTreeMap<(String, u16, u16), u64>,
    /// By node.
    pub nodes: BTreeMap<String, NodeSecondTotals>,
    /// Meters by group and name.
    pub meters: BTreeMap<(u16, String), MeterTotals>,
}

impl SecondTotals {
    /// Under way at its end by group and step, over all nodes.
    pub fn in_flight(&self) -> BTreeMap<(u16, u16), u64> {
        let mut sums = BTreeMap::new();
        for ((_, group, step), count) in &self.in_flight {
            *sums.entry((*group, *step)).or_default() += count;
        }
        sums
    }
}

/// One node's part of a second.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct NodeSecondTotals {
    /// Iterations it took or began.
    pub offered: u64,
    /// Iterations under way at its end.
    pub in_flight: u64,
    /// Its lag.
    pub lag: Totals,
    /// Wall time that its health is of, in nanoseconds.
    pub interval_ns: u64,
    /// Time that its engine threads waited for a processor, the worst of them, in nanoseconds.
    pub run_delay_ns: u64,
    /// Time that its busiest engine thread ran, in nanoseconds.
    pub busy_ns: u64,
}

/// Counts of one step on one node.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct NodeStep {
    planned: u64,
    /// Succeeded, failed, censored or skipped.
    ended: u64,
    /// Under way, as last said.
    in_flight: u64,
}

/// One node's part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct NodeTotals {
    /// Incarnation and attempt whose deltas count.
    pub incarnation: Option<Incarnation>,
    /// By group and step.
    steps: BTreeMap<(u16, u16), NodeStep>,
    /// What it has written of request records, once it has said so.
    pub records: Option<RecordsWritten>,
    /// Iterations it took or began.
    pub offered: u64,
    /// Of the last second it reported.
    pub in_flight: u64,
    /// Its lag over the run.
    pub lag: Totals,
    /// How its generator fared.
    pub health: NodeHealth,
    /// Sequence of its last delta, once it has said so.
    pub last_sequence: Option<u64>,
    /// Second of run time through which its deltas are complete.
    pub through_second: Option<u32>,
    /// Why it stopped early.
    pub stopped: Option<String>,
    /// The same, to go by.
    pub shortfall: Option<Shortfall>,
    /// Deltas merged.
    pub deltas: u64,
}

/// The books.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunTotals {
    /// Where the iterations of each group are counted.
    iterations: Vec<u16>,
    /// By group and step, over the run.
    pub steps: BTreeMap<(u16, u16), StepTotals>,
    /// Of groups of servos: how many servos completed each number of cycles.
    pub cycles: BTreeMap<u16, BTreeMap<u32, u64>>,
    /// Meters by group and name.
    #[serde(default)]
    pub meters: BTreeMap<(u16, String), MeterTotals>,
    /// Messages that are numbered, by the name of their track.
    #[serde(default)]
    pub tracks: BTreeMap<String, TrackTotals>,
    /// By node.
    pub nodes: BTreeMap<String, NodeTotals>,
    /// Seconds that deltas may still come for.
    pub open_seconds: BTreeMap<u32, SecondTotals>,
    ledger: Ledger,
    /// Deltas that could not be merged: each is a hole.
    pub refused: u64,
}

impl RunTotals {
    /// Empty books for groups whose iterations are counted at these recorders.
    pub fn new(iterations: Vec<u16>) -> Self {
        Self {
            iterations,
            steps: BTreeMap::new(),
            cycles: BTreeMap::new(),
            meters: BTreeMap::new(),
            tracks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            open_seconds: BTreeMap::new(),
            ledger: Ledger::default(),
            refused: 0,
        }
    }

    /// Expects deltas of this incarnation of a node, in this attempt; those of others are not merged.
    pub fn enroll(&mut self, node: &str, incarnation: Incarnation) {
        match self.ledger.enroll(node, incarnation) {
            Ok(()) => self.nodes.entry(node.to_owned()).or_default().incarnation = Some(incarnation),
            // Thousands of nodes: planning has refused them long before.
            Err(error) => tracing::error!(%error, node, "cannot be kept in the ledger"),
        }
    }

    /// Whether `step` is where a group's iterations are counted, those of the warm-up or all others: its only step, or
    /// the whole iteration.
    pub fn is_iteration(&self, group: u16, step: u16) -> bool {
        is_iteration(&self.iterations, group, step)
    }

    /// Adds a delta; `false` when it had been added before or is of an earlier incarnation.
    pub fn merge(&mut self, delta: &MetricDelta) -> Result<bool, MergeError> {
        let incarnation = Incarnation { epoch: delta.epoch, attempt: delta.attempt };
        let accept =
            self.ledger.accept(&delta.node, incarnation, delta.sequence, delta.part, delta.parts).map_err(|e| {
                // It is not sent again: a hole.
                self.refused += 1;
                MergeError::Ledger { node: delta.node.clone(), problem: e.to_string() }
            })?;
        if accept != Accept::New {
            return Ok(false);
        }
        let second = self.open_seconds.entry(delta.last_second).or_default();
        second.first_second = Some(second.first_second.map_or(delta.first_second, |f| f.min(delta.first_second)));
        let node = self.nodes.entry(delta.node.clone()).or_default();
        node.deltas += 1;
        let mut problem = None;
        let mut lag_of_second = Totals::default();
        let mut offered = 0;
        for step in &delta.steps {
            let key = (step.group, step.step);
            let mut one = StepTotals::default();
            if let Err(text) = one.add(&delta.node, step) {
                problem.get_or_insert(MergeError::Histogram {
                    group: step.group,
                    step: step.step,
                    node: delta.node.clone(),
                    problem: text,
                });
                continue;
            }
            self.steps.entry(key).or_default().merge(&one);
            for (completed, servos) in &step.cycles {
                *self.cycles.entry(step.group).or_default().entry(*completed).or_default() += servos;
            }
            add(&mut lag_of_second, &one.lag.completed);
            if is_iteration(&self.iterations, step.group, step.step) {
                offered += step.planned;
            }
            let of_node = node.steps.entry(key).or_default();
            of_node.planned += step.planned;
            of_node.ended += step.succeeded + step.failed + step.censored + step.skipped;
            of_node.in_flight = step.in_flight;
            second.steps.entry(key).or_default().merge(&one);
            second.in_flight.insert((delta.node.clone(), step.group, step.step), step.in_flight);
        }
        for meter in &delta.meters {
            let key = (meter.group, meter.name.clone());
            let of_second = second.meters.entry(key.clone()).or_insert_with(|| MeterTotals::new(meter));
            let added = of_second.add(meter);
            let total = self.meters.entry(key).or_insert_with(|| MeterTotals::new(meter));
            if let Err(text) = total.add(meter).and(added) {
                problem.get_or_insert(MergeError::Meter {
                    group: meter.group,
                    meter: meter.name.clone(),
                    node: delta.node.clone(),
                    problem: text,
                });
            }
        }
        for track in &delta.tracks {
            if let Err(text) = self.tracks.entry(track.track.clone()).or_default().add(track) {
                problem.get_or_insert(MergeError::Track {
                    track: track.track.clone(),
                    node: delta.node.clone(),
                    problem: text,
                });
            }
        }
        let part = second.nodes.entry(delta.node.clone()).or_default();
        part.offered += offered;
        add(&mut part.lag, &lag_of_second);
        if let Some(health) = &delta.health {
            part.interval_ns += health.interval_ns;
            part.run_delay_ns += health.run_delay_ns;
            part.busy_ns += health.busy_ns;
        }
        node.offered += offered;
        add(&mut node.lag, &lag_of_second);
        node.health.add(delta.last_second, delta.health.as_ref(), &lag_of_second);
        let iterations = node.steps.iter().filter(|((group, step), _)| is_iteration(&self.iterations, *group, *step));
        node.in_flight = if delta.last { 0 } else { iterations.map(|(_, step)| step.in_flight).sum() };
        part.in_flight = node.in_flight;
        if delta.last {
            node.last_sequence = Some(delta.sequence);
            node.records = delta.records;
        }
        if delta.stopped.is_some() {
            node.stopped.clone_from(&delta.stopped);
            node.shortfall = delta.shortfall;
        }
        node.through_second = Some(node.through_second.map_or(delta.last_second, |s| s.max(delta.last_second)));
        match problem {
            None => Ok(true),
            Some(problem) => {
                self.refused += 1;
                Err(problem)
            }
        }
    }

    /// Highest sequence up to which everything of the node has been merged.
    pub fn complete_through(&self, node: &str) -> u64 {
        let incarnation = self.nodes.get(node).and_then(|totals| totals.incarnation);
        incarnation.map_or(0, |incarnation| self.ledger.complete_through(node, incarnation))
    }

    /// Iterations of a group that a node has reported as taken or begun.
    pub fn reported(&self, node: &str, group: u16) -> u64 {
        let steps = self.nodes.get(node).into_iter().flat_map(|totals| &totals.steps);
        let iterations = steps.filter(|((of, step), _)| *of == group && self.is_iteration(*of, *step));
        iterations.map(|(_, step)| step.planned).sum()
    }

    /// A node says no more: what it had under way, as last said, is censored. How old that was is not known, so that it
    /// counts as anything from nothing up.
    pub fn lose(&mut self, node: &str) {
        let Some(totals) = self.nodes.get_mut(node) else { return };
        // Seconds add up to the run: it is told with the last that the node spoke of.
        let second = self.open_seconds.entry(totals.through_second.unwrap_or(0)).or_default();
        for (key, step) in &mut totals.steps {
            let open = step.planned.saturating_sub(step.ended);
            if open == 0 {
                continue;
            }
            step.ended += open;
            let mut censored = StepTotals { censored: open, ..StepTotals::default() };
            let sent = open.min(step.in_flight);
            for (observed, count) in [(&mut censored.response, open), (&mut censored.service, sent)] {
                let mut from_nothing = Histogram::new();
                from_nothing.record_ns_many(0, count);
                observed.censored = Totals::from(&from_nothing);
            }
            self.steps.entry(*key).or_default().merge(&censored);
            second.steps.entry(*key).or_default().merge(&censored);
        }
    }

    /// Whether the node has said its last and nothing before it is missing.
    pub fn is_complete(&self, node: &str) -> bool {
        self.nodes
            .get(node)
            .and_then(|totals| totals.last_sequence)
            .is_some_and(|last| self.complete_through(node) >= last)
    }

    /// Lets the seconds before `second` go, oldest first. A delta that comes later opens its second once more, with
    /// nothing but what it says.
    pub fn close_before(&mut self, second: u32) -> BTreeMap<u32, SecondTotals> {
        let open = self.open_seconds.split_off(&second);
        std::mem::replace(&mut self.open_seconds, open)
    }

    /// Offered, succeeded, failed, censored iterations over the run, with those of warm-ups.
    pub fn iterations(&self) -> Iterations {
        let mut sum = Iterations::default();
        for ((group, step), totals) in &self.steps {
            if self.is_iteration(*group, *step) {
                sum.offered += totals.planned;
                sum.succeeded += totals.succeeded;
                sum.failed += totals.failed;
                sum.censored += totals.censored;
                sum.skipped += totals.skipped;
            }
        }
        sum
    }
}

fn is_iteration(iterations: &[u16], group: u16, step: u16) -> bool {
    let is_one = |iteration: &u16| step == *iteration || step == in_warm_up(*iteration, *iteration);
    iterations.get(usize::from(group)).is_some_and(is_one)
}

/// Sums over all groups' iterations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Iterations {
    /// Taken from schedules, or begun.
    pub offered: u64,
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Unanswered or unsent at the stop.
    pub censored: u64,
    /// Given up before anything was sent, by the rules of the test itself.
    pub skipped: u64,
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::meter::{MeterDelta, MeterKind, MeterUnit};
    use nuncius_schemas::metric::{CheckCount, StepDelta};

    use super::*;

    const FIRST: Incarnation = Incarnation { epoch: 1, attempt: 1 };

    fn delta(sequence: u64, step: StepDelta, events: u64) -> MetricDelta {
        let meter = MeterDelta {
            group: 0,
            name: "events".to_owned(),
            kind: MeterKind::Counter,
            unit: MeterUnit::Number,
            sum: events,
            histogram: Vec::new(),
        };
        MetricDelta {
            experiment: "e".to_owned(),
            node: "n".to_owned(),
            epoch: FIRST.epoch,
            attempt: FIRST.attempt,
            sequence,
            part: 0,
            parts: 1,
            first_second: 0,
            last_second: 0,
            last: false,
            stopped: None,
            shortfall: None,
            records: None,
            steps: vec![step],
            meters: vec![meter],
            tracks: Vec::new(),
            health: None,
        }
    }

    #[test]
    fn checks_redirects_and_meters_are_added_once_each_and_what_was_skipped_has_ended() {
        let mut totals = RunTotals::new(vec![0]);
        totals.enroll("n", FIRST);
        let checks = vec![CheckCount { name: "has a price".to_owned(), passed: 3, failed: 1 }];
        let step = StepDelta { planned: 9, succeeded: 4, skipped: 2, redirects: 5, checks, ..StepDelta::default() };
        for (sequence, is_new) in [(1, true), (1, false), (2, true)] {
            assert_eq!(totals.merge(&delta(sequence, step.clone(), 7)).unwrap(), is_new);
        }
        let merged = &totals.steps[&(0, 0)];
        assert_eq!((merged.skipped, merged.redirects, merged.checks[0].passed, merged.checks[0].failed), (4, 10, 6, 2));
        assert_eq!(totals.meters[&(0, "events".to_owned())].sum, 14);
        totals.lose("n");
        assert_eq!(totals.iterations().censored, 18 - 8 - 4);
        let Iterations { offered, succeeded, failed, censored, skipped } = totals.iterations();
        assert_eq!(offered, succeeded + failed + censored + skipped);
        // A meter that is another one than was told before is a hole, not a sum of apples and pears.
        let mut other = delta(3, StepDelta::default(), 1);
        other.meters[0].unit = MeterUnit::Bytes;
        assert!(totals.merge(&other).unwrap_err().to_string().contains("meter `events` of group 0 from n"));
        assert_eq!((totals.refused, totals.meters[&(0, "events".to_owned())].sum), (1, 14));
    }
}
