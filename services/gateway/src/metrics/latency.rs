//! Latencies added up: from the sparse histograms of merged seconds to the buckets of Prometheus. Pure.

use std::collections::BTreeMap;

use nuncius_metrics::{Distribution, Exemplar, Native};
use nuncius_schemas::second::Distribution as Told;
use nuncius_stats::Totals;
use nuncius_stats::buckets::{bucket_of, highest_ns, lowest_ns};

/// Upper bounds of the classic buckets, in seconds.
pub(crate) const BOUNDS_SECONDS: [f64; 24] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5,
    0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];
/// A doubling has 2 to this power of native buckets: each is 2.2 % wide.
const SCHEMA: i32 = 5;
/// What is not above this is in no native bucket.
const ZERO_THRESHOLD_SECONDS: f64 = 1e-6;
/// Most native buckets that are told.
const NATIVE_BUCKETS_MAX: usize = 160;

/// What one message says of a latency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Buckets of `nuncius-stats` that are not empty, rising.
    buckets: Vec<(u32, u64)>,
    /// Beyond the range of these.
    overflow: u64,
    sum_ns: u128,
}

/// Reads a distribution. One without its histogram, or with one that cannot be read, has each of its observations at
/// the next quantile that was told: the count is exact, and p50, p95 and p99 are as they were.
pub(crate) fn observed(told: &Told) -> Observed {
    if told.count == 0 {
        return Observed::default();
    }
    match Totals::decode(&told.histogram) {
        Ok(totals) if totals.count() == told.count => Observed {
            buckets: totals.buckets().collect(),
            overflow: totals.summary().overflow,
            sum_ns: totals.summary().sum_ns,
        },
        Ok(_) | Err(_) => at_quantiles(told),
    }
}

fn at_quantiles(told: &Told) -> Observed {
    let mut at = Observed::default();
    let (mut through, mut sums) = (0u64, BTreeMap::new());
    let longest_ns = told.max_ns.unwrap_or_default();
    for (share, value_ns) in [(0.5, told.p50_ns), (0.95, told.p95_ns), (0.99, told.p99_ns), (1.0, told.max_ns)] {
        let rank = ((share * told.count as f64).ceil() as u64).min(told.count);
        let here = rank.saturating_sub(through);
        through = through.max(rank);
        let value_ns = value_ns.unwrap_or(longest_ns);
        at.sum_ns += u128::from(value_ns) * u128::from(here);
        match bucket_of(value_ns) {
            Some(bucket) => *sums.entry(bucket).or_insert(0) += here,
            None => at.overflow += here,
        }
    }
    at.buckets = sums.into_iter().filter(|(_, count)| *count > 0).collect();
    at
}

/// One latency of one step, from the start of the run on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latency {
    classic: [u64; BOUNDS_SECONDS.len() + 1],
    fine: BTreeMap<i32, u64>,
    zero: u64,
    sum_ns: u128,
    /// The latest of each classic bucket.
    exemplars: BTreeMap<usize, Exemplar>,
}

impl Latency {
    /// Adds what is told now beyond what was told before. Nothing is ever taken away: where it is less than before, it
    /// stays as it was.
    pub(crate) fn add(&mut self, now: &Observed, before: &Observed) {
        let mut known = before.buckets.iter().copied().peekable();
        for (bucket, count) in now.buckets.iter().copied() {
            while known.next_if(|(earlier, _)| *earlier < bucket).is_some() {}
            let earlier = known.next_if(|(same, _)| *same == bucket).map_or(0, |(_, count)| count);
            self.count((lowest_ns(bucket), highest_ns(bucket)), count.saturating_sub(earlier));
        }
        // Longer than the longest bucket.
        self.count((u64::MAX / 2, u64::MAX), now.overflow.saturating_sub(before.overflow));
        self.sum_ns = self.sum_ns.saturating_add(now.sum_ns.saturating_sub(before.sum_ns));
    }

    fn count(&mut self, (lowest_ns, highest_ns): (u64, u64), times: u64) {
        if times == 0 {
            return;
        }
        // All of the bucket has to be within a bound to count as within it: never shorter than it was.
        let at = BOUNDS_SECONDS.partition_point(|bound| bound * 1e9 < highest_ns as f64);
        if let Some(count) = self.classic.get_mut(at) {
            *count = count.saturating_add(times);
        }
        let middle_seconds = (lowest_ns as f64 + highest_ns as f64) / 2e9;
        if middle_seconds <= ZERO_THRESHOLD_SECONDS {
            self.zero = self.zero.saturating_add(times);
        } else {
            let index = (middle_seconds.log2() * f64::from(SCHEMA).exp2()).ceil() as i32;
            let count = self.fine.entry(index).or_default();
            *count = count.saturating_add(times);
        }
    }

