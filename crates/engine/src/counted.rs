//! Tables by numbers that are counted up here: no peer chooses them, so that the cheapest hash will do.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// 2^64 over the golden ratio: spreads numbers that follow each other.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

pub(crate) type ByNumber<T> = HashMap<u64, T, BuildHasherDefault<NumberHasher>>;

#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
