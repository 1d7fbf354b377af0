//! What was told of the latest seconds, so that what is told of them again adds only what is new.

use std::collections::BTreeMap;

use nuncius_schemas::second::{Distribution, ExperimentSecond, StepSecond};

use super::step::Sums;
use crate::metrics::latency::{Observed, observed};

/// Seconds that are remembered: the daemon changes none that is older.
const SECONDS_MAX: usize = 128;
/// Most bytes of them, about.
const BYTES_MAX: usize = 16 << 20;

/// The latencies of a step in a second.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    pub(super) response: Observed,
    pub(super) service: Observed,
    pub(super) blocked: Observed,
    pub(super) lag: Observed,
}

/// What a message changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Counts to be added.
    pub(super) sums: Sums,
    /// Latencies as they are told now, and as they were told before.
    pub(super) now: Latencies,
    pub(super) before: Latencies,
}

/// A step in a second, as it was told last: its histograms as they travelled, which is shortest.
#[derive(Debug)]
struct Told {
    revision: u32,
    sums: Sums,
    /// Response, service, blocked, lag.
    distributions: [Distribution; 4],
}

impl Told {
    fn new(revision: u32, step: &StepSecond) -> Self {
        let distributions = [&step.response, &step.service, &step.blocked, &step.lag].map(Distribution::clone);
        Self { revision, sums: Sums::of(step), distributions }
    }

    fn bytes(&self) -> usize {
        let entries = self.sums.statuses.len() + self.sums.failures.len();
        let named: usize = self.sums.checks.keys().chain(self.sums.hosts.keys()).map(|(name, _)| 64 + name.len()).sum();
        1_024 + entries * 48 + named + self.distributions.iter().map(|told| told.histogram.len()).sum::<usize>()
    }
}

#[derive(Debug, Default)]
struct Second {
    steps: BTreeMap<(u16, u16), Told>,
    scheduled: BTreeMap<u16, (u32, u64)>,
    nodes: BTreeMap<String, (u32, u64)>,
    bytes: usize,
}

/// The seconds.
#[derive(Debug, Default)]
pub(super) struct Memory {
    seconds: BTreeMap<u32, Second>,
    bytes: usize,
    /// All before it are forgotten.
    first: u32,
}

impl Memory {
    /// Whether it is not known any more what was told of a second.
    pub(super) fn has_forgotten(&self, second: u32) -> bool {
        second < self.first
    }

    /// What a message changes of a step; nothing where it says no more than was known.
    pub(super) fn step(&mut self, told: &ExperimentSecond, key: (u16, u16), step: &StepSecond) -> Option<Change> {
        let new = Told::new(told.revision, step);
        let change = |new: &Told, before: Option<&Told>| Change {
            sums: before.map_or_else(|| new.sums.clone(), |before| new.sums.beyond(&before.sums)),
            now: latencies(&new.distributions),
            before: before.map_or_else(Latencies::default, |before| latencies(&before.distributions)),
        };
        if told.late {
            return Some(change(&new, None));
        }
        let second = self.seconds.entry(told.second).or_default();
        let change = match second.steps.get_mut(&key) {
            Some(before) if before.revision > told.revision => return None,
            // Another daemon may know less of it at first: what was told stays, until more is.
            Some(before)
                if (&before.distributions, &before.sums) == (&new.distributions, &new.sums)
                    || !new.sums.reaches(&before.sums) =>
            {
                before.revision = told.revision;
                return None;
            }
            before => change(&new, before.as_deref()),
        };
        let size = new.bytes();
        let gone = second.steps.insert(key, new);
        let freed = gone.map_or(0, |gone| gone.bytes());
        second.bytes = (second.bytes + size).saturating_sub(freed);
        self.bytes = (self.bytes + size).saturating_sub(freed);
        Some(change)
    }

    /// How many more iterations a group's schedule has in a second than was known.
    pub(super) fn scheduled(&mut self, (second, revision): (u32, u32), group: u16, scheduled: u64) -> u64 {
        let second = self.seconds.entry(second).or_default();
        more(second.scheduled.entry(group).or_default(), revision, scheduled)
    }

    /// How many more iterations a node has offered in a second than was known.
    pub(super) fn node(&mut self, (second, revision): (u32, u32), node: &str, offered: u64) -> u64 {
        let second = self.seconds.entry(second).or_default();
        if let Some(known) = second.nodes.get_mut(node) {
            return more(known, revision, offered);
        }
        second.nodes.insert(node.to_owned(), (revision, offered));
        second.bytes += node.len() + 64;
        self.bytes += node.len() + 64;
        offered
    }

    /// Forgets the oldest beyond what may be kept.
    pub(super) fn forget(&mut self) {
        while self.seconds.len() > SECONDS_MAX || (self.bytes > BYTES_MAX && self.seconds.len() > 1) {
            let Some((second, gone)) = self.seconds.pop_first() else { break };
            self.bytes = self.bytes.saturating_sub(gone.bytes);
            self.first = self.first.max(second.saturating_add(1));
        }
    }
}

fn more(known: &mut (u32, u64), revision: u32, count: u64) -> u64 {
    if revision < known.0 {
        return 0;
    }
    let more = count.saturating_sub(known.1);
    *known = (revision, known.1.max(count));
    more
}

fn latencies([response, service, blocked, lag]: &[Distribution; 4]) -> Latencies {
    Latencies {
        response: observed(response),
        service: observed(service),
        blocked: observed(blocked),
        lag: observed(lag),
    }
}
