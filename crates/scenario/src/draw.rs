//! All randomness of scenarios: a pure function of (seed, group, iteration, place in the program, pass, counter).
//!
//! The generator is Philox4x32-10. Its key comes from the seed and the group; the counter is the iteration (64 bits),
//! the place (16), how often the iteration was there before (24) and the number of the block (24). One key makes each
//! block once, so that identifiers drawn in one group do not repeat.

use nuncius_load::philox::philox4x32;

/// What keys are for; part of what a seed means. Schedules keep the high four bits of this word below 6.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum Purpose {
    Program = 0xF000_0000,
    Scenario = 0xF000_0001,
    Row = 0xF000_0002,
}

/// Passes and blocks that are told apart; beyond it they repeat.
const COUNTER_MASK: u32 = 0x00ff_ffff;

/// Letters and digits of random texts.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The draws of a group, made once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey([u32; 2]);

impl DrawKey {
    /// The draws of group `group` of a run with this seed.
    pub const fn new(seed: u64, group: u32) -> Self {
        Self::of(seed, group, Purpose::Program)
    }

    const fn of(seed: u64, group: u32, purpose: Purpose) -> Self {
        let [first, second, ..] = philox4x32([seed as u32, (seed >> 32) as u32], [group, 0, 0, purpose as u32]);
        Self([first, second])
    }

    const fn block(self, iteration: u64, high: u32, low: u32) -> [u64; 2] {
        let [a, b, c, d] = philox4x32(self.0, [iteration as u32, (iteration >> 32) as u32, high, low]);
        [(a as u64) << 32 | b as u64, (c as u64) << 32 | d as u64]
    }
}

/// The draws of one pass through one place of the program: each is the next one.
#[derive(Debug, Clone)]
pub struct Draws {
    key: DrawKey,
    iteration: u64,
    high: u32,
    low: u32,
    blocks: u32,
    spare: Option<u64>,
}

impl Draws {
    /// The draws of iteration `iteration` at instruction `place`, which it came to `pass` times before.
    ///
    /// Of `pass` the low 24 bits count, so an iteration that loops 2^24 times through one place repeats itself.
    pub const fn new(key: DrawKey, iteration: u64, place: u16, pass: u32) -> Self {
        let pass = pass & COUNTER_MASK;
        Self { key, iteration, high: (place as u32) << 16 | pass >> 8, low: pass << 24, blocks: 0, spare: None }
    }

    /// 128 bits that no other block of the group has.
    pub fn block(&mut self) -> [u64; 2] {
        let block = self.key.block(self.iteration, self.high, self.low | (self.blocks & COUNTER_MASK));
        self.blocks = self.blocks.wrapping_add(1);
        block
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let [first, second] = self.block();
        self.spare = Some(second);
        first
    }

    /// A whole number from 0 to `below` − 1, each as likely as any other; 0 where there is none.
    pub fn below(&mut self, below: u64) -> u64 {
        below_by(below, || self.bits())
    }

    /// A whole number from `low` to `high`, both included; `low` where they are the wrong way round.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low {
            return low;
        }
        let span = high.wrapping_sub(low) as u64;
        let offset = match span.checked_add(1) {
            Some(count) => self.below(count),
            None => self.bits(),
        };
        low.wrapping_add(offset as i64)
    }

    /// A number in [0, 1), a multiple of 2^−53.
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// True in this share of all draws; exact at 0 and below (or no number: never) and at 1 and above (always).
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A version 4 UUID (RFC 9562, section 5.4), as text.
    pub fn uuid(&mut self) -> String {
        let [high, low] = self.block();
        let high = high & !0xf000 | 0x4000;
        let low = low & !(0b11 << 62) | 0b10 << 62;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// `length` letters and digits (A–Z, a–z, 0–9), each as likely as any other.
    pub fn text(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length);
        while text.len() < length {
            // Ten times six bits; 62 and 63 are no letters, and drawn again.
            let mut bits = self.bits();
            for _ in 0..10 {
                if text.len() < length
                    && let Some(letter) = ALPHABET.get((bits & 63) as usize)
                {
                    text.push(char::from(*letter));
                }
                bits >>= 6;
            }
        }
        text
    }
}

/// Which of several scenarios an iteration does: each as often as its weight says. Weights that are not positive and
/// finite are never picked; `None` where there is no other.
pub fn pick(weights: &[f64], seed: u64, group: u32, iteration: u64) -> Option<usize> {
    let usable = || weights.iter().enumerate().filter(|(_, weight)| weight.is_finite() && **weight > 0.0);
    let total: f64 = usable().map(|(_, weight)| weight).sum();
    let (last, _) = usable().next_back()?;
    let [bits, _] = DrawKey::of(seed, group, Purpose::Scenario).block(iteration, 0, 0);
    let mut rest = unit(bits) * total;
    for (index, weight) in usable() {
        if rest < *weight {
            return Some(index);
        }
        rest -= weight;
    }
    // Rounding may leave a little of the last.
    Some(last)
}

/// A row of `rows`, each as likely as any other, for feeder number `feeder` of the group; 0 where there are none.
pub fn row(rows: u64, seed: u64, group: u32, feeder: u32, iteration: u64) -> u64 {
    let key = DrawKey::of(seed, group, Purpose::Row);
    let mut number = 0;
    below_by(rows, || {
        let [bits, _] = key.block(iteration, feeder, number);
        number += 1;
        bits
    })
}

