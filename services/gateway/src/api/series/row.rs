//! One row of a series: what one second, or several that were made one, has of a step.

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::second::{ExperimentSecond, GroupSecond, StepSecond};

/// Seconds for which revisions are taken: what comes later than that is added.
pub(super) const RECENT: u32 = 120;
/// Kinds of failure that a row tells apart; of more those that come last are not told.
const FAILURES_MAX: usize = 16;

/// Names of counts, in the order of [`Row::counts`].
pub(super) const COUNTS: [&str; 11] = [
    "length_ns",
    "offered_ns",
    "scheduled",
    "offered",
    "sent",
    "succeeded",
    "failed",
    "censored",
    "retried",
    "bytes_sent",
    "bytes_received",
];
/// Names of levels, in the order of [`Row::levels`].
pub(super) const LEVELS: [&str; 12] = [
    "in_flight",
    "response_p50_ns",
    "response_p95_ns",
    "response_p99_ns",
    "response_max_ns",
    "service_p50_ns",
    "service_p95_ns",
    "service_p99_ns",
    "service_max_ns",
    "blocked_p99_ns",
    "lag_p99_ns",
    "censored_max_ns",
];

/// One row.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) revision: u32,
    pub(super) counts: [u64; COUNTS.len()],
    pub(super) levels: [Option<u64>; LEVELS.len()],
    /// By kind and status of the answer, 0 without one.
    pub(super) failures: Vec<(FailureKind, u16, u64)>,
}

impl Row {
    pub(super) fn of(told: &ExperimentSecond, group: &GroupSecond, step: &StepSecond, counts_iterations: bool) -> Self {
        let scheduled = if counts_iterations { group.scheduled.unwrap_or(0) } else { 0 };
        let failures = step.failures.iter().take(FAILURES_MAX);
        Self {
            revision: told.revision,
            counts: [
                told.length_ns,
                group.offered_ns,
                scheduled,
                step.offered,
                step.sent,
                step.succeeded,
                step.failed,
                step.censored,
                step.retried,
                step.bytes_sent,
                step.bytes_received,
            ],
            levels: [
                Some(step.in_flight),
                step.response.p50_ns,
                step.response.p95_ns,
                step.response.p99_ns,
                step.response.max_ns,
                step.service.p50_ns,
                step.service.p95_ns,
                step.service.p99_ns,
                step.service.max_ns,
                step.blocked.p99_ns,
                step.lag.p99_ns,
                step.censored_response.max_ns.or(step.censored_service.max_ns),
            ],
            failures: failures.map(|failure| (failure.kind, failure.status, failure.count)).collect(),
        }
    }

    /// One of its counts by name.
    pub(super) fn count(&self, name: &str) -> u64 {
        COUNTS.iter().position(|known| *known == name).and_then(|at| self.counts.get(at)).copied().unwrap_or(0)
    }

    /// Adds the row after it: counts are summed, of quantiles the greater one stays, and what is under way is the last.
    pub(super) fn add(&mut self, later: &Self) {
        self.counts.iter_mut().zip(later.counts).for_each(|(count, more)| *count = count.saturating_add(more));
        let (mine, theirs) = (self.levels.split_first_mut(), later.levels.split_first());
        if let (Some((under_way, quantiles)), Some((last, others))) = (mine, theirs) {
            *under_way = last.or(*under_way);
            quantiles.iter_mut().zip(others).for_each(|(level, other)| *level = (*level).max(*other));
        }
        self.add_failures(later);
    }

    /// Adds what came late of it.
    pub(super) fn add_late(&mut self, late: &Self) {
        // How long it was, and how long load was offered, was told before.
        let fixed = 3;
        self.counts.iter_mut().zip(late.counts).skip(fixed).for_each(|(count, more)| {
            *count = count.saturating_add(more);
        });
        self.levels.iter_mut().zip(late.levels).skip(1).for_each(|(level, other)| *level = (*level).max(other));
        self.add_failures(late);
    }

    fn add_failures(&mut self, other: &Self) {
        for (kind, status, count) in &other.failures {
            match self.failures.iter().position(|known| (known.0, known.1) == (*kind, *status)) {
                Some(at) => self.failures.iter_mut().skip(at).take(1).for_each(|known| known.2 += count),
                None if self.failures.len() < FAILURES_MAX => self.failures.push((*kind, *status, *count)),
                None => {}
            }
        }
    }
}
