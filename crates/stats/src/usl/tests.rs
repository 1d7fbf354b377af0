use proptest::prelude::*;

use super::*;

/// Throughput of `workers` by the law of λ, α and β.
fn law(workers: u32, lambda: f64, alpha: f64, beta: f64) -> f64 {
    let n = f64::from(workers);
    lambda * n / (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0))
}

fn exact(steps: &[u32], lambda: f64, alpha: f64, beta: f64) -> Vec<(u32, f64)> {
    steps.iter().map(|n| (*n, law(*n, lambda, alpha, beta))).collect()
}

/// A standard normal variable (Box and Muller).
fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * libm::log(1.0 - random.f64())).sqrt() * libm::cos(std::f64::consts::TAU * random.f64())
}

fn holds(estimate: &ScalingEstimate, truth: f64) -> bool {
    estimate.lower.is_none_or(|lower| lower <= truth) && estimate.upper.is_none_or(|upper| truth <= upper)
}

#[test]
fn a_law_without_noise_is_found_exactly() {
    for (steps, lambda, alpha, beta) in [
        (&[1, 2, 4, 8, 16, 32][..], 10.0, 0.02, 0.0005),
        (&[1, 2, 4, 8], 0.2, 0.1, 0.0),
        (&[1, 2, 4, 8], 123_456.0, 0.0, 0.01),
        (&[3, 5, 9, 64, 4_096], 7.0, 0.0, 0.0),
        (&[1, 2, 3], 1e-6, 0.3, 0.2),
        (&[1, 2, 4], 10.0, 1.0, 0.0),
    ] {
        let fit = fit(&exact(steps, lambda, alpha, beta)).unwrap();
        assert!((fit.lambda.value / lambda - 1.0).abs() < 1e-9, "{steps:?} {fit:?}");
        assert!((fit.alpha.value - alpha).abs() < 1e-9 && (fit.beta.value - beta).abs() < 1e-9, "{steps:?} {fit:?}");
        assert!((fit.r_squared - 1.0).abs() < 1e-9, "{fit:?}");
        assert_eq!(fit.residuals.len(), steps.len());
        assert!(fit.residuals.iter().all(|residual| residual.relative.abs() < 1e-9));
        if steps.len() > 3 {
            let width = |e: &ScalingEstimate| e.upper.unwrap() - e.lower.unwrap();
            assert!(holds(&fit.alpha, alpha) && holds(&fit.beta, beta), "{fit:?}");
            assert!(width(&fit.alpha) < 1e-6 && width(&fit.beta) < 1e-6, "{fit:?}");
        }
    }
}

#[test]
fn the_peak_is_where_the_law_is_highest() {
    let fit_of = |alpha, beta| fit(&exact(&[1, 2, 4, 8, 16], 10.0, alpha, beta)).unwrap();
    let peak = fit_of(0.02, 0.0005).peak_workers.unwrap();
    assert!((peak - (0.98f64 / 0.0005).sqrt()).abs() < 1e-3, "{peak}");
    assert_eq!(fit_of(0.02, 0.0).peak_workers, None);
    assert_eq!(fit_of(0.0, 0.0).peak_workers, None);
    // Each further worker does harm from the first on.
    assert_eq!(fit_of(1.5, 0.1).peak_workers, Some(1.0));
}

#[test]
fn three_parameters_need_three_steps_and_intervals_a_fourth_measurement() {
    let two = [(1, 10.0), (1, 10.1), (2, 19.0), (2, 19.5), (4, 0.0), (8, f64::NAN)];
    assert_eq!(fit(&two), Err(UslError::TooFewSteps { found: 2 }));
    assert!(fit(&two).unwrap_err().to_string().contains("measure 3 or more"));
    let three = fit(&[(1, 10.0), (2, 19.0), (4, 34.0)]).unwrap();
    assert_eq!((three.alpha.lower, three.alpha.upper, three.lambda.upper), (None, None, None));
    let four = fit(&[(1, 10.0), (1, 10.1), (2, 19.0), (4, 34.0)]).unwrap();
    assert!(four.alpha.lower.is_some() && four.alpha.upper.is_some(), "{four:?}");
}

#[test]
fn superlinear_throughput_ends_at_the_bounds() {
    // More than double with twice the workers: neither α nor β can say so.
    let fit = fit(&[(1, 10.0), (2, 22.0), (4, 48.0), (8, 104.0)]).unwrap();
    assert_eq!((fit.alpha.value, fit.beta.value, fit.peak_workers), (0.0, 0.0, None));
    assert_eq!((fit.alpha.lower, fit.beta.lower), (Some(0.0), Some(0.0)));
    assert!(fit.residuals.last().unwrap().relative > 0.0);
}

#[test]
fn without_the_smallest_steps_the_interval_may_have_no_end() {
    // An almost flat line says that α is large against 1/N, and not how large.
    let fit_of = |rates: [f64; 6]| fit(&[32, 32, 64, 64, 128, 128].into_iter().zip(rates).collect::<Vec<_>>());
    let flat = fit_of([97.0, 100.0, 98.0, 101.0, 99.0, 102.0]).unwrap();
    assert!(flat.alpha.upper.is_none() && flat.lambda.upper.is_none(), "{flat:?}");
    assert!(flat.alpha.lower.unwrap() > 0.0, "{flat:?}");
    let falling = fit_of([103.0, 102.0, 101.0, 100.0, 100.0, 99.0]);
    assert_eq!(falling, Err(UslError::NoScale));
}