    /// Remembers a single observation with its trace.
    pub(crate) fn remember(&mut self, trace_id: &str, value_ns: u64, unix_ns: u64) {
        let at = BOUNDS_SECONDS.partition_point(|bound| bound * 1e9 < value_ns as f64);
        let exemplar = Exemplar { trace_id: trace_id.to_owned(), value: value_ns as f64 / 1e9, unix_ns };
        self.exemplars.insert(at, exemplar);
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> Distribution {
        let native = Native {
            schema: SCHEMA,
            zero_threshold: ZERO_THRESHOLD_SECONDS,
            zero_count: self.zero,
            buckets: self.fine.iter().map(|(index, count)| (*index, *count)).collect(),
        };
        Distribution {
            bounds: (&BOUNDS_SECONDS[..]).into(),
            counts: self.classic.to_vec(),
            sum: self.sum_ns as f64 / 1e9,
            native: Some(native.within(NATIVE_BUCKETS_MAX)),
            exemplars: self.exemplars.values().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_stats::Histogram;
    use nuncius_stats::second::distribution;
    use proptest::prelude::*;

    use super::*;

    fn told(values_ns: &[u64]) -> Told {
        let mut histogram = Histogram::new();
        values_ns.iter().for_each(|value_ns| histogram.record_ns(*value_ns));
        distribution(&Totals::from(&histogram))
    }

    fn added(values_ns: &[u64]) -> Latency {
        let mut latency = Latency::default();
        latency.add(&observed(&told(values_ns)), &Observed::default());
        latency
    }

    fn native_total(shown: &Distribution) -> u64 {
        let native = shown.native.as_ref().unwrap();
        native.zero_count + native.buckets.iter().map(|(_, count)| count).sum::<u64>()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whether a second is told at once or again with more in it: the same is shown, and both histograms have every
        /// observation once, within a bucket of where it was.
        #[test]
        fn revisions_add_what_is_new_and_every_observation_is_counted_once(
            first in prop::collection::vec(0u64..120_000_000_000, 0..50),
            more in prop::collection::vec(0u64..120_000_000_000, 0..50),
        ) {
            let all = [first.clone(), more].concat();
            let mut latency = added(&first);
            latency.add(&observed(&told(&all)), &observed(&told(&first)));
            let (shown, at_once) = (latency.shown(), added(&all).shown());
            prop_assert_eq!(&shown, &at_once);
            prop_assert_eq!((shown.count(), native_total(&shown)), (all.len() as u64, all.len() as u64));
            prop_assert!(shown.native.as_ref().unwrap().buckets.len() <= NATIVE_BUCKETS_MAX);
            let sum: u64 = all.iter().sum();
            prop_assert!((shown.sum - sum as f64 / 1e9).abs() < 1e-6 * shown.sum.max(1.0));
            for (bound, within) in shown.cumulative() {
                let up_to = |far: &dyn Fn(f64) -> f64| {
                    all.iter().filter(|value_ns| far(**value_ns as f64) / 1e9 <= bound).count() as u64
                };
                // What is within 0.1 % below a bound may count as beyond it.
                let (surely, exact) = (up_to(&|value_ns| (value_ns + 1e3) * 1.001), up_to(&|value_ns| value_ns));
                prop_assert!((surely..=exact).contains(&within), "{} of {}..={} in {}", within, surely, exact, bound);
            }
        }

        #[test]
        fn what_is_told_again_with_less_takes_nothing_away(
            first in prop::collection::vec(0u64..1_000_000_000, 1..50),
            other in prop::collection::vec(0u64..1_000_000_000, 0..20),
        ) {
            let mut latency = added(&first);
            let before = latency.shown();
            latency.add(&observed(&told(&other)), &observed(&told(&first)));
            for (after, before) in latency.shown().counts.iter().zip(before.counts) {
                prop_assert!(*after >= before);
            }
        }
    }

    #[test]
    fn without_its_histogram_a_distribution_keeps_its_count_and_its_quantiles() {
        let values: Vec<u64> = (1..=1_000).map(|number| number * 1_000_000).collect();
        let whole = told(&values);
        let bare = Told { histogram: Vec::new(), ..whole.clone() };
        let mut latency = Latency::default();
        latency.add(&observed(&bare), &Observed::default());
        let shown = latency.shown();
        assert_eq!((shown.count(), native_total(&shown)), (1_000, 1_000));
        let within = |bound: f64| shown.cumulative().find(|(upper, _)| *upper == bound).unwrap().1;
        // p50 is 500 ms, p95 950 ms: both are within the bucket in which they are told.
        assert_eq!((within(0.3), within(0.75), within(1.0), within(2.0)), (0, 500, 990, 1_000));
    }

    #[test]
    fn the_native_resolution_only_ever_falls() {
        let mut latency = Latency::default();
        let mut schema = SCHEMA;
        for doubling in 0..22 {
            let values: Vec<u64> = (0..32)
                .map(|part| ((100_000u64 << doubling) as f64 * f64::from(part).mul_add(1.0 / 32.0, 1.0)) as u64)
                .collect();
            latency.add(&observed(&told(&values)), &Observed::default());
            let native = latency.shown().native.unwrap();
            assert!(native.schema <= schema && native.buckets.len() <= NATIVE_BUCKETS_MAX);
            schema = native.schema;
        }
        assert!(schema < SCHEMA);
    }
}
