//! The books of one run: what all nodes measured, merged exactly.
//!
//! Pure: deltas in, sums out. A delta that was merged before changes nothing (see [`nuncius_stats::ledger`]).

use std::collections::BTreeMap;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::{FailureCount, FailureKind, MetricDelta, RecordsWritten, StatusCount, StepDelta};
use nuncius_schemas::report::Interval;
use nuncius_stats::{Accept, Histogram, Incarnation, Ledger, Observed, Totals};

use crate::health::NodeHealth;

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

/// Counts and distributions of one step.
#[derive(Debug, Clone, Default)]
pub struct StepTotals {
    /// Taken from the schedule, or begun.
    pub planned: u64,
    /// Written to a connection.
    pub sent: u64,
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Unanswered or unsent at the stop.
    pub censored: u64,
    /// Sent again because the server had closed the connection without seeing the request.
    pub retried: u64,
    /// Waited for a node's cap on the rate.
    pub held_back: u64,
    /// Pauses of users whose iteration ended without an answer.
    pub backed_off: u64,
    /// Bytes written to connections.
    pub bytes_sent: u64,
    /// Bytes read from connections.
    pub bytes_received: u64,
    /// Answers by status, successes included.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by kind and status.
    pub failures: BTreeMap<(FailureKind, u16), (u64, Option<String>)>,
    /// Done − planned of what succeeded or waited its timeout, with what is only known from below.
    pub response: Observed,
    /// Done − sent of what succeeded or waited its timeout, with what is only known from below.
    pub service: Observed,
    /// Sent − taken.
    pub blocked: Observed,
    /// Taken − planned.
    pub lag: Observed,
    /// Done − planned, of answers that failed.
    pub failed_response: Observed,
    /// Done − sent, of answers that failed.
    pub failed_service: Observed,
}

impl StepTotals {
    /// The observations of a quantity.
    pub fn quantity(&self, quantity: Quantity) -> &Observed {
        match quantity {
            Quantity::Response => &self.response,
            Quantity::Service => &self.service,
            Quantity::Blocked => &self.blocked,
            Quantity::Lag => &self.lag,
        }
    }

    fn add(&mut self, delta: &StepDelta) -> Result<(), String> {
        for (target, bytes) in [
            (&mut self.response.completed, &delta.response),
            (&mut self.service.completed, &delta.service),
            (&mut self.blocked.completed, &delta.blocked),
            (&mut self.lag.completed, &delta.lag),
            (&mut self.response.censored, &delta.censored_response),
            (&mut self.service.censored, &delta.censored_service),
            (&mut self.failed_response.completed, &delta.failed_response),
            (&mut self.failed_service.completed, &delta.failed_service),
        ] {
            target.merge_delta(bytes).map_err(|error| error.to_string())?;
        }
        self.planned += delta.planned;
        self.sent += delta.sent;
        self.succeeded += delta.succeeded;
        self.failed += delta.failed;
        self.censored += delta.censored;
        self.retried += delta.retried;
        self.held_back += delta.held_back;
        self.backed_off += delta.backed_off;
        self.bytes_sent += delta.bytes_sent;
        self.bytes_received += delta.bytes_received;
        for StatusCount { status, count } in &delta.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for FailureCount { kind, status, count, sample } in &delta.failures {
            let entry = self.failures.entry((*kind, *status)).or_default();
            entry.0 += count;
            if entry.1.is_none() {
                entry.1.clone_from(sample);
            }
        }
        Ok(())
    }

    /// Adds another's counts and distributions.
    pub fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.censored += other.censored;
        self.retried += other.retried;
        self.held_back += other.held_back;
        self.backed_off += other.backed_off;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (key, (count, sample)) in &other.failures {
            let entry = self.failures.entry(*key).or_default();
            entry.0 += count;
            if entry.1.is_none() {
                entry.1.clone_from(sample);
            }
        }
        for quantity in Quantity::ALL {
            let source = other.quantity(quantity);
            let target = match quantity {
                Quantity::Response => &mut self.response,
                Quantity::Service => &mut self.service,
                Quantity::Blocked => &mut self.blocked,
                Quantity::Lag => &mut self.lag,
            };
            add(&mut target.completed, &source.completed);
            add(&mut target.censored, &source.censored);
        }
        add(&mut self.failed_response.completed, &other.failed_response.completed);
        add(&mut self.failed_service.completed, &other.failed_service.completed);
    }
}

/// Adds what was decoded before: fails only where 64-bit counters would overflow, which no run lives to see.
pub(crate) fn add(target: &mut Totals, source: &Totals) {
    if let Err(error) = target.merge(source) {
        tracing::error!(%error, "histograms could not be added");
    }
}

/// One second of run time, over all nodes.
#[derive(Debug, Default)]
pub struct SecondTotals {
    /// By group and step.
    pub steps: BTreeMap<(u16, u16), StepTotals>,
    /// In flight by node, group and step, as last said.
    in_flight: BTreeMap<(String, u16, u16), u64>,
}

