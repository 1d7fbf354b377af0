//! A histogram in several pieces, for messages that cannot hold all of it: added up again they are the same.

use crate::buckets::{HIGHEST_US, RESOLUTION_NS, Summary, highest_ns, lowest_ns};
use crate::encoding::encode;
use crate::totals::Totals;

/// Most bytes of what stands before the buckets.
const HEAD_BYTES_MAX: usize = 72;
/// Most bytes of one bucket: how many empty ones precede it, and its count.
const PAIR_BYTES_MAX: usize = 3 + 10;

impl Totals {
    /// Encoded pieces of at most `bytes_max` bytes each, or of one bucket where that is less; none when there is
    /// nothing. Merged in any order they give these totals exactly: counts, sum, smallest and largest. A piece by
    /// itself is a histogram like any other, but its sum, smallest and largest say only in which buckets they are.
    pub fn encode_in_pieces(&self, bytes_max: usize) -> Vec<Vec<u8>> {
        let whole = self.encode();
        if whole.is_empty() {
            return Vec::new();
        }
        let buckets: Vec<(u32, u64)> = self.buckets().collect();
        let length = (bytes_max.saturating_sub(HEAD_BYTES_MAX) / PAIR_BYTES_MAX).max(1);
        if whole.len() <= bytes_max || buckets.len() <= 1 {
            return vec![whole];
        }
        let chunks: Vec<&[(u32, u64)]> = buckets.chunks(length).collect();
        let last = chunks.len().saturating_sub(1);
        let summaries: Vec<(Summary, u128)> =
            chunks.iter().enumerate().map(|(at, chunk)| self.piece(chunk, at == 0, at == last)).collect();
        let least: u128 = summaries.iter().map(|(summary, _)| summary.sum_ns).sum();
        // What the sum is above the least that the buckets allow; each piece takes what its own buckets allow.
        let mut rest = self.summary().sum_ns.saturating_sub(least);
        let mut pieces = Vec::with_capacity(chunks.len());
        for ((mut summary, most), chunk) in summaries.into_iter().zip(chunks) {
            let more = rest.min(most.saturating_sub(summary.sum_ns));
            rest -= more;
            summary.sum_ns += more;
            pieces.push(encode(&summary, chunk.iter().copied()));
        }
        pieces
    }

    /// What is said of a stretch of buckets, with the least sum they allow, and the greatest.
    fn piece(&self, chunk: &[(u32, u64)], is_first: bool, is_last: bool) -> (Summary, u128) {
        let all = self.summary();
        let edge = |at: Option<&(u32, u64)>| at.map_or(0, |(bucket, _)| *bucket);
        let min_ns = if is_first { all.min_ns } else { lowest_ns(edge(chunk.first())) };
        let max_ns = if is_last { all.max_ns } else { highest_ns(edge(chunk.last())) };
        let overflow = if is_last { all.overflow } else { 0 };
        let beyond_ns = (HIGHEST_US + 1) * RESOLUTION_NS;
        let mut count = overflow;
        let mut least = u128::from(overflow) * u128::from(beyond_ns);
        let mut most = u128::from(overflow) * u128::from(max_ns);
        for (bucket, times) in chunk {
            count += times;
            least += u128::from(*times) * u128::from(lowest_ns(*bucket).max(min_ns));
            most += u128::from(*times) * u128::from(highest_ns(*bucket).min(max_ns));
        }
        (Summary { count, overflow, sum_ns: least, min_ns, max_ns }, most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Histogram;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pieces_of_any_size_are_within_it_and_add_up_to_the_whole(
            values in prop::collection::vec((0u64..5_000_000_000_000, 1u64..1_000), 0..300),
            narrow in prop::collection::vec(1_000_000u64..1_400_000, 0..300),
            bytes_max in 0usize..2_000,
        ) {
            let mut histogram = Histogram::new();
            for (value_ns, times) in values {
                histogram.record_ns_many(value_ns, times);
            }
            for value_ns in narrow {
                histogram.record_ns(value_ns);
            }
            let mut whole = Totals::new();
            whole.add(&histogram).unwrap();
            let pieces = whole.encode_in_pieces(bytes_max);
            let mut again = Totals::new();
            for piece in pieces.iter().rev() {
                prop_assert!(piece.len() <= bytes_max.max(HEAD_BYTES_MAX + PAIR_BYTES_MAX), "{}", piece.len());
                again.merge_delta(piece).unwrap();
            }
            prop_assert_eq!(again, whole);
        }
    }
}
