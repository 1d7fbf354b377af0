//! Counters of merged histograms: in short chunks that exist from their first use on. Of the buckets of a distribution
//! some hundreds lie near each other and all others are empty, and there are many distributions: of each step, each
//! second, each node.

use crate::buckets::{PAGE_LENGTH, Pages};

/// Counters of a chunk: whole chunks make a page of a [`Histogram`](crate::Histogram).
const LENGTH: usize = 32;

const _: () = assert!(PAGE_LENGTH.is_multiple_of(LENGTH));

type Counters = [u64; LENGTH];

/// Counters by bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunks {
    /// Which chunks there are, rising.
    numbers: Vec<u32>,
    /// Their counters.
    counters: Vec<Counters>,
}

impl Chunks {
    /// Buckets that are not empty and their counts, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.numbers.iter().zip(&self.counters).flat_map(|(number, counters)| {
            let first = number * LENGTH as u32;
            (first..).zip(counters).filter_map(|(bucket, count)| (*count > 0).then_some((bucket, *count)))
        })
    }

    /// Adds counts of buckets; the caller has made sure that no sum overflows. Quick for rising buckets.
    pub(crate) fn add_buckets(&mut self, buckets: impl Iterator<Item = (u32, u64)>) {
        let mut at = 0;
        for (bucket, count) in buckets {
            let (number, within) = (bucket / LENGTH as u32, bucket as usize % LENGTH);
            if self.numbers.get(at) != Some(&number) {
                at = self.place(number, at);
            }
            if let Some(counter) = self.counters.get_mut(at).and_then(|counters| counters.get_mut(within)) {
                *counter += count;
            }
        }
    }

    /// Where the chunk is, which is made when it is not there; `hint` is that of one before.
    fn place(&mut self, number: u32, hint: usize) -> usize {
        // Most often it is the next one, or a new one at the end.
        if self.numbers.get(hint + 1) == Some(&number) {
            return hint + 1;
        }
        if self.numbers.last().is_none_or(|last| *last < number) {
            self.numbers.push(number);
            self.counters.push([0; LENGTH]);
            return self.numbers.len() - 1;
        }
        match self.numbers.binary_search(&number) {
            Ok(at) => at,
            Err(at) => {
                self.numbers.insert(at, number);
                self.counters.insert(at, [0; LENGTH]);
                at
            }
        }
    }

    /// Adds all of another's counters; the caller has made sure that no sum overflows.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.numbers.is_empty() {
            self.clone_from(other);
            return;
        }
        self.add_chunks(other.numbers.iter().copied().zip(&other.counters));
    }

    /// Adds the counters of a histogram.
    pub(crate) fn add_pages(&mut self, pages: &Pages<u32>) {
        for (first, page) in pages.existing() {
            let (chunks, _) = page.as_chunks::<LENGTH>();
            for (number, chunk) in (first / LENGTH as u32..).zip(chunks) {
                if chunk.iter().any(|count| *count > 0) {
                    self.add_chunks(std::iter::once((number, &chunk.map(u64::from))));
                }
            }
        }
    }

    /// Adds chunks that rise.
    fn add_chunks<'a>(&mut self, chunks: impl Iterator<Item = (u32, &'a Counters)>) {
        let mut at = 0;
        for (number, chunk) in chunks {
            if self.numbers.get(at) != Some(&number) {
                at = self.place(number, at);
            }
            let Some(sums) = self.counters.get_mut(at) else { continue };
            for (sum, count) in sums.iter_mut().zip(chunk) {
                *sum += count;
            }
        }
    }

    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.counters.clear();
    }

    /// Memory of the counters, in bytes.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.counters.capacity() * size_of::<Counters>() + self.numbers.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Histogram;
    use crate::buckets::{BUCKETS, lowest_ns};

    fn any_counts() -> impl Strategy<Value = Vec<(u32, u64)>> {
        // Near each other, and anywhere.
        let near = prop::collection::vec((900u32..1_100, 1u64..9), 0..60);
        let anywhere = prop::collection::vec((0..BUCKETS, 1u64..9), 0..20);
        (near, anywhere).prop_map(|(near, anywhere)| [near, anywhere].concat())
    }

    fn sum<'a>(all: impl Iterator<Item = &'a (u32, u64)>) -> Vec<(u32, u64)> {
        let mut sums = BTreeMap::new();
        for (bucket, count) in all {
            *sums.entry(*bucket).or_default() += count;
        }
        sums.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn counts_are_added_bucket_by_bucket_whatever_their_order(all in prop::collection::vec(any_counts(), 0..6)) {
            let mut by_buckets = Chunks::default();
            let mut by_chunks = Chunks::default();
            let mut by_histograms = Chunks::default();
            for counts in &all {
                by_buckets.add_buckets(counts.iter().copied());
                let mut one = Chunks::default();
                one.add_buckets(counts.iter().copied());
                by_chunks.add(&one);
                let mut histogram = Histogram::new();
                counts.iter().for_each(|(bucket, count)| histogram.record_ns_many(lowest_ns(*bucket), *count));
                by_histograms.add_pages(histogram.pages());
            }
            let expected = sum(all.iter().flatten());
            prop_assert_eq!(by_buckets.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(by_chunks.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(by_histograms.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_is_near_each_other_takes_little_memory_and_nothing_takes_none() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.allocated_bytes(), 0);
        chunks.add_buckets([(20, 1), (21, 5)].into_iter());
        assert!(chunks.allocated_bytes() <= 4 * 32 * 8 + 16, "{}", chunks.allocated_bytes());
        chunks.clear();
        assert_eq!(chunks.iter().count(), 0);
    }
}
