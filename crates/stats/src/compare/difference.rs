//! Intervals of the difference and of the ratio of two figures that were estimated apart.
//!
//! By recovering the variance from the interval of each ("MOVER": Zou and Donner, Statistics in Medicine 27, 2008; of
//! ratios, "MOVER-R": Donner and Zou, Statistics in Medicine 31, 2012; Newcombe, Statistical Methods in Medical
//! Research 25, 2016). Intervals need not be symmetrical, as those of quantiles and small shares are not, and the one
//! of the ratio leaves out 1 exactly where the one of the difference leaves out 0.

use nuncius_schemas::comparison::DifferenceEstimate;

/// A figure that is never below 0, and its bounds; `None` where the data set none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounded {
    pub(super) value: f64,
    pub(super) lower: Option<f64>,
    pub(super) upper: Option<f64>,
}

/// Two figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) baseline: Bounded,
    pub(super) candidate: Bounded,
}

impl Pair {
    /// Lower end of candidate − `factor` · baseline.
    fn lower(&self, factor: f64) -> Option<f64> {
        let (below, above) = (self.candidate.lower?, self.baseline.upper?);
        let reach = libm::hypot(self.candidate.value - below, factor * (above - self.baseline.value));
        Some(self.candidate.value - factor * self.baseline.value - reach)
    }

    /// Upper end of candidate − `factor` · baseline.
    fn upper(&self, factor: f64) -> Option<f64> {
        let (above, below) = (self.candidate.upper?, self.baseline.lower?);
        let reach = libm::hypot(above - self.candidate.value, factor * (self.baseline.value - below));
        Some(self.candidate.value - factor * self.baseline.value + reach)
    }

    /// Whether the ratio is beyond 1 ± `least` for certain.
    pub(super) fn is_beyond(&self, least: f64) -> bool {
        self.lower(1.0 + least).is_some_and(|end| end > 0.0) || self.upper(1.0 - least).is_some_and(|end| end < 0.0)
    }

    /// Candidate − baseline.
    pub(super) fn difference(&self) -> DifferenceEstimate {
        let value = self.candidate.value - self.baseline.value;
        DifferenceEstimate { value, lower: self.lower(1.0), upper: self.upper(1.0) }
    }

    /// Candidate / baseline − 1; `None` where the baseline is 0.
    ///
    /// The ends are where candidate − R · baseline has 0 at an end of its interval, as a quadratic equation in R.
    pub(super) fn relative(&self) -> Option<DifferenceEstimate> {
        let (base, other) = (self.baseline.value, self.candidate.value);
        if base <= 0.0 {
            return None;
        }
        let product = base * other;
        let lower = self.candidate.lower.zip(self.baseline.upper).map(|(below, above)| {
            let (constant, square) = (below * (2.0 * other - below), above * (2.0 * base - above));
            let root = (product * product - constant * square).max(0.0).sqrt();
            // The root of both that does not lose digits, whatever the sign of the square's factor.
            if product + root > 0.0 { constant / (product + root) } else { 0.0 }
        });
        let upper = self.candidate.upper.zip(self.baseline.lower).and_then(|(above, below)| {
            let (constant, square) = (above * (2.0 * other - above), below * (2.0 * base - below));
            let root = (product * product - constant * square).max(0.0).sqrt();
            (square > 0.0).then(|| (product + root) / square)
        });
        let less_one = |ratio: f64| ratio - 1.0;
        Some(DifferenceEstimate { value: other / base - 1.0, lower: lower.map(less_one), upper: upper.map(less_one) })
    }

    /// Half of the width of the difference's interval; `None` where an end is missing.
    pub(super) fn reach(&self) -> Option<f64> {
        Some((self.upper(1.0)? - self.lower(1.0)?) / 2.0)
    }

