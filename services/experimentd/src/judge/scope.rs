//! What a gate looks at: steps and iterations, and what is known of them.

use std::collections::BTreeMap;

use nuncius_schemas::gate::{Gate, LatencyOf, Quantity};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_stats::{GateData, Histogram, Observed, OfferedTime, Totals};

use super::schedule::GroupSchedule;
use crate::totals::{StepTotals, add};

/// Group and step, as deltas number them.
pub(super) type Key = (u16, u16);

/// Names of groups and steps.
pub(super) struct Groups {
    groups: Vec<(String, Vec<String>)>,
}

impl Groups {
    pub(super) fn of(spec: &ExperimentSpec) -> Self {
        Self { groups: spec.groups.iter().map(|group| (group.name.clone(), group.step_names())).collect() }
    }

    /// Where a group's iterations are counted: its only step, or what comes after the last.
    pub(super) fn iterations(&self, group: usize) -> Option<Key> {
        let (_, steps) = self.groups.get(group)?;
        let step = if steps.len() == 1 { 0 } else { u16::try_from(steps.len()).ok()? };
        Some((u16::try_from(group).ok()?, step))
    }
}

/// What a gate looks at: one step, or the iterations of the groups it names and what their steps did on the wire.
pub(super) struct Scope {
    groups: Vec<usize>,
    /// Where requests are counted and their response is measured.
    counted: Vec<Key>,
    /// Where everything else is measured.
    steps: Vec<Key>,
    /// All steps of the groups: where the generator's lag is found.
    all_steps: Vec<Key>,
    /// Whether the requests are those of the schedule: iterations, or their only step.
    is_schedule: bool,
}

impl Scope {
    pub(super) fn of(gate: &Gate, groups: &Groups) -> Self {
        let mut scope = Self {
            groups: Vec::new(),
            counted: Vec::new(),
            steps: Vec::new(),
            all_steps: Vec::new(),
            is_schedule: true,
        };
        for (index, (name, steps)) in groups.groups.iter().enumerate() {
            let wanted = gate.group.as_ref().is_none_or(|wanted| wanted == name);
            let (Ok(group), Some(iterations)) = (u16::try_from(index), groups.iterations(index)) else { continue };
            let keys = (0..u16::try_from(steps.len()).unwrap_or(u16::MAX)).map(|step| (group, step));
            let place = gate.step.as_ref().map(|step| steps.iter().position(|name| name == step));
            match place {
                _ if !wanted => continue,
                Some(None) => continue,
                Some(Some(step)) => {
                    let key = (group, u16::try_from(step).unwrap_or(u16::MAX));
                    scope.counted.push(key);
                    scope.steps.push(key);
                    scope.is_schedule &= steps.len() == 1;
                }
                None => {
                    scope.counted.push(iterations);
                    scope.steps.extend(keys.clone());
                }
            }
            scope.groups.push(index);
            scope.all_steps.extend(keys);
        }
        scope
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = usize> + '_ {
        self.groups.iter().copied()
    }

    /// Where requests are counted.
    pub(super) fn counted(&self) -> &[Key] {
        &self.counted
    }

    /// Where a quantity is measured.
    pub(super) fn measured(&self, quantity: Quantity) -> &[Key] {
        match quantity {
            Quantity::Response => &self.counted,
            Quantity::Service | Quantity::Blocked | Quantity::Lag => &self.steps,
        }
    }

    /// How many groups offered these requests, when all of them are evenly spaced by their schedules.
    pub(super) fn evenly_spaced(&self, schedules: &[GroupSchedule]) -> Option<u64> {
        let even = |group: &usize| schedules.get(*group).is_some_and(|schedule| schedule.is_evenly_spaced);
        (self.is_schedule && self.groups.iter().all(even)).then_some(self.groups.len() as u64)
    }

