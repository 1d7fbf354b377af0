//! The integral of a rate that changes evenly, or not at all.

/// A rate that changes evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramp {
    pub(super) duration_ns: u64,
    pub(super) rate_start: u64,
    pub(super) rate_end: u64,
    /// The integral over all of it.
    pub(super) units: u128,
}

impl Ramp {
    /// The integral over the first `offset_ns` (at most the duration), rounded up.
    ///
    /// Of a ramp r₀ → r₁ over d: 2 r₀ t + (r₁ − r₀) t² / d units; of a falling one the whole less the
    /// mirrored rest, so that nothing is subtracted but whole numbers.
    pub(super) fn units_within(&self, offset_ns: u64) -> u128 {
        let steepness = u128::from(self.rate_start.abs_diff(self.rate_end));
        let low = u128::from(self.rate_start.min(self.rate_end));
        if self.rate_start <= self.rate_end {
            let time = u128::from(offset_ns);
            let (square, rest) = self.square_term(steepness, time);
            2 * low * time + square + u128::from(rest)
        } else {
            let time = u128::from(self.duration_ns - offset_ns);
            let (square, _) = self.square_term(steepness, time);
            self.units - (2 * low * time + square)
        }
    }

    /// `steepness * time² / duration` rounded down, and whether that lost something. No step overflows: time is at
    /// most the duration, and steepness * duration at most the units of a stage.
    fn square_term(&self, steepness: u128, time: u128) -> (u128, bool) {
        let duration = u128::from(self.duration_ns);
        let (whole, rest) = (steepness * time / duration, steepness * time % duration);
        (whole * time + rest * time / duration, !(rest * time).is_multiple_of(duration))
    }

    /// The last whole nanosecond at which its integral is not above `units`, which are fewer than it has.
    #[inline]
    pub(super) fn offset_ns(&self, units: u128) -> u64 {
        if self.rate_start == self.rate_end {
            // The quotient is below the duration.
            return (units / 2 / u128::from(self.rate_start.max(1))) as u64;
        }
        self.ramp_offset_ns(units)
    }

    /// The root of 2 r t + (Δ / d) t² = u from the low end of the ramp: t = u / (r + √(r² + u Δ / d)), a form
    /// without cancellation. It is trusted where its error cannot reach the next whole nanosecond, else the exact
    /// integral decides.
    fn ramp_offset_ns(&self, units: u128) -> u64 {
        // Over 2⁻⁵³ times the roundings below, seven at most, with room to spare.
        const RELATIVE_ERROR: f64 = 2e-15;
        let rises = self.rate_start < self.rate_end;
        let (low, high) = if rises { (self.rate_start, self.rate_end) } else { (self.rate_end, self.rate_start) };
        let distance = if rises { units } else { self.units - units } as f64;
        let low_rate = low as f64;
        let slope = (high - low) as f64 / self.duration_ns as f64;
        let root = distance / (low_rate + (low_rate * low_rate + distance * slope).sqrt());
        let error = root * RELATIVE_ERROR + 1e-9;
        let whole = root as u64;
        let fraction = root - whole as f64;
        let last = self.duration_ns - 1;
        if fraction > error && fraction < 1.0 - error {
            // From the falling end the instant is d − root, rounded down.
            let offset = if rises { whole } else { last.saturating_sub(whole) };
            return offset.min(last);
        }
        let centre = if rises { root } else { self.duration_ns as f64 - root };
        let reach = error + 2.0 + self.duration_ns as f64 * RELATIVE_ERROR;
        // Conversions saturate. Bisection keeps: the integral at `low` is not above `units`, at `high` it is.
        let mut low = ((centre - reach) as u64).min(last);
        let mut high = ((centre + reach) as u64).min(last) + 1;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.units_within(middle) <= units {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}
