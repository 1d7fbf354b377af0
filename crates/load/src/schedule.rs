//! The schedule: which arrival is planned at which nanosecond.
//!
//! Constant spacing puts arrival `k` where the integrated rate reaches `k`. A Poisson process is made in blocks of
//! [`BLOCK_ARRIVALS`] expected arrivals, each from its own counters of the generator: first how many arrivals the
//! block has, then where in the block's integrated rate they are (given their number they are independent and
//! uniform; Çinlar, "Introduction to Stochastic Processes", 1975, ch. 4), mapped to time by the inverted integral.

use nuncius_schemas::spec::Arrivals;

use crate::philox::{Purpose, draw, draw_words};
use crate::profile::{ARRIVAL_UNITS, RateProfile};

/// Expected arrivals in a block of a Poisson schedule. Part of what a seed means: changing it changes every schedule.
pub const BLOCK_ARRIVALS: u64 = 64;

const BLOCK_UNITS: u128 = BLOCK_ARRIVALS as u128 * ARRIVAL_UNITS;

/// Most arrivals in one block: 56 standard deviations above what is expected.
const BLOCK_MAX: usize = 512;

/// One arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// 0, 1, 2 … over the whole run; says which shard it belongs to.
    pub index: u64,
    /// When it is to happen, in nanoseconds of run time.
    pub planned_ns: u64,
}

/// All arrivals of a profile in order of time; a pure function of what it was made from.
///
/// Allocates when it is made, not while it is walked.
#[derive(Debug, Clone)]
pub struct Schedule {
    profile: RateProfile,
    arrivals: Arrivals,
    seed: u64,
    stream: u32,
    limit: u64,
    next_index: u64,
    /// Stage of the last arrival.
    cursor: usize,
    next_block: u64,
    block: Block,
    /// Sorted draws of the block at hand, and how many of them were used.
    positions: Vec<u64>,
    used: usize,
    /// The draws before they were sorted.
    unsorted: Vec<u64>,
}

/// A stretch of integrated rate.
#[derive(Debug, Clone, Copy)]
struct Block {
    start_units: u128,
    units: u128,
}

impl Schedule {
    /// The schedule of `profile`, at most `limit` arrivals of it.
    ///
    /// `stream` tells groups of one experiment apart. With a limit a Poisson schedule may still end earlier, with the
    /// profile.
    pub fn new(profile: RateProfile, arrivals: Arrivals, seed: u64, stream: u32, limit: Option<u64>) -> Self {
        let capacity = if arrivals == Arrivals::Poisson { BLOCK_MAX } else { 0 };
        Self {
            profile,
            arrivals,
            seed,
            stream,
            limit: limit.unwrap_or(u64::MAX),
            next_index: 0,
            cursor: 0,
            next_block: 0,
            block: Block { start_units: 0, units: 0 },
            positions: Vec::with_capacity(capacity),
            used: 0,
            unsorted: Vec::with_capacity(capacity),
        }
    }

    /// The profile it was made from.
    pub const fn profile(&self) -> &RateProfile {
        &self.profile
    }

    /// How many arrivals the whole schedule has, whatever has been taken from it already. At once for constant spacing;
    /// a Poisson schedule draws the count of each block (about 10 ns per arrival).
    pub fn total(&self) -> u64 {
        let total = match self.arrivals {
            Arrivals::Constant => self.profile.total_arrivals(),
            Arrivals::Poisson => {
                let blocks = u64::try_from(self.profile.total_units().div_ceil(BLOCK_UNITS)).unwrap_or(u64::MAX);
                let mut total = 0;
                for block in 0..blocks {
                    total += self.count_of(block) as u64;
                    if total >= self.limit {
                        break;
                    }
                }
                total
            }
        };
        total.min(self.limit)
    }

