//! Bytes that nothing can compress and that never come twice, about as fast as memory can be written.

/// Steps and multipliers of wyrand; odd, with about as many ones as zeros.
const STEP: u64 = 0xa076_1d64_78bd_642f;
const MIX: u64 = 0xe703_7ed1_a0b4_28db;

/// A stream of bytes; goes on where the last call ended.
#[derive(Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    /// A stream of its own.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(STEP);
        let product = u128::from(self.0) * u128::from(self.0 ^ MIX);
        ((product >> 64) as u64 ^ product as u64).to_le_bytes()
    }

    /// Overwrites all of `bytes`.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next());
        }
        let rest = words.into_remainder();
        for (byte, noise) in rest.iter_mut().zip(self.next()) {
            *byte = noise;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_pages_are_alike_and_every_byte_is_as_frequent() {
        let mut bytes = vec![0; 1 << 20];
        Noise::new(7).fill(&mut bytes);
        let pages: HashSet<&[u8]> = bytes.chunks(4096).collect();
        assert_eq!(pages.len(), 256);
        for page in bytes.chunks(64 * 1024) {
            let mut counts = [0u32; 256];
            page.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
            // 256 of each are expected, with a deviation of 16.
            assert!(counts.iter().all(|count| (150..=370).contains(count)));
        }
    }

    #[test]
    fn lengths_that_are_no_words_are_filled_to_the_end() {
        let mut noise = Noise::new(1);
        let mut seen = [false; 13];
        for _ in 0..20 {
            let mut bytes = [0; 13];
            noise.fill(&mut bytes);
            seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte != 0);
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}
