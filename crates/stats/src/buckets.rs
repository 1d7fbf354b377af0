//! Where a value is counted: the layout of HdrHistogram (Tene, hdrhistogram.org) at a unit of 1 µs, three significant
//! digits, up to one hour.
//!
//! Values below 2048 µs have a bucket each; from there every doubling has 1024 buckets, so that a bucket is never
//! wider than 1 / 1024 of its values. The counters of one doubling lie together on one page.

/// Width of the narrowest bucket, in nanoseconds.
pub const RESOLUTION_NS: u64 = 1_000;

/// Longest value that has a bucket, in units of [`RESOLUTION_NS`]: one hour.
pub const HIGHEST_US: u64 = 3_600_000_000;

/// How many buckets there are.
pub const BUCKETS: u32 = index_of(HIGHEST_US) + 1;

/// Counters on a page.
pub(crate) const PAGE_LENGTH: usize = 1_024;

/// How many pages hold all buckets.
pub(crate) const PAGES: usize = (BUCKETS as usize).div_ceil(PAGE_LENGTH);

/// Bits of the sub-bucket number: 2048 sub-buckets.
const SUB_BITS: u32 = 11;

/// The bucket of a value in units of [`RESOLUTION_NS`], at most [`HIGHEST_US`].
#[inline]
pub(crate) const fn index_of(value_us: u64) -> u32 {
    let doubling = u64::BITS - SUB_BITS - (value_us | ((1 << SUB_BITS) - 1)).leading_zeros();
    (doubling << (SUB_BITS - 1)) + (value_us >> doubling) as u32
}

/// The bucket of a value in nanoseconds; `None` beyond the range.
#[inline]
pub fn bucket_of(value_ns: u64) -> Option<u32> {
    let value_us = value_ns / RESOLUTION_NS;
    (value_us <= HIGHEST_US).then(|| index_of(value_us))
}

/// Smallest value and width of a bucket, in units of [`RESOLUTION_NS`].
const fn span_us(bucket: u32) -> (u64, u64) {
    let doubling = (bucket >> (SUB_BITS - 1)).saturating_sub(1);
    (((bucket - (doubling << (SUB_BITS - 1))) as u64) << doubling, 1 << doubling)
}

/// Smallest value that is counted in a bucket, in nanoseconds; past the last bucket the end of the range.
pub const fn lowest_ns(bucket: u32) -> u64 {
    if bucket >= BUCKETS {
        return (HIGHEST_US + 1) * RESOLUTION_NS;
    }
    let (lowest_us, _) = span_us(bucket);
    lowest_us * RESOLUTION_NS
}

/// Largest value that is counted in a bucket, in nanoseconds; past the last bucket without limit.
pub const fn highest_ns(bucket: u32) -> u64 {
    if bucket >= BUCKETS {
        return u64::MAX;
    }
    let (lowest_us, width_us) = span_us(bucket);
    (lowest_us + width_us) * RESOLUTION_NS - 1
}

/// What is kept exactly beside the buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Observations, those beyond the range included.
    pub count: u64,
    /// Observations beyond the range.
    pub overflow: u64,
    /// Sum, in nanoseconds. Cannot overflow: both factors of the largest possible sum have 64 bits.
    pub sum_ns: u128,
    /// Smallest, in nanoseconds; `u64::MAX` when there is none.
    pub min_ns: u64,
    /// Largest, in nanoseconds; 0 when there is none.
    pub max_ns: u64,
}

impl Summary {
    pub(crate) const EMPTY: Self = Self { count: 0, overflow: 0, sum_ns: 0, min_ns: u64::MAX, max_ns: 0 };

    #[inline]
    pub(crate) fn add(&mut self, value_ns: u64, times: u64) {
        self.count += times;
        self.sum_ns += u128::from(value_ns) * u128::from(times);
        self.min_ns = self.min_ns.min(value_ns);
        self.max_ns = self.max_ns.max(value_ns);
    }

    /// Both together; `None` when there are more observations than 64 bits hold.
    pub(crate) fn merged(&self, other: &Self) -> Option<Self> {
        Some(Self {
            count: self.count.checked_add(other.count)?,
            overflow: self.overflow + other.overflow,
            sum_ns: self.sum_ns + other.sum_ns,
            min_ns: self.min_ns.min(other.min_ns),
            max_ns: self.max_ns.max(other.max_ns),
        })
    }

    /// Mean in nanoseconds, from the exact sum; `None` without observations.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64)
    }
}

impl Default for Summary {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Counters on pages that exist from their first use on.
#[derive(Debug, Clone)]
pub(crate) struct Pages<C> {
    pages: [Option<Box<[C; PAGE_LENGTH]>>; PAGES],
}

impl<C> Default for Pages<C> {
    fn default() -> Self {
        Self { pages: [const { None }; PAGES] }
    }
}

impl<C: Copy + Default + Into<u64>> Pages<C> {
    /// The counter of a bucket, when its page exists.
    #[inline]
    pub(crate) fn get_mut(&mut self, bucket: u32) -> Option<&mut C> {
        let page = self.pages.get_mut(bucket as usize / PAGE_LENGTH)?.as_mut()?;
        page.get_mut(bucket as usize % PAGE_LENGTH)
    }

    /// The counter of a bucket; `None` past the last page.
    #[inline]
    pub(crate) fn get_or_allocate(&mut self, bucket: u32) -> Option<&mut C> {
        let page = self.pages.get_mut(bucket as usize / PAGE_LENGTH)?;
        let page = page.get_or_insert_with(|| Box::new([C::default(); PAGE_LENGTH]));
        page.get_mut(bucket as usize % PAGE_LENGTH)
    }

    /// Buckets that are not empty and their counts, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.existing().flat_map(|(first, page)| {
            (first..).zip(page.iter()).filter_map(|(bucket, count)| {
                let count: u64 = (*count).into();
                (count > 0).then_some((bucket, count))
            })
        })
    }

    /// The pages that exist, with the bucket of their first counter.
    pub(crate) fn existing(&self) -> impl Iterator<Item = (u32, &[C; PAGE_LENGTH])> + '_ {
        (0u32..).step_by(PAGE_LENGTH).zip(&self.pages).filter_map(|(first, page)| Some((first, page.as_deref()?)))
    }

    /// Sets every counter to zero and keeps the pages.
    pub(crate) fn clear(&mut self) {
        for page in self.pages.iter_mut().flatten() {
            page.fill(C::default());
        }
    }

    /// How many pages exist.
    pub(crate) fn allocated(&self) -> usize {
        self.pages.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gap_and_are_narrow() {
        for bucket in 0..BUCKETS {
            let (lowest, highest) = (lowest_ns(bucket), highest_ns(bucket));
            assert_eq!(bucket_of(lowest), Some(bucket));
            assert_eq!(bucket_of(highest), if bucket + 1 == BUCKETS { None } else { Some(bucket) });
            assert_eq!(highest + 1, if bucket + 1 == BUCKETS { highest + 1 } else { lowest_ns(bucket + 1) });
            let width = highest - lowest + 1;
            assert!(width == RESOLUTION_NS || width as f64 / lowest as f64 <= 0.001);
        }
        assert_eq!(PAGES, 23);
        assert_eq!(lowest_ns(0), 0);
    }

    #[test]
    fn the_range_ends_after_an_hour() {
        assert_eq!(bucket_of(3_600_000_000_000), Some(BUCKETS - 1));
        assert_eq!(bucket_of(3_600_000_001_000), None);
        assert_eq!(bucket_of(u64::MAX), None);
        assert_eq!(highest_ns(BUCKETS), u64::MAX);
    }
}
