//! Factors by trial division: work that takes long for large primes.

use super::Number;

/// A number that is being factored.
#[derive(Debug)]
pub(crate) struct Factoring {
    number: Number,
    left: u128,
    candidate: u128,
    /// No candidate beyond this is tried.
    top: u128,
    /// Those of this round.
    factors: Vec<u128>,
}

impl Factoring {
    /// Begins with a number; 0 has no factors, and is left at once every time.
    pub(crate) fn new(number: Number) -> Self {
        Self { number, left: number.value, candidate: 2, top: number.value.isqrt(), factors: Vec::new() }
    }

    /// Tries this many candidates. Where it comes to the end it begins again, or, with a number that is not factored
    /// over and over, says so.
    pub(crate) fn go_on(&mut self, candidates: u64) -> bool {
        for _ in 0..candidates {
            if let Some(factors) = self.step() {
                tracing::trace!(number = self.number.value, ?factors, "factored");
                if !self.number.is_repeated {
                    return true;
                }
                *self = Self::new(self.number);
            }
        }
        false
    }

    /// One candidate; the factors where that was the last.
    fn step(&mut self) -> Option<Vec<u128>> {
        if self.candidate > self.top {
            if self.left > 1 {
                self.factors.push(self.left);
            }
            return Some(std::mem::take(&mut self.factors));
        }
        if self.left.is_multiple_of(self.candidate) {
            self.factors.push(self.candidate);
            self.left /= self.candidate;
            self.top = self.left.isqrt();
        } else {
            self.candidate += if self.candidate == 2 { 1 } else { 2 };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_found() {
        for (number, factors) in [
            (1, vec![]),
            (2, vec![2]),
            (4, vec![2, 2]),
            (97, vec![97]),
            (360, vec![2, 2, 2, 3, 3, 5]),
            (1_000_036_000_099, vec![1_000_003, 1_000_033]),
        ] {
            let mut factoring = Factoring::new(Number { value: number, is_repeated: true });
            let found = (0..2_000_000).find_map(|_| factoring.step());
            assert_eq!(found, Some(factors), "{number}");
        }
        for (value, is_repeated, has_ended) in [(0, true, false), (u128::MAX, false, false), (97, false, true)] {
            assert_eq!(Factoring::new(Number { value, is_repeated }).go_on(1000), has_ended, "{value}");
        }
    }
}
