//! The integral of a sine.
//!
//! The rate low + (high − low) · (sin(2πx / P) + 1) / 2 has the integral low · x + (high − low) / 2 · (x + P / π ·
//! sin²(πx / P)) from 0 to x. It is taken at [`KNOTS`] equal parts of the period, there to the unit, and goes straight
//! on between two of them: so it is made of whole numbers alone, never falls, and can be inverted exactly. Over whole
//! periods nothing is lost at all; in between the count of arrivals is never further off than (high − low) · P / 21
//! million: a seventieth of an arrival where a thousand a second come and go within five minutes.

use std::f64::consts::{PI, TAU};
use std::sync::OnceLock;

use crate::leg::Wave;

/// Parts of a period. A power of two, and part of what a specification means: another number changes every schedule of
/// a sine by a little.
const KNOTS: u64 = 4_096;
/// Shares of a period's integral are in 2^-52: `f64` holds each of them exactly.
const SHARE_BITS: u32 = 52;
/// What is left of those bits in a time: parts of a nanosecond.
const FINE_BITS: u32 = 10;

/// Highest rate, in millionths of an arrival per hour: none of the products below has more than 128 bits.
const RATE_MAX: u64 = 1 << 60;
/// Longest period and duration, in nanoseconds: 104 days.
const LONGEST_NS: u64 = 1 << 53;

/// A part of a sine, ready to be integrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Swell {
    low: u64,
    high: u64,
    period_ns: u64,
    phase_ns: u64,
    /// The integral from the begin of the period to the phase.
    before: u128,
}

/// At each knot, the integral of 1 + sin from the begin of the period, of what it is over the whole, in 2^-52.
fn shares() -> &'static [u64] {
    static SHARES: OnceLock<Vec<u64>> = OnceLock::new();
    SHARES.get_or_init(|| {
        let share = |knot: u64| {
            let part = knot as f64 / KNOTS as f64;
            let sine = libm::sin(PI * part);
            // At most 2^52: at both ends the sine is nothing, by rounding.
            libm::round((part + sine * sine / PI) * (1u64 << SHARE_BITS) as f64) as u64
        };
        (0..=KNOTS).map(share).collect()
    })
}

impl Swell {
    /// `None` when its numbers are too large, or its period has less than a nanosecond a knot.
    pub(super) fn new(wave: &Wave) -> Option<Self> {
        let (low, high) = (wave.low.0.min(wave.high.0), wave.high.0.max(wave.low.0));
        let fits = high <= RATE_MAX
            && (KNOTS..=LONGEST_NS).contains(&wave.period_ns)
            && wave.phase_ns < wave.period_ns
            && wave.duration.0 <= LONGEST_NS;
        let swell = Self { low, high, period_ns: wave.period_ns, phase_ns: wave.phase_ns, before: 0 };
        fits.then(|| Self { before: swell.units_up_to(wave.phase_ns), ..swell })
    }

    /// The rate after a part of its time, in millionths of an arrival per hour.
    pub(super) fn rate_at(&self, offset_ns: u64) -> f64 {
        let at_ns = (self.phase_ns + offset_ns) % self.period_ns;
        let swing = (libm::sin(TAU * (at_ns as f64 / self.period_ns as f64)) + 1.0) / 2.0;
        self.low as f64 + (self.high - self.low) as f64 * swing
    }

    /// The integral over the first `offset_ns` (at most the duration), rounded up.
    pub(super) fn units_within(&self, offset_ns: u64) -> u128 {
        self.units_up_to(self.phase_ns + offset_ns) - self.before
    }

