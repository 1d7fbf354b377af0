//! The numbers of `Math.random()`: a pure function of a call's seed and of how many were drawn before.

/// Draws of one call.
///
/// Number n of seed s is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014) at
/// s + (n + 1) · 0x9E3779B97F4A7C15, its upper 53 bits as a fraction of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draws {
    state: u64,
}

/// 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// At least 0, below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(STEP);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // First outputs for seed 1234567, as in the reference implementation.
        let expected = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let mut draws = Draws::new(1_234_567);
        for whole in expected {
            let fraction = (whole >> 11) as f64 / (1_u64 << 53) as f64;
            assert!((draws.fraction() - fraction).abs() < f64::EPSILON, "{whole}");
        }
    }

    #[test]
    fn they_fill_the_interval_evenly() {
        let mut draws = Draws::new(7);
        let mean = (0..10_000).map(|_| draws.fraction()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }
}
