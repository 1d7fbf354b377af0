//! Counts of a step, or of whole iterations.

use std::collections::BTreeMap;

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::second::{Counts, GroupSums, StepSecond};

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) counts: Counts,
    pub(super) retried: u64,
    pub(super) redirects: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) failures: BTreeMap<(FailureKind, u16), u64>,
    /// By name, and whether they passed.
    pub(super) checks: BTreeMap<(String, bool), u64>,
    /// By host, and whether they succeeded.
    pub(super) hosts: BTreeMap<(String, bool), u64>,
}

impl Sums {
    /// What a step did in a second.
    pub(super) fn of(step: &StepSecond) -> Self {
        Self {
            counts: Counts {
                offered: step.offered,
                sent: step.sent,
                succeeded: step.succeeded,
                failed: step.failed,
                censored: step.censored,
                skipped: step.skipped,
            },
            retried: step.retried,
            redirects: step.redirects,
            bytes_sent: step.bytes_sent,
            bytes_received: step.bytes_received,
            statuses: step.statuses.iter().map(|of| (of.status, of.count)).collect(),
            failures: step.failures.iter().map(|of| ((of.kind, of.status), of.count)).collect(),
            checks: step
                .checks
                .iter()
                .flat_map(|of| [((of.name.clone(), true), of.passed), ((of.name.clone(), false), of.failed)])
                .filter(|(_, count)| *count > 0)
                .collect(),
            hosts: step
                .hosts
                .iter()
                .flat_map(|of| [((of.host.clone(), true), of.succeeded), ((of.host.clone(), false), of.failed)])
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    /// Each at least as large as the other's.
    pub(super) fn raise_to(&mut self, other: &Self) {
        self.combine(other, u64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        let (to, of) = (&mut self.counts, &other.counts);
        for (to, of) in [
            (&mut to.offered, of.offered),
            (&mut to.sent, of.sent),
            (&mut to.succeeded, of.succeeded),
            (&mut to.failed, of.failed),
            (&mut to.censored, of.censored),
            (&mut to.skipped, of.skipped),
            (&mut self.retried, other.retried),
            (&mut self.redirects, other.redirects),
            (&mut self.bytes_sent, other.bytes_sent),
            (&mut self.bytes_received, other.bytes_received),
        ] {
            *to = with(*to, of);
        }
        for (status, count) in &other.statuses {
            let to = self.statuses.entry(*status).or_default();
            *to = with(*to, *count);
        }
        for (failure, count) in &other.failures {
            let to = self.failures.entry(*failure).or_default();
            *to = with(*to, *count);
        }
        for (to, of) in [(&mut self.checks, &other.checks), (&mut self.hosts, &other.hosts)] {
            for (name, count) in of {
                let to = to.entry(name.clone()).or_default();
                *to = with(*to, *count);
            }
        }
    }

    /// Whether none of these is less than the other's.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        other.beyond(self) == Self::default()
    }

    /// What these have beyond others; nothing where they have less.
    pub(super) fn beyond(&self, other: &Self) -> Self {
        let (of, from) = (&self.counts, &other.counts);
        let more = u64::saturating_sub;
        let statuses = self
            .statuses
            .iter()
            .map(|(status, count)| (*status, more(*count, other.statuses.get(status).copied().unwrap_or(0))));
        let failures = self
            .failures
            .iter()
            .map(|(failure, count)| (*failure, more(*count, other.failures.get(failure).copied().unwrap_or(0))));
        let named = |of: &BTreeMap<(String, bool), u64>, from: &BTreeMap<(String, bool), u64>| {
            let left =
                of.iter().map(|(name, count)| (name.clone(), more(*count, from.get(name).copied().unwrap_or(0))));
            left.filter(|(_, count)| *count > 0).collect()
        };
        Self {
            counts: Counts {
                offered: more(of.offered, from.offered),
                sent: more(of.sent, from.sent),
                succeeded: more(of.succeeded, from.succeeded),
                failed: more(of.failed, from.failed),
                censored: more(of.censored, from.censored),
                skipped: more(of.skipped, from.skipped),
            },
            retried: more(self.retried, other.retried),
            redirects: more(self.redirects, other.redirects),
            bytes_sent: more(self.bytes_sent, other.bytes_sent),
            bytes_received: more(self.bytes_received, other.bytes_received),
            statuses: statuses.filter(|(_, count)| *count > 0).collect(),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            checks: named(&self.checks, &other.checks),
            hosts: named(&self.hosts, &other.hosts),
        }
    }
}

/// What a group's sums so far say of its requests.
pub(super) fn sums_of(so_far: &GroupSums) -> Sums {
    let failures = so_far.failures.iter().map(|of| ((of.kind, of.status), of.count)).collect();
    Sums { counts: so_far.requests, failures, ..Sums::default() }
}