    /// The last whole nanosecond at which its integral is not above `units`, which are fewer than it has.
    pub(super) fn offset_ns(&self, units: u128) -> u64 {
        let wanted = units + self.before;
        let whole = self.units_of_period();
        let (Some(periods), Some(rest)) = (wanted.checked_div(whole), wanted.checked_rem(whole)) else { return 0 };
        // Of the knots up to which the integral is not above the rest, the last one; the one after it is above.
        let (mut knot, mut after) = (0, KNOTS);
        while after - knot > 1 {
            let middle = u64::midpoint(knot, after);
            if self.units_at_knot(middle) <= rest {
                knot = middle;
            } else {
                after = middle;
            }
        }
        let (from_ns, from_units) = (self.knot_ns(knot), self.units_at_knot(knot));
        let piece = Piece { length_ns: self.knot_ns(after) - from_ns, units: self.units_at_knot(after) - from_units };
        // Below 2^54 periods, each of fewer nanoseconds.
        let at_ns = periods as u64 * self.period_ns + from_ns + piece.last_ns(rest - from_units);
        at_ns.saturating_sub(self.phase_ns)
    }

    /// The integral over a whole period.
    fn units_of_period(&self) -> u128 {
        (u128::from(self.low) + u128::from(self.high)) * u128::from(self.period_ns)
    }

    /// The integral from the begin of a period to an instant of this or a later one, rounded up.
    fn units_up_to(&self, at_ns: u64) -> u128 {
        let (periods, within_ns) = (at_ns / self.period_ns, at_ns % self.period_ns);
        // The last knot that is not later: fewer than the knots.
        let knot = (u128::from(within_ns) * u128::from(KNOTS) / u128::from(self.period_ns)) as u64;
        let (from_ns, from_units) = (self.knot_ns(knot), self.units_at_knot(knot));
        let piece =
            Piece { length_ns: self.knot_ns(knot + 1) - from_ns, units: self.units_at_knot(knot + 1) - from_units };
        u128::from(periods) * self.units_of_period() + from_units + piece.units_within(within_ns - from_ns)
    }

    /// When a knot is, in nanoseconds from the begin of the period.
    fn knot_ns(&self, knot: u64) -> u64 {
        // At most the period.
        (u128::from(knot) * u128::from(self.period_ns) / u128::from(KNOTS)) as u64
    }

    /// The integral from the begin of the period to a knot. It never falls: none of its parts does.
    fn units_at_knot(&self, knot: u64) -> u128 {
        let share = usize::try_from(knot).ok().and_then(|knot| shares().get(knot)).copied().unwrap_or(0);
        // In 1/1024 ns, at most 2^63.
        let fine = (u128::from(self.period_ns) * u128::from(share)) >> (SHARE_BITS - FINE_BITS);
        let swing = (u128::from(self.high - self.low) * fine) >> FINE_BITS;
        2 * u128::from(self.low) * u128::from(self.knot_ns(knot)) + swing
    }
}

/// What lies between two knots: the rate does not change there.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Not 0: a period has a nanosecond a knot.
    length_ns: u64,
    units: u128,
}

impl Piece {
    /// The integral over the first `offset_ns`, rounded up. No step overflows: of the second product both factors are
    /// below the length.
    fn units_within(&self, offset_ns: u64) -> u128 {
        let (length, offset) = (u128::from(self.length_ns.max(1)), u128::from(offset_ns));
        (self.units / length) * offset + ((self.units % length) * offset).div_ceil(length)
    }

