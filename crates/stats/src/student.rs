//! Student's t distribution: how wide an interval of a few measurements is.

use std::f64::consts::{FRAC_PI_2, PI};

/// Degrees of freedom from which the distribution is taken as normal; the quantiles differ by 2 · 10⁻⁶ there.
const NORMAL_FROM: f64 = 1e6;

/// Strips of the integral: even; the quantiles then have six correct digits or more.
const STRIPS: u32 = 128;

/// The value t with P(|T| ≤ t) = `confidence` for T of Student's distribution with `freedom` degrees of freedom,
/// which need not be whole. Infinite when `confidence` is not in (0, 1) or `freedom` is below 1 (or no number).
///
/// With t = √ν tan θ the probability is the integral of cos^(ν−1) from 0 to θ over half of B(1/2, ν/2)
/// (Abramowitz and Stegun, 26.7.1 and 6.2.1), by Simpson's rule. It is concave in θ, so that Newton's steps from 0
/// rise to the root without passing it.
pub fn two_sided_quantile(confidence: f64, freedom: f64) -> f64 {
    if !(confidence > 0.0 && confidence < 1.0 && freedom >= 1.0) {
        return f64::INFINITY;
    }
    let freedom = freedom.min(NORMAL_FROM);
    let density = |angle: f64| libm::pow(libm::cos(angle), freedom - 1.0);
    let whole = whole(freedom);
    let mut angle = 0.0;
    for _ in 0..100 {
        let step = (confidence * whole - simpson(&density, angle)) / density(angle);
        let next = (angle + step).min(FRAC_PI_2);
        // What Simpson's rule and rounding leave may lie on either side.
        let risen = next - angle > angle * 1e-12;
        if !risen {
            break;
        }
        angle = next;
    }
    freedom.sqrt() * libm::tan(angle)
}

/// P(|T| ≤ t) for T of Student's distribution with `freedom` degrees of freedom, which need not be whole; correct to
/// 10⁻⁹. No number when `t` is below 0 or `freedom` is below 1 (or either is no number).
pub(crate) fn two_sided_probability(t: f64, freedom: f64) -> f64 {
    if !(t >= 0.0 && freedom >= 1.0) {
        return f64::NAN;
    }
    let freedom = freedom.min(NORMAL_FROM);
    let density = |angle: f64| libm::pow(libm::cos(angle), freedom - 1.0);
    (simpson(&density, libm::atan(t / freedom.sqrt())) / whole(freedom)).min(1.0)
}

/// The integral of cos^(ν−1) up to a right angle: half of B(1/2, ν/2), of which Γ(1/2) = √π.
fn whole(freedom: f64) -> f64 {
    let log_gammas = libm::lgamma(freedom / 2.0) - libm::lgamma((freedom + 1.0) / 2.0);
    PI.sqrt() / 2.0 * libm::exp(log_gammas)
}

/// The sum of independent variances, each with its degrees of freedom, and those of the sum by Welch and Satterthwaite
/// (Biometrika 34, 1947; Biometrics Bulletin 2, 1946). No degrees of freedom where the sum is 0.
pub fn pooled(terms: &[(f64, f64)]) -> (f64, f64) {
    let variance: f64 = terms.iter().map(|(variance, _)| variance).sum();
    let spread: f64 = terms.iter().map(|(variance, freedom)| variance * variance / freedom).sum();
    (variance, variance * variance / spread)
}

/// The integral of `function` from 0 to `end`.
fn simpson(function: &dyn Fn(f64) -> f64, end: f64) -> f64 {
    let width = end / f64::from(STRIPS);
    let inner: f64 = (1..STRIPS)
        .map(|strip| function(f64::from(strip) * width) * if strip.is_multiple_of(2) { 2.0 } else { 4.0 })
        .sum();
    (function(0.0) + inner + function(end)) * width / 3.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (confidence, freedom, tabulated) in [
            (0.95, 1.0, 12.706_205),
            (0.95, 2.0, 4.302_653),
            (0.95, 3.0, 3.182_446),
            (0.95, 4.0, 2.776_445),
            (0.95, 9.0, 2.262_157),
            (0.95, 30.0, 2.042_272),
            (0.95, 120.0, 1.979_930),
            (0.95, f64::INFINITY, 1.959_964),
            (0.99, 1.0, 63.656_741),
            (0.99, 5.0, 4.032_143),
            (0.90, 2.0, 2.919_986),
        ] {
            let found = two_sided_quantile(confidence, freedom);
            assert!((found / tabulated - 1.0).abs() < 3e-6, "{confidence} {freedom}: {found} for {tabulated}");
        }
    }

    #[test]
    fn nothing_is_known_without_degrees_of_freedom() {
        for freedom in [0.0, 0.99, -1.0, f64::NAN] {
            assert_eq!(two_sided_quantile(0.95, freedom), f64::INFINITY);
        }
        assert_eq!(two_sided_quantile(1.0, 3.0), f64::INFINITY);
    }

    #[test]
    fn probabilities_are_those_of_the_tables() {
        // With one degree of freedom it is Cauchy's distribution, 2 / π · atan t; with two t / √(2 + t²).
        for t in [0.0, 0.5, 2.0, 12.706_205, 1e3, 1e6] {
            let (cauchy, two) = (two_sided_probability(t, 1.0), two_sided_probability(t, 2.0));
            assert!((cauchy - 2.0 / PI * libm::atan(t)).abs() < 1e-12, "{t}: {cauchy}");
            assert!((two - t / (2.0 + t * t).sqrt()).abs() < 1e-9, "{t}: {two}");
        }
        // As of the normal distribution: 1 − 5.733 · 10⁻⁷ within five standard deviations.
        assert!((1.0 - two_sided_probability(5.0, f64::INFINITY) - 5.733e-7).abs() < 1e-9);
        assert!(two_sided_probability(-1.0, 3.0).is_nan() && two_sided_probability(1.0, 0.5).is_nan());
    }

    proptest! {
        #[test]
        fn probability_and_quantile_are_each_other_s_inverse(
            confidence in 0.01f64..0.999_999, freedom in 1.0f64..1e4,
        ) {
            let found = two_sided_probability(two_sided_quantile(confidence, freedom), freedom);
            prop_assert!((found - confidence).abs() < 1e-7, "{}", found);
        }

        #[test]
        fn more_degrees_of_freedom_never_widen(freedom in 1.0f64..1e5, more in 0.0f64..10.0) {
            let (few, many) = (two_sided_quantile(0.95, freedom), two_sided_quantile(0.95, freedom + more));
            prop_assert!(many <= few * (1.0 + 1e-6) && many > 1.9599, "{} {}", few, many);
        }
    }
}
