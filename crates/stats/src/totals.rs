//! Merged histograms: 64-bit counters, quantiles, curves.

use serde::{Deserialize, Serialize, Serializer};

use crate::buckets::{Summary, bucket_of, highest_ns, lowest_ns};
use crate::encoding::{DecodeError, Encoded, encode};
use crate::histogram::Histogram;
use crate::quantile;
use crate::sparse::Chunks;

/// Counts of many histograms added up. The same additions in any order give the same totals.
///
/// As a value of serde it is the bytes of [`Self::encode`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "serde_bytes::ByteBuf")]
pub struct Totals {
    summary: Summary,
    chunks: Chunks,
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encode())
    }
}

impl TryFrom<serde_bytes::ByteBuf> for Totals {
    type Error = DecodeError;

    fn try_from(bytes: serde_bytes::ByteBuf) -> Result<Self, DecodeError> {
        Self::decode(&bytes)
    }
}

impl Totals {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From bytes that [`Histogram::encode_delta`] or [`Self::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut totals = Self::new();
        totals.merge_delta(bytes)?;
        Ok(totals)
    }

    /// Bytes that load again; none when there is nothing.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.summary, self.buckets())
    }

    /// Adds an encoded histogram. Malformed bytes are refused and change nothing.
    pub fn merge_delta(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let Some(encoded) = Encoded::parse(bytes)? else { return Ok(()) };
        self.summary = self.summary.merged(encoded.summary()).ok_or(DecodeError::TooMany)?;
        // Cannot overflow: no counter is above the count of observations.
        self.chunks.add_buckets(encoded.buckets());
        Ok(())
    }

    /// Adds other totals. Fails, and changes nothing, when there were more than 2⁶⁴ observations.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        self.summary = self.summary.merged(&other.summary).ok_or(DecodeError::TooMany)?;
        self.chunks.add(&other.chunks);
        Ok(())
    }

    /// Adds a histogram. Fails, and changes nothing, when there were more than 2⁶⁴ observations.
    pub fn add(&mut self, histogram: &Histogram) -> Result<(), DecodeError> {
        self.summary = self.summary.merged(histogram.summary()).ok_or(DecodeError::TooMany)?;
        self.chunks.add_pages(histogram.pages());
        self.chunks.add_buckets(histogram.spilled().iter().map(|(bucket, count)| (*bucket, *count)));
        Ok(())
    }

    /// Forgets everything but the memory.
    pub fn reset(&mut self) {
        self.summary = Summary::EMPTY;
        self.chunks.clear();
    }

    /// Memory of its counters, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.chunks.allocated_bytes()
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.summary.count == 0
    }

    /// How many observations there are, those beyond the range included.
    pub const fn count(&self) -> u64 {
        self.summary.count
    }

    /// What is known exactly.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Smallest observation, in nanoseconds.
    pub fn min_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.summary.min_ns)
    }

    /// Largest observation, in nanoseconds.
    pub fn max_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.summary.max_ns)
    }

    /// Mean in nanoseconds, from the exact sum.
    pub fn mean_ns(&self) -> Option<f64> {
        self.summary.mean_ns()
    }

    /// Standard deviation in nanoseconds, with every observation in the middle of its bucket and those beyond the
    /// range at the largest.
    pub fn standard_deviation_ns(&self) -> Option<f64> {
        let mean = self.mean_ns()?;
        let spread = |value: f64, count: u64| (value - mean) * (value - mean) * count as f64;
        let inside: f64 = self
            .buckets()
            .map(|(bucket, count)| spread((lowest_ns(bucket) as f64 + highest_ns(bucket) as f64) / 2.0, count))
            .sum();
        let beyond = spread(self.summary.max_ns as f64, self.summary.overflow);
        Some(((inside + beyond) / self.summary.count as f64).sqrt())
    }

    /// Non-empty buckets and their counts, rising; values beyond the range are not among them.
    pub fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.chunks.iter()
    }

    /// Largest value of each non-empty bucket, in nanoseconds, and its count, rising; those beyond the range last, at
    /// the largest observation.
    pub fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let max_ns = self.summary.max_ns;
        let beyond = (self.summary.overflow > 0).then_some((max_ns, self.summary.overflow));
        self.buckets().map(move |(bucket, count)| (highest_ns(bucket).min(max_ns), count)).chain(beyond)
    }

    /// The value at quantile `q` in 0..=1, in nanoseconds: the largest that is counted with the observation of that
    /// rank, never above the largest observed. At most 1 µs or 0.1 % above the observation, and never below it.
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        self.value_at_rank(quantile::rank_of(q, self.summary.count)?)
    }

    /// The value of the observation of `rank`, from 1, in nanoseconds, as [`Self::quantile_ns`].
    pub fn value_at_rank(&self, rank: u64) -> Option<u64> {
        quantile::value_at_rank(&self.summary, self.buckets(), rank)
    }

    /// How many observations are above `value_ns`, to the resolution of the buckets: those counted with it are not.
    pub fn count_above(&self, value_ns: u64) -> u64 {
        if self.is_empty() || value_ns >= self.summary.max_ns {
            return 0;
        }
        let Some(limit) = bucket_of(value_ns) else { return self.summary.overflow };
        let inside: u64 = self.buckets().filter(|(bucket, _)| *bucket > limit).map(|(_, count)| count).sum();
        inside + self.summary.overflow
    }

    /// The percentile curve: (quantile, value in nanoseconds), rising, `ticks` points each time the distance to the end
    /// halves, as HdrHistogram prints them; ends with the largest observation. Empty without observations.
    pub fn curve(&self, ticks: u32) -> Vec<(f64, u64)> {
        let count = self.summary.count;
        let mut curve = Vec::new();
        let mut values = self.values();
        let mut at = values.next();
        let mut through = at.map_or(0, |(_, here)| here);
        let mut tick = 0u32;
        while let Some((value_ns, _)) = at {
            let left = libm::exp2(-f64::from(tick) / f64::from(ticks.max(1)));
            // One observation or less beyond: what remains is the largest.
            let Some(rank) = quantile::rank_of(1.0 - left, count).filter(|_| left * count as f64 > 1.0) else { break };
            if through < rank {
                at = values.next();
                through += at.map_or(0, |(_, here)| here);
            } else {
                curve.push((1.0 - left, value_ns));
                tick += 1;
            }
        }
        curve.extend(self.max_ns().map(|max_ns| (1.0, max_ns)));
        curve
    }
}

impl From<&Histogram> for Totals {
    fn from(histogram: &Histogram) -> Self {
        let mut totals = Self::new();
        // One histogram holds no more than 64 bits of observations.
        let _ = totals.add(histogram);
        totals
    }
}

impl PartialEq for Totals {
    fn eq(&self, other: &Self) -> bool {
        self.summary == other.summary && self.buckets().eq(other.buckets())
    }
}

impl Eq for Totals {}

#[cfg(test)]
mod tests;
