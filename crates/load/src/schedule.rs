//! The schedule: which arrival is planned at which nanosecond.
//!
//! Constant spacing puts arrival `k` where the integrated rate reaches `k`. A Poisson process is made in blocks of
//! [`BLOCK_ARRIVALS`] expected arrivals, each from its own counters of the generator: first how many arrivals the
//! block has, then where in the block's integrated rate they are (given their number they are independent and
//! uniform; Çinlar, "Introduction to Stochastic Processes", 1975, ch. 4), mapped to time by the inverted integral.

use crate::arrival::{Arrival, Next};
use crate::own::OwnArrivals;
use crate::philox::{Purpose, draw, draw_words};
use crate::profile::{ARRIVAL_UNITS, RateProfile};
use crate::tempo::Tempo;

/// Expected arrivals in a block of a Poisson schedule. Part of what a seed means: changing it changes every schedule.
pub const BLOCK_ARRIVALS: u64 = 64;

const BLOCK_UNITS: u128 = BLOCK_ARRIVALS as u128 * ARRIVAL_UNITS;

/// Most arrivals in one block: 56 standard deviations above what is expected.
const BLOCK_MAX: usize = 512;

/// How arrivals are spaced that a rate plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly in the integrated rate.
    Even,
    /// As a Poisson process of the rate.
    Poisson,
}

/// All arrivals of a profile in order of time; a pure function of what it was made from, amendments included.
///
/// It is made of pieces, each a profile from an instant on. Constant spacing goes on over the instant: what was
/// integrated since the last arrival counts. The arrivals of a Poisson process before and after an instant have nothing
/// to do with each other, and neither have the draws of two pieces.
///
/// Allocates when it is made or amended, not while it is walked.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// From when each is in force, in nanoseconds of run time, rising; the first from 0.
    pieces: Vec<(u64, RateProfile)>,
    spacing: Spacing,
    seed: u64,
    stream: u32,
    limit: u64,
    next_index: u64,
    /// The piece at hand.
    piece: Piece,
    /// Sorted draws of the block at hand, and how many of them were used.
    positions: Vec<u64>,
    used: usize,
    /// The draws before they were sorted.
    unsorted: Vec<u64>,
    /// Where clients or a file decide when; the profile is what they do on average then.
    own: Option<Box<OwnArrivals>>,
}

/// Where a walk is within the piece at hand.
#[derive(Debug, Clone)]
struct Piece {
    number: usize,
    profile: RateProfile,
    from_ns: u64,
    /// When the next is in force; never for the last.
    until_ns: u64,
    /// Index of its first arrival, and where that is in the integrated rate (constant spacing).
    first_index: u64,
    first_units: u128,
    /// Stage of the last arrival.
    cursor: usize,
    next_block: u64,
    block: Block,
}

impl Piece {
    fn new(number: usize, (from_ns, profile): (u64, RateProfile), until_ns: u64) -> Self {
        let block = Block { start_units: 0, units: 0 };
        // No piece has so many blocks: arrivals are at most 10^15.
        let next_block = (number as u64) << PIECE_SHIFT;
        let (first_index, first_units, cursor) = (0, 0, 0);
        Self { number, profile, from_ns, until_ns, first_index, first_units, cursor, next_block, block }
    }

    fn block(&self, block: u64) -> Block {
        let start_units = u128::from(block & BLOCKS_MASK) * BLOCK_UNITS;
        Block { start_units, units: self.profile.total_units().saturating_sub(start_units).min(BLOCK_UNITS) }
    }
}

