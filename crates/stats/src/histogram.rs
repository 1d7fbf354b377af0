//! The histogram of the hot path.

use std::collections::BTreeMap;

use crate::buckets::{Pages, Summary, bucket_of};
use crate::encoding::encode;
use crate::quantile;

/// Counts of values between 0 and one hour at 1 µs or 0.1 %, whichever is wider; longer values are counted apart.
///
/// A fresh one allocates nothing; a page of 4 KiB for each doubling that occurs. Not for merging: that is
/// [`Totals`](crate::Totals).
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    summary: Summary,
    pages: Pages<u32>,
    /// What did not fit in 32 bits. Nearly always empty.
    spilled: BTreeMap<u32, u64>,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one value, in nanoseconds.
    #[inline]
    pub fn record_ns(&mut self, value_ns: u64) {
        if self.summary.count == u64::MAX {
            return;
        }
        self.summary.add(value_ns, 1);
        let Some(bucket) = bucket_of(value_ns) else {
            self.summary.overflow += 1;
            return;
        };
        match self.pages.get_mut(bucket) {
            Some(counter) if *counter < u32::MAX => *counter += 1,
            _ => self.add_slowly(bucket, 1),
        }
    }

    /// Counts one value `times` times. The 2⁶⁴th observation and those after it are not counted.
    pub fn record_ns_many(&mut self, value_ns: u64, times: u64) {
        let times = times.min(u64::MAX - self.summary.count);
        if times == 0 {
            return;
        }
        self.summary.add(value_ns, times);
        match bucket_of(value_ns) {
            Some(bucket) => self.add_slowly(bucket, times),
            None => self.summary.overflow += times,
        }
    }

    #[cold]
    #[inline(never)]
    fn add_slowly(&mut self, bucket: u32, times: u64) {
        let Some(counter) = self.pages.get_or_allocate(bucket) else { return };
        let sum = u128::from(*counter) + u128::from(times);
        match u32::try_from(sum) {
            Ok(sum) => *counter = sum,
            Err(_) => {
                // The counter starts again, so that the next values take the fast path. The spilled sum is at most
                // the count of observations, which is kept within 64 bits.
                *counter = 0;
                *self.spilled.entry(bucket).or_default() += sum as u64;
            }
        }
    }

    /// Forgets everything but the memory.
    pub fn reset(&mut self) {
        if !self.is_empty() {
            self.summary = Summary::EMPTY;
            self.pages.clear();
            self.spilled.clear();
        }
    }

    /// Whether nothing was recorded.
    pub const fn is_empty(&self) -> bool {
        self.summary.count == 0
    }

    /// How many values were recorded.
    pub const fn count(&self) -> u64 {
        self.summary.count
    }

    /// What is known exactly.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Non-empty buckets and their counts, rising; values beyond the range are not among them.
    pub fn buckets(&self) -> Box<dyn Iterator<Item = (u32, u64)> + '_> {
        if self.spilled.is_empty() {
            return Box::new(self.pages.iter());
        }
        let spilled = self.spilled.iter().map(|(bucket, count)| (*bucket, *count));
        Box::new(quantile::merged(self.pages.iter(), spilled))
    }

    /// The value at quantile `q`, in nanoseconds, as [`Totals::quantile_ns`](crate::Totals::quantile_ns).
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        let rank = quantile::rank_of(q, self.summary.count)?;
        quantile::value_at_rank(&self.summary, self.buckets(), rank)
    }

    /// Bytes that [`Totals::merge_delta`](crate::Totals::merge_delta) adds up; none when nothing was recorded.
    pub fn encode_delta(&self) -> Vec<u8> {
        encode(&self.summary, self.buckets())
    }

    /// Memory of its pages, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.pages.allocated() * crate::buckets::PAGE_LENGTH * size_of::<u32>()
    }

    pub(crate) const fn pages(&self) -> &Pages<u32> {
        &self.pages
    }

    pub(crate) const fn spilled(&self) -> &BTreeMap<u32, u64> {
        &self.spilled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Totals;

    #[test]
    fn a_fresh_histogram_owns_no_memory_and_a_reset_one_keeps_its_pages() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.allocated_bytes(), 0);
        histogram.record_ns(5_000_000);
        assert_eq!(histogram.allocated_bytes(), 4_096);
        histogram.reset();
        assert!(histogram.is_empty() && histogram.buckets().next().is_none());
        assert_eq!(histogram.allocated_bytes(), 4_096);
        assert_eq!(*histogram.summary(), Summary::EMPTY);
    }

    #[test]
    fn counters_beyond_32_bits_stay_exact() {
        let mut histogram = Histogram::new();
        let mut totals = Totals::new();
        let full = u64::from(u32::MAX);
        histogram.record_ns_many(1_000_000, full);
        histogram.record_ns(1_000_000);
        histogram.record_ns(1_000_000);
        histogram.record_ns_many(1_000_000, 3 * full);
        histogram.record_ns_many(7_000_000, 5);
        assert_eq!(histogram.count(), 4 * full + 7);
        assert_eq!(histogram.buckets().map(|(_, count)| count).collect::<Vec<_>>(), [4 * full + 2, 5]);
        totals.merge_delta(&histogram.encode_delta()).unwrap();
        totals.add(&histogram).unwrap();
        assert_eq!(totals.buckets().map(|(_, count)| count).collect::<Vec<_>>(), [8 * full + 4, 10]);
        assert_eq!(totals.summary().sum_ns, u128::from(8 * full + 4) * 1_000_000 + 70_000_000);
    }

    #[test]
    fn the_extremes_are_counted_and_do_not_panic() {
        let mut histogram = Histogram::new();
        histogram.record_ns(0);
        histogram.record_ns(u64::MAX);
        histogram.record_ns_many(u64::MAX, u64::MAX);
        histogram.record_ns_many(5, 0);
        histogram.record_ns(5);
        assert_eq!(histogram.count(), u64::MAX);
        assert_eq!(histogram.summary().overflow, u64::MAX - 1);
        assert_eq!(histogram.quantile_ns(1.0), Some(u64::MAX));
        assert_eq!(histogram.quantile_ns(0.0), Some(999));
    }
}