    /// Whether the interval of the difference has both ends.
    pub(super) fn is_bounded(&self) -> bool {
        self.reach().is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounded(value: f64, below: f64, above: f64) -> Bounded {
        Bounded { value, lower: Some((value - below).max(0.0)), upper: Some(value + above) }
    }

    #[test]
    fn intervals_are_those_of_the_published_example() {
        // Newcombe, Statistics in Medicine 17 (1998), 873, method 10: 56 of 70 against 48 of 80 from their score
        // intervals 0.6919 to 0.8772 and 0.4905 to 0.7003: the difference 0.2 has 0.0524 to 0.3339.
        let share = |value: f64, lower, upper| Bounded { value, lower: Some(lower), upper: Some(upper) };
        let pair = Pair { baseline: share(0.6, 0.4905, 0.7003), candidate: share(0.8, 0.6919, 0.8772) };
        let difference = pair.difference();
        assert!((difference.lower.unwrap() - 0.0524).abs() < 2e-4, "{difference:?}");
        assert!((difference.upper.unwrap() - 0.3339).abs() < 2e-4, "{difference:?}");
    }

    #[test]
    fn what_has_no_bound_on_one_side_says_nothing_on_that_side() {
        let open = Bounded { value: 10.0, lower: Some(9.0), upper: None };
        let pair = Pair { baseline: bounded(5.0, 1.0, 1.0), candidate: open };
        let (difference, relative) = (pair.difference(), pair.relative().unwrap());
        assert!(difference.lower.unwrap() > 3.0 && difference.upper.is_none());
        assert!(relative.lower.unwrap() > 0.6 && relative.upper.is_none());
        assert!(pair.is_beyond(0.0) && !pair.is_bounded());
        let none = Pair { baseline: open, candidate: open };
        assert!(!none.is_beyond(0.0));
    }

    #[test]
    fn nothing_against_nothing_does_not_differ_and_has_no_ratio() {
        let none = bounded(0.0, 0.0, 0.001);
        let pair = Pair { baseline: none, candidate: none };
        assert!(!pair.is_beyond(0.0) && pair.relative().is_none());
        let ratio = Pair { baseline: bounded(0.5, 0.1, 0.1), candidate: none }.relative().unwrap();
        assert_eq!((ratio.value, ratio.lower), (-1.0, Some(-1.0)));
        assert!(ratio.upper.unwrap() < -0.99);
    }

    proptest! {
        #[test]
        fn ratio_and_difference_tell_the_same(
            base in 0.1f64..10.0, other in 0.0f64..10.0, below in 0.0f64..5.0, above in 0.0f64..5.0,
            other_below in 0.0f64..5.0, other_above in 0.0f64..5.0,
        ) {
            let pair =
                Pair { baseline: bounded(base, below, above), candidate: bounded(other, other_below, other_above) };
            let (difference, relative) = (pair.difference(), pair.relative().unwrap());
            let sign = |end: f64| if end.abs() < 1e-9 { 0.0 } else { end.signum() };
            let (low, high) = (sign(difference.lower.unwrap()), relative.upper.map(sign));
            prop_assert!(low * sign(relative.lower.unwrap()) >= 0.0, "{:?} {:?}", difference, relative);
            if let Some(high) = high {
                prop_assert!(high * sign(difference.upper.unwrap()) >= 0.0, "{:?} {:?}", difference, relative);
            }
            prop_assert!(relative.lower.unwrap() <= relative.value + 1e-9);
            prop_assert!(relative.upper.is_none_or(|upper| upper >= relative.value - 1e-9));
            // Each end is where the difference from that multiple of the baseline has its end at 0.
            let at = pair.lower(1.0 + relative.lower.unwrap()).unwrap();
            prop_assert!(at.abs() < 1e-6 * (1.0 + base + other), "{}", at);
            if let Some(upper) = relative.upper.filter(|upper| *upper < 1e6) {
                let at = pair.upper(1.0 + upper).unwrap();
                prop_assert!(at.abs() < 1e-6 * (1.0 + upper) * (1.0 + base + other), "{} {}", at, upper);
            }
        }
    }
}
