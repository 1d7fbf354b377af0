//! For how long requests have been under way, as far as the deltas prove it.
//!
//! A delta says how many requests a step had begun and how many had ended by the end of its last second, T. Of those
//! that had been begun by an earlier instant A, at most as many have ended by T as have ended in all. So
//!
//! > at least begun(A) − ended(T) requests have been under way for longer than T − A.
//!
//! Requests that overtake others make the bound smaller, never larger. It is taken node by node, each at the T that it
//! has spoken of, and for response from what was planned, for service from what was sent, for blocked from what was
//! planned and has neither been sent nor failed. The counts of a second may hold what came a little after its end, when
//! the thread that keeps them was late: [`SLACK_NS`] is left for that, and a thread that is later has made the run
//! invalid.

use std::collections::{BTreeMap, VecDeque};

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::{MetricDelta, StepDelta};
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::exceeding_ns;
use serde::{Deserialize, Serialize};

use super::scope::Key;

/// How late the counts of a second may be closed.
const SLACK_NS: u64 = 100_000_000;

/// Longest limit whose requests are followed while they are under way, in seconds; beyond it they count when they end.
pub(super) const FOLLOWED_SECONDS_MAX: u64 = 600;

/// What every node has begun and ended, step by step.
#[derive(Serialize, Deserialize)]
pub(super) struct Ages {
    /// How many seconds are kept; 0 when no gate needs any.
    kept_seconds: u64,
    lines: BTreeMap<Key, BTreeMap<String, Line>>,
}

/// One step of one node.
#[derive(Default, Serialize, Deserialize)]
struct Line {
    through: u32,
    planned: u64,
    sent: u64,
    succeeded: u64,
    unsuccessful: u64,
    /// By second, what had been planned and sent by its end; the first one stands for all before it.
    begun: VecDeque<(u32, u64, u64)>,
}

impl Ages {
    /// Follows requests for as long as the longest of all limits says, in nanoseconds; `None` follows none.
    pub(super) fn of_limit(longest_ns: Option<u64>) -> Self {
        let seconds = |ns: u64| (ns / SECOND_NS).min(FOLLOWED_SECONDS_MAX) + 3;
        Self { kept_seconds: longest_ns.map_or(0, seconds), lines: BTreeMap::new() }
    }

    /// Takes what a delta that counts says.
    pub(super) fn note(&mut self, delta: &MetricDelta) {
        if self.kept_seconds == 0 {
            return;
        }
        for step in &delta.steps {
            let nodes = self.lines.entry((step.group, step.step)).or_default();
            if !nodes.contains_key(&delta.node) {
                nodes.insert(delta.node.clone(), Line::default());
            }
            if let Some(line) = nodes.get_mut(&delta.node) {
                line.note(delta.last_second, step, self.kept_seconds);
            }
        }
    }

    /// Requests that have not ended.
    pub(super) fn under_way(&self, keys: &[Key]) -> u64 {
        self.of(keys).map(|line| line.planned.saturating_sub(line.succeeded + line.unsuccessful)).sum()
    }

    /// How many of these were begun by the end of second `through`, have not ended, and have exceeded the limit.
    pub(super) fn overdue(&self, keys: &[Key], quantity: Quantity, limit_ns: u64, through: Option<u32>) -> u64 {
        let age_ns = exceeding_ns(limit_ns).max(limit_ns.saturating_add(SLACK_NS));
        self.of(keys).map(|line| line.overdue(quantity, age_ns, through)).sum()
    }

    fn of<'a>(&'a self, keys: &'a [Key]) -> impl Iterator<Item = &'a Line> {
        keys.iter().filter_map(|key| self.lines.get(key)).flat_map(BTreeMap::values)
    }
}

impl Line {
    fn note(&mut self, second: u32, step: &StepDelta, kept_seconds: u64) {
        self.planned += step.planned;
        self.sent += step.sent;
        self.succeeded += step.succeeded;
        self.unsuccessful += step.failed + step.censored + step.skipped;
        self.through = self.through.max(second);
        // A piece that comes late for its second counts from the newest one on.
        match self.begun.back_mut() {
            Some(newest) if newest.0 >= second => (newest.1, newest.2) = (self.planned, self.sent),
            _ => self.begun.push_back((second, self.planned, self.sent)),
        }
        while self.begun.get(1).is_some_and(|(next, _, _)| u64::from(*next) + kept_seconds <= u64::from(self.through)) {
            self.begun.pop_front();
        }
    }