    /// The last nanosecond at which the integral is not above `units`, which are fewer than it has.
    fn last_ns(&self, units: u128) -> u64 {
        let length = u128::from(self.length_ns);
        // The quotient of numbers that are cut to fit may be one off.
        let cut = (units.max(1).ilog2() + length.max(1).ilog2() + 2).saturating_sub(u128::BITS);
        let proposed = ((units >> cut) * length).checked_div(self.units >> cut).unwrap_or(0);
        let mut at_ns = u64::try_from(proposed).unwrap_or(u64::MAX).min(self.length_ns.saturating_sub(1));
        while at_ns > 0 && self.units_within(at_ns) > units {
            at_ns -= 1;
        }
        while at_ns + 1 < self.length_ns && self.units_within(at_ns + 1) <= units {
            at_ns += 1;
        }
        at_ns
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::units::{HumanDuration, Rate, SECOND_NS};
    use proptest::prelude::*;

    use super::*;

    fn wave(low: u64, high: u64, period_ns: u64, phase_ns: u64, duration_ns: u64) -> Wave {
        Wave { duration: HumanDuration(duration_ns), low: Rate(low), high: Rate(high), period_ns, phase_ns }
    }

    /// Arrivals up to an instant, by the formula.
    fn by_formula(wave: &Wave, at_ns: u64) -> f64 {
        let (low, high) = (wave.low.as_per_second(), wave.high.as_per_second());
        let period = wave.period_ns as f64 / 1e9;
        let up_to = |x: f64| {
            let sine = (PI * x / period).sin();
            low * x + (high - low) / 2.0 * (x + period / PI * sine * sine)
        };
        let begin = wave.phase_ns as f64 / 1e9;
        up_to(begin + at_ns as f64 / 1e9) - up_to(begin)
    }

    #[test]
    fn the_count_of_arrivals_is_that_of_the_formula_and_exact_over_whole_periods() {
        const UNITS: f64 = 7.2e18;
        for (low, high, period_s, phase_s) in [(0, 1_000, 300, 0), (10, 200, 60, 45), (5, 5, 7, 3), (0, 1, 86_400, 9)] {
            let (low, high) = (Rate::per_second(low).0, Rate::per_second(high).0);
            let wave = wave(low, high, period_s * SECOND_NS, phase_s * SECOND_NS, 4 * period_s * SECOND_NS);
            let swell = Swell::new(&wave).unwrap();
            let bound = (high - low) as f64 / 3.6e9 * period_s as f64 / 21e6 + 1e-6;
            for part in 0..1_000 {
                let at_ns = part * 4 * period_s * SECOND_NS / 1_000 + part;
                let off = swell.units_within(at_ns) as f64 / UNITS - by_formula(&wave, at_ns);
                assert!(off.abs() < bound, "{wave:?} at {at_ns}: {off}, not within {bound}");
            }
            let whole = 3 * (u128::from(low) + u128::from(high)) * u128::from(period_s * SECOND_NS);
            assert_eq!(swell.units_within(3 * period_s * SECOND_NS), whole, "{wave:?}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_no_swell() {
        for out in [
            wave(0, RATE_MAX + 1, SECOND_NS, 0, 1),
            wave(0, 1, KNOTS - 1, 0, 1),
            wave(0, 1, LONGEST_NS + 1, 0, 1),
            wave(0, 1, SECOND_NS, SECOND_NS, 1),
            wave(0, 1, SECOND_NS, 0, u64::MAX),
        ] {
            assert_eq!(Swell::new(&out), None, "{out:?}");
        }
        let largest = wave(RATE_MAX, RATE_MAX, LONGEST_NS, LONGEST_NS - 1, LONGEST_NS);
        let swell = Swell::new(&largest).unwrap();
        assert_eq!(swell.units_within(LONGEST_NS), 2 * u128::from(RATE_MAX) * u128::from(LONGEST_NS));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn inversion_is_exact_and_monotone(
            low in prop_oneof![Just(0u64), 0..RATE_MAX], high in prop_oneof![Just(RATE_MAX), 0..RATE_MAX, 0..1_000u64],
            period_ns in prop_oneof![KNOTS..LONGEST_NS, KNOTS..10_000_000],
            phase in any::<u64>(), duration_ns in prop_oneof![1..LONGEST_NS, 1..100_000_000u64],
            shares in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let swell = Swell::new(&wave(low, high, period_ns, phase % period_ns, duration_ns)).unwrap();
            let total = swell.units_within(duration_ns);
            let mut shares = shares;
            shares.sort_unstable();
            let mut last = 0;
            for share in shares {
                let low_half = ((total & u128::from(u64::MAX)) * u128::from(share)) >> 64;
                let units = (total >> 64) * u128::from(share) + low_half;
                if units >= total {
                    continue;
                }
                let at_ns = swell.offset_ns(units);
                prop_assert!(at_ns >= last && at_ns < duration_ns);
                prop_assert!(swell.units_within(at_ns) <= units);
                prop_assert!(swell.units_within(at_ns + 1) > units);
                last = at_ns;
            }
        }
    }
}