/// Counts of one step on one node.
#[derive(Debug, Clone, Copy, Default)]
struct NodeStep {
    planned: u64,
    /// Succeeded, failed or censored.
    ended: u64,
    /// Under way, as last said.
    in_flight: u64,
}

/// One node's part.
#[derive(Debug, Default)]
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
    /// Deltas merged.
    pub deltas: u64,
    /// Lag p99 of its last second, in nanoseconds.
    pub lag_p99_ns: Option<u64>,
    /// Offered in its last second.
    pub offered_last: u64,
}

/// The books.
#[derive(Debug)]
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
    /// Seconds that are closed.
    pub intervals: Vec<Interval>,
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
            intervals: Vec::new(),
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
        let node = self.nodes.entry(delta.node.clone()).or_default();
        node.deltas += 1;
        let mut problem = None;
        let mut lag_of_second = Totals::default();
        let mut offered = 0;
        for step in &delta.steps {
            let key = (step.group, step.step);
            let mut one = StepTotals::default();
            if let Err(text) = one.add(step) {
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
        node.offered += offered;
        add(&mut node.lag, &lag_of_second);
        node.health.add(delta.last_second, delta.health.as_ref(), &lag_of_second);
        let iterations =
            node.steps.iter().filter(|((group, step), _)| is_iteration(&self.steps_per_group, *group, *step));
        node.in_flight = if delta.last { 0 } else { iterations.map(|(_, step)| step.in_flight).sum() };
        if delta.part + 1 == delta.parts {
            node.offered_last = offered;
            node.lag_p99_ns = lag_of_second.quantile_ns(0.99);
        }
        if delta.last {
            node.last_sequence = Some(delta.sequence);
            node.records = delta.records;
        }
        if delta.stopped.is_some() {
            node.stopped.clone_from(&delta.stopped);
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
        for (key, step) in &mut totals.steps {
            let open = step.planned.saturating_sub(step.ended);
            if open == 0 {
                continue;
            }
            step.ended += open;
            let total = self.steps.entry(*key).or_default();
            total.censored += open;
            for (observed, count) in [(&mut total.response, open), (&mut total.service, open.min(step.in_flight))] {
                let mut from_nothing = Histogram::new();
                from_nothing.record_ns_many(0, count);
                if let Err(error) = observed.censored.add(&from_nothing) {
                    tracing::error!(%error, "what a lost node had under way could not be added");
                }
            }
        }
    }

    /// Whether the node has said its last and nothing before it is missing.
    pub fn is_complete(&self, node: &str) -> bool {
        self.nodes
            .get(node)
            .and_then(|totals| totals.last_sequence)
            .is_some_and(|last| self.complete_through(node) >= last)
    }

    /// Closes the seconds before `second`: their figures are final, and are returned oldest first.
    pub fn close_before(&mut self, second: u32) -> Vec<(Interval, SecondTotals)> {
        let open = self.open_seconds.split_off(&second);
        let closed = std::mem::replace(&mut self.open_seconds, open);
        let mut out = Vec::with_capacity(closed.len());
        for (second, totals) in closed {
            let interval = self.interval(second, &totals);
            // A piece may come after its second was closed: its counts are added, the quantiles stay those of the rest.
            match self.intervals.iter_mut().rev().find(|known| known.second == second) {
                Some(known) => {
                    known.offered += interval.offered;
                    known.succeeded += interval.succeeded;
                    known.failed += interval.failed;
                }
                None => self.intervals.push(interval.clone()),
            }
            out.push((interval, totals));
        }
        out
    }

    /// The figures of one second.
    pub fn interval(&self, second: u32, totals: &SecondTotals) -> Interval {
        let mut interval = Interval { second, ..Interval::default() };
        let mut sum = StepTotals::default();
        for ((group, step), one) in &totals.steps {
            if self.is_iteration(*group, *step) {
                interval.offered += one.planned;
                interval.succeeded += one.succeeded;
                interval.failed += one.failed;
                add(&mut sum.response.completed, &one.response.completed);
            }
            add(&mut sum.service.completed, &one.service.completed);
            add(&mut sum.blocked.completed, &one.blocked.completed);
            add(&mut sum.lag.completed, &one.lag.completed);
        }
        interval.in_flight = totals
            .in_flight
            .iter()
            .filter(|((_, group, step), _)| self.is_iteration(*group, *step))
            .map(|(_, count)| count)
            .sum();
        interval.response_p50_ns = sum.response.completed.quantile_ns(0.5);
        interval.response_p95_ns = sum.response.completed.quantile_ns(0.95);
        interval.response_p99_ns = sum.response.completed.quantile_ns(0.99);
        interval.service_p50_ns = sum.service.completed.quantile_ns(0.5);
        interval.service_p99_ns = sum.service.completed.quantile_ns(0.99);
        interval.blocked_p99_ns = sum.blocked.completed.quantile_ns(0.99);
        interval.lag_p99_ns = sum.lag.completed.quantile_ns(0.99);
        interval
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