    fn block(&self, block: u64) -> Block {
        let start_units = u128::from(block) * BLOCK_UNITS;
        Block { start_units, units: self.profile.total_units().saturating_sub(start_units).min(BLOCK_UNITS) }
    }

    /// Poisson count of a block: how many uniforms can be multiplied before the product falls to e^−mean (Knuth, "The
    /// Art of Computer Programming" 2, 3.4.1 Q).
    fn count_of(&self, block: u64) -> usize {
        let mean = self.block(block).units as f64 / ARRIVAL_UNITS as f64;
        let bound = libm::exp(-mean);
        let mut product = 1.0;
        let mut count = 0;
        let mut number = 0;
        loop {
            for bits in draw_words(self.seed, self.stream, block, Purpose::Count, number) {
                // In (0, 1]; 32 bits move the mean of the count by less than one part in 10⁸.
                product *= (f64::from(bits) + 1.0) * (1.0 / 4_294_967_296.0);
                if product <= bound || count == BLOCK_MAX {
                    return count;
                }
                count += 1;
            }
            number += 1;
        }
    }

    /// Draws the next block that has arrivals; false at the end of the profile.
    fn fill(&mut self) -> bool {
        loop {
            let number = self.next_block;
            self.block = self.block(number);
            if self.block.units == 0 {
                return false;
            }
            self.next_block += 1;
            let count = self.count_of(number);
            self.unsorted.clear();
            self.used = 0;
            for pair in 0..count.div_ceil(2) {
                // The cast keeps everything: count is at most BLOCK_MAX.
                self.unsorted.extend(draw(self.seed, self.stream, number, Purpose::Position, pair as u32));
            }
            self.unsorted.truncate(count);
            sort_uniforms(&self.unsorted, &mut self.positions);
            if count > 0 {
                return true;
            }
        }
    }

    #[inline]
    fn next_units(&mut self) -> Option<u128> {
        match self.arrivals {
            Arrivals::Constant => Some(u128::from(self.next_index) * ARRIVAL_UNITS),
            Arrivals::Poisson => {
                if self.used == self.positions.len() && !self.fill() {
                    return None;
                }
                let position = u128::from(*self.positions.get(self.used)?);
                self.used += 1;
                // position * units / 2^64, in two halves because units has more than 64 bits.
                let (high, low) = (self.block.units >> 64, self.block.units & u128::from(u64::MAX));
                Some(self.block.start_units + position * high + ((position * low) >> 64))
            }
        }
    }
}

/// Sorts uniform draws into `sorted`: by their first six bits into the place where they about belong, then by
/// insertion. Several times as fast as a general sort, and the same result.
fn sort_uniforms(unsorted: &[u64], sorted: &mut Vec<u64>) {
    let bucket_of = |draw: u64| (draw >> 58) as usize;
    let mut ends = [0usize; 64];
    for draw in unsorted {
        if let Some(end) = ends.get_mut(bucket_of(*draw)) {
            *end += 1;
        }
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    sorted.clear();
    sorted.resize(unsorted.len(), 0);
    for draw in unsorted {
        if let Some(end) = ends.get_mut(bucket_of(*draw)) {
            *end -= 1;
            if let Some(place) = sorted.get_mut(*end) {
                *place = *draw;
            }
        }
    }
    for right in 1..sorted.len() {
        let mut at = right;
        while let Some([before, after]) = at.checked_sub(1).and_then(|left| sorted.get_mut(left..=at))
            && *before > *after
        {
            std::mem::swap(before, after);
            at -= 1;
        }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    #[inline]
    fn next(&mut self) -> Option<Arrival> {
        if self.next_index >= self.limit {
            return None;
        }
        let units = self.next_units()?;
        let planned_ns = self.profile.instant_ns_from(&mut self.cursor, units)?;
        let index = self.next_index;
        self.next_index += 1;
        Some(Arrival { index, planned_ns })
    }
}

impl std::iter::FusedIterator for Schedule {}

#[cfg(test)]
mod tests;