/// Blocks are numbered within their piece; its number is above.
const PIECE_SHIFT: u32 = 48;
const BLOCKS_MASK: u64 = (1 << PIECE_SHIFT) - 1;

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
    pub fn new(profile: RateProfile, spacing: Spacing, seed: u64, stream: u32, limit: Option<u64>) -> Self {
        let capacity = if spacing == Spacing::Poisson { BLOCK_MAX } else { 0 };
        Self {
            pieces: vec![(0, profile.clone())],
            spacing,
            seed,
            stream,
            limit: limit.unwrap_or(u64::MAX),
            next_index: 0,
            piece: Piece::new(0, (0, profile), u64::MAX),
            positions: Vec::with_capacity(capacity),
            used: 0,
            unsorted: Vec::with_capacity(capacity),
            own: None,
        }
    }

    /// That of clients or a file, which is `profile` on average.
    pub(crate) fn of_own(profile: RateProfile, own: OwnArrivals) -> Self {
        Self { own: Some(Box::new(own)), ..Self::new(profile, Spacing::Even, 0, 0, None) }
    }

    /// Changes how fast the time of its clients or its file passes, if it is one of them, or ends it.
    pub(crate) fn amend_own(&mut self, tempo: Tempo, ends: bool) {
        if let Some(own) = &mut self.own {
            own.amend(tempo, ends);
        }
    }

    /// From `from_ns` (run time) on the rate is that of `profile`, whose time begins there. An earlier instant than
    /// that of the piece before counts as that.
    ///
    /// What was taken from the schedule must lie before it: see [`Schedule::next_before`].
    pub fn amend(&mut self, from_ns: u64, profile: RateProfile) {
        let last_ns = self.pieces.last().map_or(0, |(from_ns, _)| *from_ns);
        let from_ns = from_ns.max(last_ns);
        if self.piece.number + 1 == self.pieces.len() {
            self.piece.until_ns = from_ns;
        }
        self.pieces.push((from_ns, profile));
    }

    /// The same with no more than `limit` arrivals.
    #[must_use]
    pub fn at_most(mut self, limit: u64) -> Self {
        self.limit = self.limit.min(limit);
        if let Some(own) = &mut self.own {
            own.at_most(limit);
        }
        self
    }

    /// How many pieces it is made of, at least one.
    pub fn pieces(&self) -> usize {
        self.own.as_ref().map_or(self.pieces.len(), |own| own.pieces())
    }

    /// The profile at hand.
    pub const fn profile(&self) -> &RateProfile {
        &self.piece.profile
    }

    /// When the last profile ends, in nanoseconds of run time; with a limit the arrivals may end earlier.
    pub fn end_ns(&self) -> u64 {
        if let Some(own) = &self.own {
            return own.end_ns();
        }
        self.pieces.last().map_or(0, |(from_ns, profile)| from_ns.saturating_add(profile.duration_ns()))
    }

    /// How many arrivals the whole schedule has, whatever has been taken from it already. At once for constant spacing
    /// and for a file; those of clients are walked through; a Poisson schedule draws the count of each block (about
    /// 10 ns per arrival), or, once amended, all of them.
    pub fn total(&self) -> u64 {
        if let Some(own) = &self.own {
            return own.count_before(u64::MAX).unwrap_or_else(|| self.at_the_start().count() as u64);
        }
        let total = match self.spacing {
            Spacing::Even => self.evenly_before(u64::MAX),
            Spacing::Poisson if self.pieces.len() > 1 => self.at_the_start().count() as u64,
            Spacing::Poisson => {
                let units = self.piece.profile.total_units();
                let blocks = u64::try_from(units.div_ceil(BLOCK_UNITS)).unwrap_or(u64::MAX);
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

    /// How many arrivals are planned before an instant of run time, in nanoseconds, at once; `None` unless they are
    /// evenly spaced, or those of a file.
    pub fn count_before(&self, at_ns: u64) -> Option<u64> {
        match (&self.own, self.spacing) {
            (Some(own), _) => own.count_before(at_ns),
            (None, Spacing::Even) => Some(self.evenly_before(at_ns).min(self.limit)),
            (None, Spacing::Poisson) => None,
        }
    }

    /// Arrival k of a piece is where its integral reaches k and what the piece before has left over: before an instant
    /// are those that it has passed.
    fn evenly_before(&self, at_ns: u64) -> u64 {
        let (mut first_units, mut count) = (0u128, 0u64);
        let ends = self.pieces.iter().skip(1).map(|(from_ns, _)| *from_ns).chain([u64::MAX]);
        for ((from_ns, profile), until_ns) in self.pieces.iter().zip(ends) {
            let Some(within_ns) = until_ns.min(at_ns).checked_sub(*from_ns) else { break };
            let passed = profile.units_at(within_ns);
            let own = passed.saturating_sub(first_units).div_ceil(ARRIVAL_UNITS);
            count = count.saturating_add(u64::try_from(own).unwrap_or(u64::MAX));
            first_units = (first_units + own * ARRIVAL_UNITS).saturating_sub(passed);
        }
        count
    }

    /// The same schedule, of which nothing was taken.
    pub fn at_the_start(&self) -> Self {
        if let Some(own) = &self.own {
            return Self::of_own(self.piece.profile.clone(), own.at_the_start());
        }
        let mut pieces = self.pieces.iter().cloned();
        let (_, first) = pieces.next().unwrap_or_else(|| (0, self.piece.profile.clone()));
        let limit = Some(self.limit);
        let mut schedule = Self::new(first, self.spacing, self.seed, self.stream, limit);
        pieces.for_each(|(from_ns, profile)| schedule.amend(from_ns, profile));
        schedule
    }

    /// Poisson count of a block: how many uniforms can be multiplied before the product falls to e^−mean (Knuth, "The
    /// Art of Computer Programming" 2, 3.4.1 Q).
    fn count_of(&self, block: u64) -> usize {
        let mean = self.piece.block(block).units as f64 / ARRIVAL_UNITS as f64;
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
            let number = self.piece.next_block;
            self.piece.block = self.piece.block(number);
            if self.piece.block.units == 0 {
                return false;
            }
            self.piece.next_block += 1;
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

    /// Where the next arrival of the piece at hand is in its integrated rate; it is not taken by that.
    #[inline]
    fn next_units(&mut self) -> Option<u128> {
        match self.spacing {
            Spacing::Even => {
                let before = u128::from(self.next_index - self.piece.first_index);
                Some(self.piece.first_units + before * ARRIVAL_UNITS)
            }
            Spacing::Poisson => {
                if self.used == self.positions.len() && !self.fill() {
                    return None;
                }
                let position = u128::from(*self.positions.get(self.used)?);
                let block = self.piece.block;
                // position * units / 2^64, in two halves because units has more than 64 bits.
                let (high, low) = (block.units >> 64, block.units & u128::from(u64::MAX));
                Some(block.start_units + position * high + ((position * low) >> 64))
            }
        }
    }

    /// Takes the next arrival, if it is planned before `limit_ns` of run time. Whoever asks for nothing beyond an
    /// instant may still have the schedule amended from that on.
    #[inline]
    pub fn next_before(&mut self, limit_ns: u64) -> Next {
        if let Some(own) = &mut self.own {
            return own.next_before(limit_ns);
        }
        if self.next_index >= self.limit {
            return Next::End;
        }
        loop {
            let units = self.next_units();
            let within_ns = units.and_then(|units| self.piece.profile.instant_ns_from(&mut self.piece.cursor, units));
            let planned_ns = within_ns.map_or(u64::MAX, |within_ns| self.piece.from_ns.saturating_add(within_ns));
            if planned_ns >= self.piece.until_ns {
                if self.turn(units) {
                    continue;
                }
                let end_ns = self.end_ns();
                return if limit_ns < end_ns { Next::NotBefore(end_ns) } else { Next::End };
            }
            if planned_ns >= limit_ns {
                return Next::NotBefore(planned_ns);
            }
            let index = self.next_index;
            self.next_index += 1;
            if self.spacing == Spacing::Poisson {
                self.used += 1;
            }
            return Next::Arrival(Arrival { index, planned_ns });
        }
    }

    /// Turns to the next piece, if there is one. `units` is where the arrival would have been that the present one has
    /// no time for any more.
    #[cold]
    fn turn(&mut self, units: Option<u128>) -> bool {
        let number = self.piece.number + 1;
        let Some(next) = self.pieces.get(number) else { return false };
        let until_ns = self.pieces.get(number + 1).map_or(u64::MAX, |(from_ns, _)| *from_ns);
        let passed = self.piece.profile.units_at(self.piece.until_ns - self.piece.from_ns);
        let first_units = units.unwrap_or(0).saturating_sub(passed);
        self.piece = Piece::new(number, next.clone(), until_ns);
        self.piece.first_index = self.next_index;
        self.piece.first_units = first_units;
        self.used = 0;
        self.positions.clear();
        true
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
        match self.next_before(u64::MAX) {
            Next::Arrival(arrival) => Some(arrival),
            // Nothing is planned at the last instant there is.
            Next::NotBefore(_) | Next::End => None,
        }
    }
}

impl std::iter::FusedIterator for Schedule {}

#[cfg(test)]
mod tests;
