//! Distributions, as families have them: counts in buckets that are the same for all, beside them those of a native
//! histogram of Prometheus, and single observations with their traces.

use std::borrow::Cow;

/// An observation that can be looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// What was observed.
    pub value: f64,
    /// When, nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

/// Counts in the buckets of a native histogram: bucket `i` holds what is over 2^((i − 1) / 2^schema) and not over
/// 2^(i / 2^schema). There are no negative observations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Native {
    /// How many buckets a doubling has: 2 to this power.
    pub schema: i32,
    /// Observations up to this one are in no bucket.
    pub zero_threshold: f64,
    /// How many these are.
    pub zero_count: u64,
    /// Buckets that are not empty and their counts, rising.
    pub buckets: Vec<(i32, u64)>,
}

impl Native {
    /// With fewer and wider buckets, until at most `buckets_max` are not empty. Wider ones are sums of narrower ones:
    /// nothing is lost but resolution.
    #[must_use]
    pub fn within(mut self, buckets_max: usize) -> Self {
        /// The coarsest that Prometheus knows.
        const SCHEMA_MIN: i32 = -4;
        while self.buckets.len() > buckets_max && self.schema > SCHEMA_MIN {
            self.schema -= 1;
            let mut wider: Vec<(i32, u64)> = Vec::with_capacity(self.buckets.len());
            for (index, count) in self.buckets {
                // The upper bound of an even one stays; an odd one's is that of the next.
                let index = (index + 1).div_euclid(2);
                match wider.last_mut() {
                    Some((last, sum)) if *last == index => *sum += count,
                    Some(_) | None => wider.push((index, count)),
                }
            }
            self.buckets = wider;
        }
        self
    }
}

/// A distribution of observations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Upper bounds of the buckets, rising; one more bucket has none.
    pub bounds: Cow<'static, [f64]>,
    /// How many observations are in each bucket and in none before it: one more than there are bounds.
    pub counts: Vec<u64>,
    /// Sum of all observations.
    pub sum: f64,
    /// The same observations in finer buckets.
    pub native: Option<Native>,
    /// Some of the observations, at most one a bucket.
    pub exemplars: Vec<Exemplar>,
}

impl Distribution {
    /// None yet.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { counts: vec![0; bounds.len() + 1], bounds: Cow::Borrowed(bounds), ..Self::default() }
    }

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The bucket of an observation.
    pub fn bucket_of(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    /// Adds another with the same bounds; of another with others only the sum and the count, to the last bucket.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        if self.bounds == other.bounds {
            for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
                *sum = sum.saturating_add(*count);
            }
        } else if let Some(last) = self.counts.last_mut() {
            *last = last.saturating_add(other.count());
        }
        self.sum += other.sum;
        // Buckets of two resolutions would first have to be made alike: the classic ones tell enough.
        self.native = None;
    }

    /// Upper bounds with how many observations are not over them, the one without bound last.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut below = 0u64;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(&self.counts).map(move |(bound, count)| {
            below = below.saturating_add(*count);
            (bound, below)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index_of(value: f64, schema: i32) -> i32 {
        (value.log2() * f64::from(schema).exp2()).ceil() as i32
    }

    proptest! {
        /// Whoever counts with the wider buckets from the start has the same.
        #[test]
        fn narrower_buckets_add_up_to_the_wider_ones(values in prop::collection::vec(1e-6f64..1e3, 0..200)) {
            let of = |schema: i32| {
                let mut buckets = std::collections::BTreeMap::new();
                for value in &values {
                    *buckets.entry(index_of(*value, schema)).or_insert(0u64) += 1;
                }
                Native { schema, buckets: buckets.into_iter().collect(), ..Native::default() }
            };
            let narrow = of(5).within(20);
            prop_assert!(narrow.buckets.len() <= 20);
            prop_assert_eq!(narrow.clone(), of(narrow.schema));
        }
    }

    #[test]
    fn an_observation_at_a_bound_is_not_over_it() {
        let distribution = Distribution::new(&[0.1, 1.0]);
        assert_eq!([0.05, 0.1, 0.2, 1.0, 2.0].map(|value| distribution.bucket_of(value)), [0, 0, 1, 1, 2]);
    }
}
