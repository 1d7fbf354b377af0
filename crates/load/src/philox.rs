//! The counter-based generator: a block of random bits is a function of a key and a counter, nothing is carried over.
//!
//! Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; the tests
//! hold the known answers published with it.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// What a draw is for; draws for different purposes never share a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// How many arrivals a block has.
    Count = 0,
    /// Where they are.
    Position = 1,
    /// Whether an arrival is traced.
    Sample = 2,
    /// Key of a run's identifiers.
    Run = 3,
    /// Trace identifiers.
    Trace = 4,
    /// Span identifiers.
    Span = 5,
    /// Times between requests of a client.
    Interarrival = 6,
    /// Steps of a rate that walks at random.
    Walk = 7,
    /// How long states of bursts last, and what follows them.
    Burst = 8,
}

/// 128 random bits for a 64-bit key and a 128-bit counter.
#[inline]
pub const fn philox4x32(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [m0, m1] = MULTIPLIER;
    let [w0, w1] = WEYL;
    let mut round = 0;
    while round < ROUNDS {
        let product0 = (m0 as u64) * (c0 as u64);
        let product1 = (m1 as u64) * (c2 as u64);
        (c0, c1, c2, c3) = (
            ((product1 >> 32) as u32) ^ c1 ^ k0,
            product1 as u32,
            ((product0 >> 32) as u32) ^ c3 ^ k1,
            product0 as u32,
        );
        k0 = k0.wrapping_add(w0);
        k1 = k1.wrapping_add(w1);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// Two 64-bit draws for (seed, stream, position), number `draw` of this purpose.
///
/// Only the low 28 bits of `draw` count.
#[inline]
pub(crate) const fn draw(seed: u64, stream: u32, position: u64, purpose: Purpose, draw: u32) -> [u64; 2] {
    let [a, b, c, d] = draw_words(seed, stream, position, purpose, draw);
    [(a as u64) << 32 | b as u64, (c as u64) << 32 | d as u64]
}

/// As [`draw`], as four 32-bit draws.
#[inline]
pub(crate) const fn draw_words(seed: u64, stream: u32, position: u64, purpose: Purpose, draw: u32) -> [u32; 4] {
    let tag = ((purpose as u32) << 28) | (draw & 0x0fff_ffff);
    philox4x32([seed as u32, (seed >> 32) as u32], [position as u32, (position >> 32) as u32, stream, tag])
}

/// 53 of 64 random bits as a number in (0, 1].
#[inline]
pub(crate) fn unit_open_below(bits: u64) -> f64 {
    // Both the sum (at most 2^53) and the product with a power of two are exact.
    ((bits >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_known_answers() {
        let cases = [
            ([0, 0], [0, 0, 0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, answer) in cases {
            assert_eq!(philox4x32(key, counter), answer);
        }
    }

    #[test]
    fn a_uniform_is_never_zero_and_may_be_one() {
        assert!(unit_open_below(0) > 0.0);
        assert_eq!(unit_open_below(u64::MAX), 1.0);
    }
}
