//! Ranks and quantiles over buckets, for every type that has them.

use std::iter::Peekable;

use crate::buckets::{BUCKETS, Summary, highest_ns};

/// The rank, from 1, of quantile `q` among `count` observations: the smallest that is at least `q · count`. `None`
/// without observations or when `q` is not in 0..=1.
pub(crate) fn rank_of(q: f64, count: u64) -> Option<u64> {
    if count == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let exact = q * count as f64;
    // 0.07 · 100 is 7.000000000000001: what rounding made is not another rank.
    let nearest = exact.round();
    let rank = if (exact - nearest).abs() <= exact * 4.0 * f64::EPSILON { nearest } else { exact.ceil() };
    Some((rank as u64).clamp(1, count))
}

/// The bucket that holds the observation of `rank`; [`BUCKETS`] when that is beyond the range.
pub(crate) fn bucket_at_rank(buckets: impl Iterator<Item = (u32, u64)>, rank: u64) -> u32 {
    let mut below = 0u64;
    for (bucket, count) in buckets {
        below = below.saturating_add(count);
        if below >= rank {
            return bucket;
        }
    }
    BUCKETS
}

/// The largest value that the observation of `rank` can have; never above the largest observed.
pub(crate) fn value_at_rank(summary: &Summary, buckets: impl Iterator<Item = (u32, u64)>, rank: u64) -> Option<u64> {
    if rank == 0 || rank > summary.count {
        return None;
    }
    Some(highest_ns(bucket_at_rank(buckets, rank)).min(summary.max_ns))
}

/// Two rising sequences of buckets as one, counts of the same bucket added.
pub(crate) fn merged<A, B>(left: A, right: B) -> Merged<A, B>
where
    A: Iterator<Item = (u32, u64)>,
    B: Iterator<Item = (u32, u64)>,
{
    Merged { left: left.peekable(), right: right.peekable() }
}

pub(crate) struct Merged<A: Iterator, B: Iterator> {
    left: Peekable<A>,
    right: Peekable<B>,
}

impl<A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = (u32, u64)>,
    B: Iterator<Item = (u32, u64)>,
{
    type Item = (u32, u64);

    fn next(&mut self) -> Option<(u32, u64)> {
        match (self.left.peek().copied(), self.right.peek().copied()) {
            (Some((left, count)), Some((right, more))) if left == right => {
                self.left.next();
                self.right.next();
                Some((left, count.saturating_add(more)))
            }
            (Some((left, _)), Some((right, _))) if left > right => self.right.next(),
            (None, _) => self.right.next(),
            _ => self.left.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_not_moved_by_rounding() {
        assert_eq!(rank_of(0.07, 100), Some(7));
        assert_eq!(rank_of(0.99, 100), Some(99));
        assert_eq!(rank_of(0.999, 1_000), Some(999));
        assert_eq!(rank_of(0.5, 3), Some(2));
        assert_eq!(rank_of(0.0, 3), Some(1));
        assert_eq!(rank_of(1.0, 3), Some(3));
        assert_eq!(rank_of(1.0, u64::MAX), Some(u64::MAX));
        assert_eq!(rank_of(f64::NAN, 3), None);
        assert_eq!(rank_of(0.5, 0), None);
    }
}
