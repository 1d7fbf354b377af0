use proptest::prelude::*;

use super::*;

#[test]
fn p99_is_bounded_from_above_by_299_observations_and_not_by_298() {
    assert_eq!(quantile_bounds(298, 0.99, 0.95).upper_rank, None);
    assert_eq!(quantile_bounds(299, 0.99, 0.95).upper_rank, Some(299));
    for (q, confidence, needed) in
        [(0.99, 0.95, 299), (0.99, 0.99, 459), (0.999, 0.95, 2_995), (0.999, 0.99, 4_603), (0.9999, 0.95, 29_956)]
    {
        assert_eq!(samples_needed(q, confidence), Some(needed));
        assert_eq!(quantile_bounds(needed - 1, q, confidence).upper_rank, None);
        assert_eq!(quantile_bounds(needed, q, confidence).upper_rank, Some(needed));
    }
}

#[test]
fn the_median_of_small_samples_has_the_tabulated_bounds() {
    // Tails of the binomial (n, 1/2): P(B <= 0) = 1/32 at n = 5; P(B <= 1) = 11/1024, P(B <= 2) = 56/1024 at n = 10.
    assert_eq!(quantile_bounds(4, 0.5, 0.95), QuantileBounds { lower_rank: None, upper_rank: None });
    assert_eq!(quantile_bounds(5, 0.5, 0.95), QuantileBounds { lower_rank: Some(1), upper_rank: Some(5) });
    assert_eq!(quantile_bounds(10, 0.5, 0.95), QuantileBounds { lower_rank: Some(2), upper_rank: Some(9) });
    assert_eq!(quantile_bounds(100, 0.5, 0.95), QuantileBounds { lower_rank: Some(42), upper_rank: Some(59) });
}

#[test]
fn the_normal_approximation_takes_over_without_a_step() {
    for (n, q) in [(4_000_000, 0.5), (100_000_000, 0.99), (1_000_000_000, 0.999), (1_000_000_000_000, 0.999_999)] {
        let (exact, normal) = (exact_ranks(n, q, 0.95), normal_ranks(n, q, 0.95));
        for (exact, normal) in [(exact.lower_rank, normal.lower_rank), (exact.upper_rank, normal.upper_rank)] {
            assert!(exact.unwrap().abs_diff(normal.unwrap()) <= 1, "{n} {q}: {exact:?} {normal:?}");
        }
    }
}

#[test]
fn proportions_have_the_published_bounds() {
    // No failure in n: 1 - 0.05^(1/n). Clopper and Pearson's two-sided 95 % for 10 of 100 is (0.0490, 0.1762).
    let (low, high) = proportion_bounds(0, 299, 0.95);
    assert_eq!(low, 0.0);
    assert!((high - (1.0 - 0.05f64.powf(1.0 / 299.0))).abs() < 1e-12 && high < 0.01);
    let (low, high) = proportion_bounds(10, 100, 0.975);
    assert!((low - 0.0490).abs() < 5e-5 && (high - 0.1762).abs() < 5e-5, "{low} {high}");
    let (low, high) = proportion_bounds(5, 5, 0.95);
    assert!((low - 0.05f64.powf(0.2)).abs() < 1e-12 && high == 1.0);
    assert_eq!(proportion_bounds(0, 0, 0.95), (0.0, 1.0));
    assert_eq!(proportion_bounds(9, 5, 0.95), proportion_bounds(5, 5, 0.95));
}

#[test]
fn poisson_means_have_the_published_bounds() {
    // Garwood's two-sided 95 %: 0 gives (0, 3.689), 1 (0.0253, 5.572), 5 (1.623, 11.67), 100 (81.36, 121.6).
    for (k, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (100, 81.364, 121.627)] {
        let (lower, upper) = poisson_bounds(k, 0.975);
        assert!((lower - low).abs() < 6e-4 && (upper - high).abs() < 6e-4, "{k}: {lower} {upper}");
    }
    // One-sided 95 %: 1 - e^-3 = 0.95, nearly.
    assert!((poisson_bounds(0, 0.95).1 - 2.995_732).abs() < 1e-6);
    let (lower, upper) = poisson_bounds(1_000_000, 0.95);
    assert!((lower - 998_356.0).abs() < 5.0 && (upper - 1_001_647.0).abs() < 5.0, "{lower} {upper}");
    assert_eq!(poisson_bounds(3, 1.0), (0.0, f64::INFINITY));
}

#[test]
fn proportion_bounds_are_continuous_where_the_method_changes() {
    let exact = proportion_bounds(99_000, 10_000_000, 0.95);
    let score = proportion_bounds(102_000, 10_000_000, 0.95);
    let width = |(low, high): (f64, f64)| high - low;
    assert!((width(score) / width(exact) - (102.0f64 / 99.0).sqrt()).abs() < 0.002);
    let (low, high) = proportion_bounds(3, 1_000_000_000_000, 0.95);
    assert!((low * 1e12 - 0.818).abs() < 0.01 && (high * 1e12 - 7.754).abs() < 0.01, "{low} {high}");
}

#[test]
fn bounds_of_a_quantile_hold_as_often_as_they_say() {
    let mut random = fastrand::Rng::with_seed(11);
    for (n, q) in [(30, 0.5), (200, 0.9), (400, 0.99)] {
        let bounds = quantile_bounds(n, q, 0.95);
        let (lower, upper) = (bounds.lower_rank.unwrap(), bounds.upper_rank.unwrap());
        let runs = 2_000;
        let (mut below, mut above) = (0, 0);
        for _ in 0..runs {
            let mut values: Vec<f64> = (0..n).map(|_| random.f64()).collect();
            values.sort_unstable_by(f64::total_cmp);
            below += u32::from(values[lower as usize - 1] <= q);
            above += u32::from(values[upper as usize - 1] >= q);
        }
        // Three standard errors of 95 % in 2000 runs are 1.5 %.
        assert!(below >= 1_870 && above >= 1_870, "{n} {q}: {below} {above} of {runs}");
    }
}

#[test]
fn bounds_of_a_proportion_hold_as_often_as_they_say() {
    let mut random = fastrand::Rng::with_seed(12);
    let (n, p, runs) = (200, 0.03, 2_000);
    let (mut below, mut above) = (0, 0);
    for _ in 0..runs {
        let k = (0..n).filter(|_| random.f64() < p).count() as u64;
        let (low, high) = proportion_bounds(k, n, 0.95);
        below += u32::from(low <= p);
        above += u32::from(high >= p);
    }
    assert!(below >= 1_870 && above >= 1_870, "{below} {above} of {runs}");
}

proptest! {
    #[test]
    fn ranks_are_ordered_and_inside_for_anything(n in any::<u64>(), q in any::<f64>(), confidence in any::<f64>()) {
        let cases = [(n, q, confidence), (n, 0.99, 0.95), (n % 10_000, q, 0.95), (n % 1_000, 0.5, confidence)];
        for (n, q, confidence) in cases {
            let bounds = quantile_bounds(n, q, confidence);
            for rank in bounds.lower_rank.into_iter().chain(bounds.upper_rank) {
                prop_assert!(rank >= 1 && rank <= n);
            }
            let _ = samples_needed(q, confidence);
        }
    }

    #[test]
    fn a_proportion_lies_within_its_bounds(k in any::<u64>(), n in 1u64..1_000_000_000) {
        let k = k % (n + 1);
        let (low, high) = proportion_bounds(k, n, 0.95);
        let share = k as f64 / n as f64;
        prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0, "{} {} {}", low, share, high);
    }
}