    /// What is known of all it looks at, with the latencies of `of`.
    pub(super) fn sum(&self, steps: &BTreeMap<Key, StepTotals>, of: LatencyOf) -> Scoped {
        let mut sum = Scoped::default();
        for one in self.counted.iter().filter_map(|key| steps.get(key)) {
            sum.planned += one.planned;
            sum.succeeded += one.succeeded;
            sum.failed += one.failed;
            sum.censored += one.censored;
            sum.under_way += under_way(one);
        }
        for quantity in Quantity::ALL {
            let Some(target) = sum.observed.get_mut(position(quantity)) else { continue };
            for one in self.measured(quantity).iter().filter_map(|key| steps.get(key)) {
                let source = one.quantity(quantity);
                add(&mut target.known.completed, &source.completed);
                add(&mut target.known.censored, &source.censored);
                let failed = match (of, quantity) {
                    (LatencyOf::All, Quantity::Response) => Some(&one.failed_response),
                    (LatencyOf::All, Quantity::Service) => Some(&one.failed_service),
                    (LatencyOf::All, Quantity::Blocked | Quantity::Lag) | (LatencyOf::Succeeded, _) => None,
                };
                if let Some(failed) = failed {
                    add(&mut target.known.completed, &failed.completed);
                }
                target.unknown += unknown_of(quantity, one);
            }
        }
        for one in self.all_steps.iter().filter_map(|key| steps.get(key)) {
            add(&mut sum.lag, &one.lag.completed);
        }
        sum
    }
}

const fn position(quantity: Quantity) -> usize {
    match quantity {
        Quantity::Response => 0,
        Quantity::Service => 1,
        Quantity::Blocked => 2,
        Quantity::Lag => 3,
    }
}

fn ended(step: &StepTotals) -> u64 {
    step.succeeded + step.failed + step.censored
}

/// Requests that have not ended, as far as is known.
fn under_way(step: &StepTotals) -> u64 {
    step.planned.saturating_sub(ended(step))
}

/// Of how many requests a quantity is not known and may yet be, or would have been, anything.
fn unknown_of(quantity: Quantity, step: &StepTotals) -> u64 {
    match quantity {
        Quantity::Response | Quantity::Service => under_way(step),
        // Known from the sending on: what waits for a connection, and what waited until the stop.
        Quantity::Blocked => {
            let unsent_at_stop = step.censored.saturating_sub(step.service.censored.count());
            unsent_at_stop + step.planned.saturating_sub(step.sent.max(ended(step)))
        }
        // Known as soon as there is a request.
        Quantity::Lag => 0,
    }
}

/// Observations of one quantity, and how many more there may be.
#[derive(Default)]
struct Measured {
    known: Observed,
    unknown: u64,
}

/// What is known of what a gate looks at.
#[derive(Default)]
pub(super) struct Scoped {
    planned: u64,
    succeeded: u64,
    failed: u64,
    censored: u64,
    under_way: u64,
    /// In the order of [`Quantity::ALL`].
    observed: [Measured; Quantity::ALL.len()],
    lag: Totals,
}

impl Scoped {
    /// How many requests have not ended or may have been offered without a word.
    pub(super) fn unknown(&self) -> u64 {
        self.under_way
    }

    /// So many may have been offered without a word.
    pub(super) fn add_unaccounted(&mut self, requests: u64) {
        self.under_way += requests;
        for measured in &mut self.observed {
            measured.unknown += requests;
        }
    }

    /// Counts what is not known among the observations of the gate's quantity: `overdue` of it have exceeded the limit,
    /// the rest may have waited for no time at all.
    pub(super) fn add_under_way(&mut self, gate: &Gate, overdue: u64) {
        let Some(quantity) = gate.expression.metric.quantity() else { return };
        let Some(measured) = self.observed.get_mut(position(quantity)) else { return };
        let mut waits = Histogram::new();
        let overdue = overdue.min(measured.unknown);
        waits.record_ns_many(nuncius_stats::exceeding_ns(gate.expression.limit as u64), overdue);
        waits.record_ns_many(0, measured.unknown - overdue);
        add(&mut measured.known.censored, &Totals::from(&waits));
        measured.unknown = 0;
    }

    /// For the gate.
    pub(super) fn data(&self, offered: OfferedTime) -> GateData<'_> {
        let mut data = GateData {
            generator_lag: Some(&self.lag),
            planned: self.planned,
            succeeded: self.succeeded,
            failed: self.failed,
            censored: self.censored,
            unknown: self.under_way,
            offered,
            ..GateData::default()
        };
        for (quantity, measured) in Quantity::ALL.into_iter().zip(&self.observed) {
            data = data.with(quantity, &measured.known);
        }
        data
    }
}