    fn overdue(&self, quantity: Quantity, age_ns: u64, through: Option<u32>) -> u64 {
        let now_ns = (u64::from(self.through) + 1) * SECOND_NS;
        let old = self.begun.iter().rev().find(|(second, _, _)| {
            let end_ns = (u64::from(*second) + 1) * SECOND_NS;
            through.is_none_or(|through| *second <= through) && end_ns.saturating_add(age_ns) <= now_ns
        });
        let Some((_, planned, sent)) = old else { return 0 };
        match quantity {
            Quantity::Response => planned.saturating_sub(self.succeeded + self.unsuccessful),
            Quantity::Service => sent.saturating_sub(self.succeeded + self.unsuccessful),
            Quantity::Blocked => planned.saturating_sub(self.sent + self.unsuccessful),
            // What has not been taken from the schedule is not known to the books.
            Quantity::Lag => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(node: &str, second: u32, counts: [u64; 4]) -> MetricDelta {
        let [planned, sent, succeeded, failed] = counts;
        let step = StepDelta { planned, sent, succeeded, failed, ..StepDelta::default() };
        MetricDelta {
            experiment: "e".into(),
            node: node.into(),
            epoch: 1,
            attempt: 1,
            sequence: u64::from(second) + 1,
            part: 0,
            parts: 1,
            first_second: second,
            last_second: second,
            last: false,
            stopped: None,
            shortfall: None,
            records: None,
            meters: Vec::new(),
            tracks: Vec::new(),
            steps: vec![step],
            health: None,
        }
    }

    fn overdue(ages: &Ages, limit_ms: u64) -> u64 {
        ages.overdue(&[(0, 0)], Quantity::Response, limit_ms * 1_000_000, None)
    }

    #[test]
    fn what_a_hanging_target_holds_is_older_second_by_second() {
        let mut ages = Ages::of_limit(Some(2 * SECOND_NS));
        ages.note(&delta("n", 0, [200, 200, 0, 0]));
        assert_eq!(overdue(&ages, 500), 0);
        ages.note(&delta("n", 1, [200, 200, 0, 0]));
        assert_eq!((overdue(&ages, 500), overdue(&ages, 1_000)), (200, 0));
        ages.note(&delta("n", 2, [200, 200, 0, 0]));
        assert_eq!((overdue(&ages, 500), overdue(&ages, 1_000), overdue(&ages, 2_000)), (400, 200, 0));
        assert_eq!(ages.overdue(&[(0, 0)], Quantity::Response, 500_000_000, Some(0)), 200);
        assert_eq!(ages.under_way(&[(0, 0)]), 600);
    }

    #[test]
    fn whatever_has_ended_may_have_been_the_oldest() {
        let mut ages = Ages::of_limit(Some(SECOND_NS));
        ages.note(&delta("n", 0, [100, 100, 0, 0]));
        ages.note(&delta("n", 1, [100, 100, 60, 30]));
        assert_eq!(overdue(&ages, 500), 10);
        ages.note(&delta("n", 2, [100, 100, 120, 0]));
        assert_eq!(overdue(&ages, 500), 0);
    }

    #[test]
    fn each_node_is_taken_at_the_second_that_it_has_spoken_of() {
        let mut ages = Ages::of_limit(Some(SECOND_NS));
        for second in 0..4 {
            ages.note(&delta("quick", second, [100, 100, 100, 0]));
        }
        // Behind by three seconds: what it has ended since is not known, and neither is what it has begun.
        ages.note(&delta("behind", 0, [100, 100, 0, 0]));
        assert_eq!(overdue(&ages, 500), 0);
    }

    #[test]
    fn the_bound_never_exceeds_what_is_true_whatever_overtakes_what() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let mut ages = Ages::of_limit(Some(2 * SECOND_NS));
            let mut open: Vec<u64> = Vec::new();
            for second in 0..12u32 {
                let start_ns = u64::from(second) * SECOND_NS;
                let begun = random.u64(0..20);
                open.extend((0..begun).map(|_| start_ns + random.u64(0..SECOND_NS)));
                random.shuffle(&mut open);
                let ended = random.usize(0..=open.len());
                open.truncate(open.len() - ended);
                ages.note(&delta("n", second, [begun, begun, ended as u64, 0]));
                for limit_ms in [100, 500, 1_000, 1_900] {
                    let now_ns = start_ns + SECOND_NS;
                    let truth = open.iter().filter(|begun| now_ns - **begun > limit_ms * 1_000_000).count() as u64;
                    assert!(overdue(&ages, limit_ms) <= truth, "{limit_ms} ms in second {second}");
                }
            }
        }
    }

    #[test]
    fn waiting_for_a_connection_ends_with_the_sending() {
        let mut ages = Ages::of_limit(Some(SECOND_NS));
        ages.note(&delta("n", 0, [100, 10, 0, 0]));
        ages.note(&delta("n", 1, [0, 5, 0, 2]));
        assert_eq!(ages.overdue(&[(0, 0)], Quantity::Blocked, 500_000_000, None), 83);
        assert_eq!(ages.overdue(&[(0, 0)], Quantity::Service, 500_000_000, None), 8);
    }

    #[test]
    fn no_more_seconds_are_kept_than_the_longest_limit_needs() {
        let mut ages = Ages::of_limit(Some(5 * SECOND_NS));
        for second in 0..1_000 {
            ages.note(&delta("n", second, [1, 1, 0, 0]));
        }
        assert!(ages.of(&[(0, 0)]).all(|line| line.begun.len() <= 10));
        assert_eq!(overdue(&ages, 5_000), 994);
        let mut none = Ages::of_limit(None);
        none.note(&delta("n", 0, [1, 1, 0, 0]));
        assert!(none.lines.is_empty());
    }
}
