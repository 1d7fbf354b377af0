//! Observations known only from below: requests still unanswered when the run stopped.
//!
//! Leaving them out would make a slow system look fast. Here they count: at the time they had waited so far where a
//! lower bound is asked for, as infinitely long where an upper one is.

use serde::{Deserialize, Serialize};

use crate::Totals;
use crate::buckets::{BUCKETS, bucket_of, highest_ns, lowest_ns};
use crate::encoding::DecodeError;
use crate::interval::quantile_bounds;
use crate::quantile::{bucket_at_rank, merged, rank_of};

/// A quantity of a step: what ended, and what had not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Values of what ended.
    pub completed: Totals,
    /// Waiting time so far of what had not.
    pub censored: Totals,
}

/// A quantile with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantileEstimate {
    /// The estimate, in nanoseconds.
    pub value_ns: u64,
    /// The estimate is a lower bound, because a censored observation had waited no longer: print it with ≥.
    pub at_least: bool,
    /// One-sided lower bound, in nanoseconds; `None` when there are too few observations for one.
    pub lower_ns: Option<u64>,
    /// One-sided upper bound, in nanoseconds; `None` when there are too few observations for one, or too many censored.
    pub upper_ns: Option<u64>,
}

/// The smallest value that counts as longer than `limit_ns` whatever the resolution of the histogram hides: what is
/// recorded for a request of which no more is known than that it has exceeded the limit.
pub fn exceeding_ns(limit_ns: u64) -> u64 {
    bucket_of(limit_ns).map_or(limit_ns.saturating_add(1), |bucket| lowest_ns(bucket + 1))
}

impl Observed {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of observations that all ended.
    pub fn complete(completed: Totals) -> Self {
        Self { completed, censored: Totals::new() }
    }

    /// How many observations there are, of both kinds.
    pub const fn count(&self) -> u64 {
        self.completed.count().saturating_add(self.censored.count())
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Adds others. On an error the completed ones may have been added and the censored ones not.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        self.completed.merge(&other.completed)?;
        self.censored.merge(&other.censored)
    }

    /// The largest value that is known to have been reached, in nanoseconds.
    pub fn max_ns(&self) -> Option<u64> {
        self.completed.max_ns().max(self.censored.max_ns())
    }