/// Lemire, "Fast random integer generation in an interval", ACM TOMACS 29 (2019): without bias, seldom more than one
/// draw.
fn below_by(below: u64, mut bits: impl FnMut() -> u64) -> u64 {
    if below == 0 {
        return 0;
    }
    loop {
        let product = u128::from(bits()) * u128::from(below);
        let low = product as u64;
        if low >= below || low >= below.wrapping_neg() % below {
            return (product >> 64) as u64;
        }
    }
}

/// 53 of 64 random bits as a number in [0, 1); exact.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn draws(iteration: u64, place: u16, pass: u32) -> Draws {
        Draws::new(DrawKey::new(7, 3), iteration, place, pass)
    }

    #[test]
    fn no_two_places_passes_iterations_or_groups_share_their_draws() {
        let mut seen = HashSet::new();
        for group in 0..4 {
            for iteration in [0, 1, 2, u64::from(u32::MAX), u64::MAX] {
                for place in [0, 1, 255, 256, u16::MAX] {
                    for pass in [0, 1, 255, 256, 65_536, COUNTER_MASK] {
                        let mut draws = Draws::new(DrawKey::new(7, group), iteration, place, pass);
                        for _ in 0..3 {
                            assert!(seen.insert(draws.block()));
                        }
                    }
                }
            }
        }
        assert!(seen.insert(Draws::new(DrawKey::new(8, 0), 0, 0, 0).block()));
    }

    #[test]
    fn draws_are_part_of_what_a_seed_means() {
        let mut first = draws(5, 2, 0);
        let drawn = (first.uuid(), first.between(1, 6), first.text(8));
        let others = (pick(&[1.0, 1.0, 2.0], 7, 3, 5), row(1_000, 7, 3, 0, 5));
        let expected = ("e1f56708-346f-450d-b5ec-1d97517a0ee0".to_owned(), 6, "RbvmD60M".to_owned());
        assert_eq!((drawn, others), (expected, (Some(2), 649)));
    }

    #[test]
    fn every_number_of_an_interval_is_as_likely_as_any_other() {
        let mut counts = [0u32; 6];
        let mut total = draws(0, 0, 0);
        for _ in 0..60_000 {
            counts[total.between(1, 6) as usize - 1] += 1;
        }
        // Six standard deviations of a binomial count with mean 10,000 are 548.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 548), "{counts:?}");
    }

    #[test]
    fn scenarios_are_picked_by_their_weights() {
        let mut counts = [0u32; 4];
        for iteration in 0..40_000 {
            counts[pick(&[3.0, 0.0, 1.0, f64::NAN], 1, 0, iteration).unwrap()] += 1;
        }
        assert!(counts[0].abs_diff(30_000) < 520 && counts[0] + counts[2] == 40_000, "{counts:?}");
        assert_eq!((pick(&[], 1, 0, 0), pick(&[0.0, -1.0], 1, 0, 0)), (None, None));
    }

    #[test]
    fn a_share_is_kept_and_exact_at_both_ends() {
        let mut all = draws(0, 9, 0);
        let hits = (0..40_000).filter(|_| all.happens(0.25)).count();
        assert!(hits.abs_diff(10_000) < 520, "{hits}");
        assert!((0..1_000).all(|_| all.happens(1.0) && !all.happens(0.0) && !all.happens(f64::NAN)));
    }

    #[test]
    fn all_letters_and_digits_are_equally_likely() {
        let text = draws(0, 1, 0).text(62_000);
        for letter in ALPHABET {
            let count = text.bytes().filter(|byte| byte == letter).count();
            assert!(count.abs_diff(1_000) < 190, "{} {count}", char::from(*letter));
        }
    }

    proptest! {
        #[test]
        fn what_is_drawn_lies_where_it_should(
            iteration in any::<u64>(), place in any::<u16>(), pass in any::<u32>(),
            low in any::<i64>(), high in any::<i64>(), below in any::<u64>(), length in 0usize..200,
        ) {
            let mut first = draws(iteration, place, pass);
            let (low, high) = (low.min(high), low.max(high));
            let number = first.between(low, high);
            prop_assert!(number >= low && number <= high);
            prop_assert_eq!(first.between(high, high), high);
            let drawn = first.below(below);
            prop_assert!(drawn < below || (below == 0 && drawn == 0));
            prop_assert!((0.0..1.0).contains(&first.unit()));
            let text = first.text(length);
            prop_assert!(text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let uuid = first.uuid();
            let bytes = uuid.as_bytes();
            prop_assert!(bytes.len() == 36 && bytes[14] == b'4' && b"89ab".contains(&bytes[19]), "{}", uuid);
            prop_assert!(row(below, 1, 2, 3, iteration) < below.max(1));
            // The same again, from the start.
            let mut again = draws(iteration, place, pass);
            prop_assert_eq!(again.between(low, high), number);
        }

        #[test]
        fn what_is_picked_has_a_weight(
            weights in proptest::collection::vec(any::<f64>(), 0..8), iteration in any::<u64>(),
        ) {
            match pick(&weights, 1, 2, iteration) {
                Some(index) => prop_assert!(weights[index] > 0.0 && weights[index].is_finite()),
                None => prop_assert!(weights.iter().all(|weight| !(*weight > 0.0 && weight.is_finite()))),
            }
        }
    }
}
