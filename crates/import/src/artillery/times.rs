//! Times that add up without loss, and what Artillery tells of them.

use std::collections::BTreeMap;

use nuncius_schemas::report::MeterSummary;
use nuncius_schemas::second::Distribution;
use nuncius_stats::Totals;

use super::metrics::Summary;

/// Nanoseconds of a millisecond.
const MILLISECOND_NS: f64 = 1e6;

/// How often which time was taken, to the resolution of the histograms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    count: u64,
    sum_ns: f64,
    min_ns: u64,
    /// Largest of a bucket, in nanoseconds, and how many there are in it.
    values: BTreeMap<u64, u64>,
}

impl Times {
    /// Of a distribution, without its `longest` so many: those that waited their whole timeout stand among the others.
    /// Those that the distribution does not tell one by one, second.
    pub(crate) fn of(distribution: &Distribution, longest: u64) -> (Self, u64) {
        let Ok(totals) = Totals::decode(&distribution.histogram) else { return (Self::default(), distribution.count) };
        if totals.is_empty() {
            return (Self::default(), distribution.count);
        }
        let mut values: BTreeMap<u64, u64> = BTreeMap::new();
        for (value_ns, count) in totals.values() {
            *values.entry(value_ns).or_default() += count;
        }
        let mut sum_ns = totals.mean_ns().unwrap_or_default() * totals.count() as f64;
        let mut left = longest.min(totals.count());
        let count = totals.count() - left;
        while left > 0
            && let Some(mut last) = values.last_entry()
        {
            let taken = left.min(*last.get());
            sum_ns -= *last.key() as f64 * taken as f64;
            left -= taken;
            *last.get_mut() -= taken;
            if *last.get() == 0 {
                last.remove();
            }
        }
        let min_ns = totals.min_ns().unwrap_or_default();
        (Self { count, sum_ns: sum_ns.max(0.0), min_ns, values }, 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min_ns = if self.count == 0 { other.min_ns } else { self.min_ns.min(other.min_ns) };
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        for (value_ns, count) in &other.values {
            *self.values.entry(*value_ns).or_default() += count;
        }
    }

    /// How many took at most so long, to the resolution of the histograms.
    pub(crate) fn at_most(&self, limit_ns: u64) -> u64 {
        // A bucket is at most 0.1 % wide, and known by its largest value.
        let end_ns = limit_ns.saturating_add(limit_ns / 1_000);
        self.values.range(..=end_ns).map(|(_, count)| count).sum()
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// In milliseconds, to one decimal; `None` without any.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let max_ns = *self.values.last_key_value()?.0;
        let quantile = |q: f64| {
            let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
            let mut before = 0;
            let found = self.values.iter().find(|(_, count)| {
                before += **count;
                before >= rank
            });
            milliseconds(found.map_or(max_ns, |(value_ns, _)| *value_ns) as f64)
        };
        let mean_ns = (self.sum_ns / self.count as f64).clamp(self.min_ns as f64, max_ns as f64);
        Some(Summary {
            min: milliseconds(self.min_ns as f64),
            max: milliseconds(max_ns as f64),
            count: self.count,
            mean: milliseconds(mean_ns),
            p50: quantile(0.5),
            median: quantile(0.5),
            p75: quantile(0.75),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
        })
    }
}

fn milliseconds(nanoseconds: f64) -> f64 {
    to_tenths(nanoseconds / MILLISECOND_NS)
}

fn to_tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// What a processor measured, as it is: quantiles that are not told are those of the next one that is.
pub(crate) fn of_meter(values: &MeterSummary) -> Summary {
    let quantile = |q: f64| {
        let told = values.quantiles.iter().filter(|(at, _)| *at >= q).map(|(_, value)| *value);
        to_tenths(told.reduce(f64::min).unwrap_or(values.max))
    };
    Summary {
        min: to_tenths(values.min),
        max: to_tenths(values.max),
        count: values.count,
        mean: to_tenths(values.mean),
        p50: quantile(0.5),
        median: quantile(0.5),
        p75: quantile(0.75),
        p90: quantile(0.9),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p999: quantile(0.999),
    }
}

#[cfg(test)]
mod tests {
    use nuncius_stats::{Histogram, second};

    use super::*;

    fn distribution(milliseconds: &[u64]) -> Distribution {
        let mut histogram = Histogram::new();
        milliseconds.iter().for_each(|ms| histogram.record_ns(ms * 1_000_000));
        second::distribution(&Totals::from(&histogram))
    }

    #[test]
    fn figures_are_those_of_all_values_in_milliseconds() {
        let values: Vec<u64> = (1..=1_000).collect();
        let (mut times, left_out) = Times::of(&distribution(&values[..500]), 0);
        times.add(&Times::of(&distribution(&values[500..]), 0).0);
        let summary = times.summary().unwrap();
        assert_eq!((summary.count, left_out, summary.min, summary.mean), (1_000, 0, 1.0, 500.5));
        for (figure, expected) in [
            (summary.median, 500.0),
            (summary.p75, 750.0),
            (summary.p95, 950.0),
            (summary.p99, 990.0),
            (summary.p999, 999.0),
            (summary.max, 1_000.0),
        ] {
            assert!((figure - expected).abs() <= expected * 0.001 + 0.1, "{figure} is not {expected}");
        }
        assert_eq!((times.at_most(100_000_000), times.at_most(0), times.at_most(u64::MAX)), (100, 0, 1_000));
    }

    #[test]
    fn those_that_waited_their_whole_timeout_are_taken_out() {
        let (times, _) = Times::of(&distribution(&[10, 20, 30, 10_000, 10_000]), 2);
        let summary = times.summary().unwrap();
        assert_eq!((summary.count, summary.min, summary.median), (3, 10.0, 20.0));
        assert!((summary.max - 30.0).abs() < 0.1 && (summary.mean - 20.0).abs() < 5.0, "{summary:?}");
        assert!(Times::of(&distribution(&[10_000]), 1).0.summary().is_none());
    }

    #[test]
    fn a_distribution_without_its_histogram_is_told_as_left_out() {
        let without = Distribution { count: 7, p50_ns: Some(1), ..Distribution::default() };
        let (times, left_out) = Times::of(&without, 0);
        assert_eq!((times.count(), left_out), (0, 7));
    }

    #[test]
    fn quantiles_of_meters_that_are_not_told_are_bounded_by_the_next() {
        let values = MeterSummary {
            count: 9,
            overflow: 0,
            min: 1.0,
            mean: 4.26,
            max: 9.0,
            quantiles: vec![(0.5, 4.0), (0.9, 8.0)],
        };
        let summary = of_meter(&values);
        assert_eq!((summary.median, summary.p75, summary.p90, summary.p99, summary.mean), (4.0, 8.0, 8.0, 9.0, 4.3));
    }
}
