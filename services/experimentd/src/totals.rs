//! The books of one run: what all nodes measured, merged exactly.
//!
//! Pure: deltas in, sums out. A delta that was merged before changes nothing (see [`nuncius_stats::ledger`]).

use std::collections::BTreeMap;

use nuncius_schemas::metric::{MetricDelta, RecordsWritten, Shortfall};
use serde::{Deserialize, Serialize};

use nuncius_stats::{Accept, Histogram, Incarnation, Ledger, Totals};

use crate::health::NodeHealth;

mod step;

pub use step::StepTotals;
pub(crate) use step::add;

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
    /// Succeeded, failed or censored.
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
    /// How many steps each group has, without the whole iteration.
    steps_per_group: Vec<u16>,
    /// By group and step, over the run.
    pub steps: BTreeMap<(u16, u16), StepTotals>,
    /// Of groups of servos: how many servos completed each number of cycles.
    pub cycles: BTreeMap<u16, BTreeMap<u32, u64>>,
    /// By node.
    pub nodes: BTreeMap<String, NodeTotals>,
    /// Seconds that deltas may still come for.
    pub open_seconds: BTreeMap<u32, SecondTotals>,
    ledger: Ledger,
    /// Deltas that could not be merged: each is a hole.
    pub refused: u64,
}

impl RunTotals {
    /// Empty books for groups with these numbers of steps.
    pub fn new(steps_per_group: Vec<u16>) -> Self {
        Self {
            steps_per_group,
            steps: BTreeMap::new(),
            cycles: BTreeMap::new(),
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

    /// Whether `step` is where a group's iterations are counted: its only step, or the whole iteration.
    pub fn is_iteration(&self, group: u16, step: u16) -> bool {
        is_iteration(&self.steps_per_group, group, step)
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
            if is_iteration(&self.steps_per_group, step.group, step.step) {
                offered += step.planned;
            }
            let of_node = node.steps.entry(key).or_default();
            of_node.planned += step.planned;
            of_node.ended += step.succeeded + step.failed + step.censored;
            of_node.in_flight = step.in_flight;
            second.steps.entry(key).or_default().merge(&one);
            second.in_flight.insert((delta.node.clone(), step.group, step.step), step.in_flight);
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
        let iterations =
            node.steps.iter().filter(|((group, step), _)| is_iteration(&self.steps_per_group, *group, *step));
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

    /// Offered, succeeded, failed, censored iterations over the run.
    pub fn iterations(&self) -> Iterations {
        let mut sum = Iterations::default();
        for ((group, step), totals) in &self.steps {
            if self.is_iteration(*group, *step) {
                sum.offered += totals.planned;
                sum.succeeded += totals.succeeded;
                sum.failed += totals.failed;
                sum.censored += totals.censored;
            }
        }
        sum
    }
}

/// Where a group's iterations are counted: at its only step, or one past the last.
fn is_iteration(steps_per_group: &[u16], group: u16, step: u16) -> bool {
    match steps_per_group.get(usize::from(group)) {
        Some(1) => step == 0,
        Some(steps) => step == *steps,
        None => false,
    }
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
}