    /// The value of quantile `q` in (0, 1) and its bounds, one-sided each at `confidence`. `None` without observations,
    /// or when `q` is not in 0..=1.
    ///
    /// The lower bound is the smallest value of its bucket, the upper one the largest, so that the resolution of the
    /// histogram cannot prove anything.
    pub fn quantile(&self, q: f64, confidence: f64) -> Option<QuantileEstimate> {
        let max_ns = self.max_ns()?;
        let count = self.count();
        let rank = rank_of(q, count)?;
        let bounds = quantile_bounds(count, q, confidence);
        let pooled = |rank| bucket_at_rank(merged(self.completed.buckets(), self.censored.buckets()), rank);
        let bucket = pooled(rank);
        let shortest_wait = self.censored.min_ns().map(|wait_ns| bucket_of(wait_ns).unwrap_or(BUCKETS));
        let min_ns = self.completed.summary().min_ns.min(self.censored.summary().min_ns);
        Some(QuantileEstimate {
            value_ns: highest_ns(bucket).min(max_ns),
            at_least: shortest_wait.is_some_and(|wait| wait <= bucket),
            lower_ns: bounds.lower_rank.map(|rank| lowest_ns(pooled(rank)).max(min_ns)),
            upper_ns: bounds.upper_rank.and_then(|rank| self.completed.value_at_rank(rank)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    const MS: u64 = 1_000_000;

    fn totals(values: impl IntoIterator<Item = u64>) -> Totals {
        let mut histogram = Histogram::new();
        for value in values {
            histogram.record_ns(value);
        }
        Totals::from(&histogram)
    }

    #[test]
    fn without_censoring_the_estimate_is_the_quantile_between_its_bounds() {
        let observed = Observed::complete(totals((1..=1_000).map(|k| k * MS)));
        let estimate = observed.quantile(0.5, 0.95).unwrap();
        assert_eq!(Some(estimate.value_ns), observed.completed.quantile_ns(0.5));
        assert!(!estimate.at_least);
        let (lower, upper) = (estimate.lower_ns.unwrap(), estimate.upper_ns.unwrap());
        assert!((470 * MS..480 * MS).contains(&lower) && (520 * MS..530 * MS).contains(&upper), "{lower} {upper}");
        assert_eq!(Observed::new().quantile(0.5, 0.95), None);
    }

    #[test]
    fn what_waited_no_longer_than_the_quantile_makes_it_a_lower_bound() {
        let completed = totals((1..=990).map(|k| k * MS));
        let short = Observed { completed: completed.clone(), censored: totals([5 * MS; 10]) };
        let long = Observed { completed, censored: totals([1_800 * MS; 10]) };
        assert!(short.quantile(0.5, 0.95).unwrap().at_least);
        assert!(!short.quantile(0.004, 0.95).unwrap().at_least);
        assert!(!long.quantile(0.5, 0.95).unwrap().at_least);
        assert!(long.quantile(0.995, 0.95).unwrap().at_least);
        assert_eq!(long.quantile(0.995, 0.95).unwrap().value_ns, 1_800 * MS);
    }

    #[test]
    fn censored_observations_count_as_infinite_in_upper_bounds() {
        let few = Observed { completed: totals([10 * MS; 1_000]), censored: totals([MS; 2]) };
        assert_eq!(few.quantile(0.99, 0.95).unwrap().upper_ns, Some(10 * MS));
        let many = Observed { completed: totals([10 * MS; 1_000]), censored: totals([MS; 20]) };
        let estimate = many.quantile(0.99, 0.95).unwrap();
        assert_eq!(estimate.upper_ns, None);
        assert_eq!(estimate.value_ns, 10 * MS);
        assert!(estimate.at_least && estimate.lower_ns.is_some());
    }

    #[test]
    fn what_has_exceeded_a_limit_is_beyond_it_whatever_the_resolution() {
        for limit_ns in [0, 999, 15 * MS, 500 * MS, 500 * MS + 1, 29_999 * MS, 3_600_000 * MS, 4_000_000 * MS] {
            let value_ns = exceeding_ns(limit_ns);
            let observed = Observed { completed: Totals::new(), censored: totals([value_ns; 10]) };
            let lower = observed.quantile(0.5, 0.95).unwrap().lower_ns.unwrap();
            assert!(lower > limit_ns && value_ns as f64 <= limit_ns as f64 * 1.001 + 1_000.0, "{limit_ns}: {value_ns}");
        }
    }

    #[test]
    fn values_beyond_the_range_are_at_least_the_range_and_at_most_the_largest() {
        let observed = Observed::complete(totals([7_200_000 * MS; 400]));
        let estimate = observed.quantile(0.99, 0.95).unwrap();
        assert_eq!((estimate.value_ns, estimate.upper_ns), (7_200_000 * MS, Some(7_200_000 * MS)));
        assert_eq!(estimate.lower_ns, Some(7_200_000 * MS));
    }

    #[test]
    fn bounds_hold_as_often_as_they_say_when_slow_requests_are_cut_off() {
        let mut random = fastrand::Rng::with_seed(21);
        let truth_ns = -libm::log(0.1) * 1e8;
        // Three standard errors of 95 % in 400 runs are 3.3 %.
        let runs = 400;
        let (mut below, mut above) = (0, 0);
        for _ in 0..runs {
            let (mut completed, mut censored) = (Histogram::new(), Histogram::new());
            for _ in 0..300 {
                let value = -libm::log(1.0 - random.f64()) * 1e8;
                // Cut off at 300 ms: 5 % never end.
                if value > 3e8 { censored.record_ns(300 * MS) } else { completed.record_ns(value as u64) }
            }
            let observed = Observed { completed: Totals::from(&completed), censored: Totals::from(&censored) };
            let estimate = observed.quantile(0.9, 0.95).unwrap();
            below += u32::from(estimate.lower_ns.is_some_and(|lower| lower as f64 <= truth_ns));
            above += u32::from(estimate.upper_ns.is_none_or(|upper| upper as f64 >= truth_ns));
        }
        assert!(below >= 366 && above >= 366, "{below} {above} of {runs}");
    }
}