#[test]
fn the_order_of_measurements_is_of_no_matter() {
    let mut measurements = vec![(1, 10.0), (1, 10.3), (2, 19.0), (2, 19.4), (4, 34.0), (4, 33.0), (8, 50.0)];
    let forward = fit(&measurements).unwrap();
    measurements.reverse();
    assert_eq!(fit(&measurements).unwrap(), forward);
}

#[test]
fn the_unit_of_throughput_changes_lambda_alone() {
    let measurements = [(1, 10.0), (1, 10.3), (2, 19.0), (2, 19.4), (4, 34.0), (4, 33.0), (8, 50.0)];
    let (plain, small) = (fit(&measurements).unwrap(), fit(&measurements.map(|(n, x)| (n, x * 1e-200))).unwrap());
    assert!((small.alpha.value - plain.alpha.value).abs() < 1e-12);
    assert!((small.lambda.value / plain.lambda.value / 1e-200 - 1.0).abs() < 1e-9);
    assert!((small.beta.upper.unwrap() - plain.beta.upper.unwrap()).abs() < 1e-9);
}

/// In how many of `seeds` experiments of `repeats` measurements a step the intervals of λ, α and β hold the truth.
fn coverage(steps: &[u32], repeats: usize, (alpha, beta): (f64, f64), noise: f64, seeds: u64) -> [u64; 3] {
    let mut held = [0; 3];
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let measurements: Vec<(u32, f64)> = steps
            .iter()
            .flat_map(|n| vec![*n; repeats])
            .map(|n| (n, law(n, 10.0, alpha, beta) * (1.0 + noise * normal(&mut random))))
            .collect();
        let fit = fit(&measurements).unwrap();
        for (count, fine) in
            held.iter_mut().zip([holds(&fit.lambda, 10.0), holds(&fit.alpha, alpha), holds(&fit.beta, beta)])
        {
            *count += u64::from(fine);
        }
    }
    held
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let seeds = 300;
    for (steps, repeats, truth, noise) in [
        (&[1, 2, 4, 8][..], 3, (0.02, 0.0005), 0.01),
        (&[1, 2, 4, 8], 3, (0.1, 0.01), 0.03),
        (&[1, 2, 4, 8], 3, (0.0, 0.0), 0.02),
        (&[1, 2, 4, 8], 3, (0.1, 0.0), 0.03),
        (&[1, 2, 4, 8], 3, (0.0, 0.01), 0.02),
        (&[1, 2, 4, 8, 16, 32], 3, (0.02, 0.0005), 0.03),
        (&[1, 2, 4, 8, 16, 32, 48, 64], 1, (0.02, 0.0005), 0.03),
    ] {
        let held = coverage(steps, repeats, truth, noise, seeds);
        // Three standard errors of 95 % in 300 experiments are 3.8 %.
        let least = seeds * 91 / 100;
        assert!(held.iter().all(|held| *held >= least), "{steps:?} {truth:?} {noise}: {held:?} of {seeds}");
    }
}

#[test]
fn more_measurements_narrow_the_intervals() {
    let width = |repeats: u64| {
        let mut random = fastrand::Rng::with_seed(5);
        let measurements: Vec<(u32, f64)> = (0..repeats)
            .flat_map(|_| [1, 2, 4, 8, 16])
            .map(|n| (n, law(n, 10.0, 0.05, 0.001) * (1.0 + 0.02 * normal(&mut random))))
            .collect();
        let fit = fit(&measurements).unwrap();
        fit.alpha.upper.unwrap() - fit.alpha.lower.unwrap()
    };
    let (few, many) = (width(3), width(48));
    // Sixteen times the measurements make a quarter of the width, more or less.
    assert!(many < few * 0.4, "{few} {many}");
}

fn any_measurements() -> impl Strategy<Value = Vec<(u32, f64)>> {
    let workers = prop_oneof![1u32..40, any::<u32>()];
    let rate = prop_oneof![4 => 0.1f64..1_000.0, 1 => any::<f64>()];
    prop::collection::vec((workers, rate), 0..24)
}

proptest! {
    #[test]
    fn every_fit_is_of_numbers_within_their_intervals(measurements in any_measurements()) {
        let Ok(fit) = fit(&measurements) else { return Ok(()) };
        prop_assert!(fit.lambda.value > 0.0 && fit.r_squared.is_finite());
        prop_assert!(fit.peak_workers.is_none_or(|peak| peak.is_finite() && peak >= 1.0));
        for estimate in [fit.lambda, fit.alpha, fit.beta] {
            prop_assert!(estimate.value.is_finite() && estimate.value >= 0.0);
            prop_assert!(holds(&estimate, estimate.value), "{:?}", estimate);
            for end in estimate.lower.into_iter().chain(estimate.upper) {
                prop_assert!(end.is_finite() && end >= 0.0, "{:?}", estimate);
            }
        }
        for residual in &fit.residuals {
            prop_assert!(residual.relative.is_finite() && residual.fitted_jobs_per_second.is_finite());
        }
    }

    #[test]
    fn no_other_law_is_nearer(
        rates in prop::collection::vec(0.5f64..100.0, 6),
        other in (0.1f64..100.0, 0.0f64..2.0, 0.0f64..0.5),
    ) {
        let measurements: Vec<(u32, f64)> = [1, 2, 4, 8, 16, 16].into_iter().zip(rates).collect();
        let Ok(fit) = fit(&measurements) else { return Ok(()) };
        let squares = |f: &dyn Fn(u32) -> f64| {
            measurements.iter().map(|(n, x)| (x - f(*n)) / f(*n)).map(|r| r * r).sum::<f64>()
        };
        let found = squares(&|n| fit.jobs_per_second(f64::from(n)));
        prop_assert!(found <= squares(&|n| law(n, other.0, other.1, other.2)) + 1e-9);
    }
}
