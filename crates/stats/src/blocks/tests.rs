use fastrand::Rng;

use super::*;
use crate::student::{pooled, two_sided_quantile};

fn normal(random: &mut Rng) -> f64 {
    (-2.0 * libm::log(1.0 - random.f64())).sqrt() * libm::cos(std::f64::consts::TAU * random.f64())
}

/// A first-order autoregression with deviations of 1, from long ago on.
fn regression(random: &mut Rng, correlation: f64, count: usize) -> Vec<f64> {
    let mut state = normal(random) / (1.0 - correlation * correlation).sqrt();
    let mut next = || {
        state = correlation * state + normal(random);
        state
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn too_few_values_say_nothing_and_equal_ones_do_not_vary() {
    assert_eq!(spread_of_sum(&[1.0; VALUES_MIN - 1]), None);
    assert_eq!(spread_of_sum(&[3.0; 10]), Some(SumSpread { variance: 0.0, freedom: 9.0 }));
    let rising: Vec<f64> = (0..60).map(f64::from).collect();
    assert!(spread_of_sum(&rising).unwrap().freedom <= 3.0);
}

#[test]
fn block_means_are_those_of_the_definition() {
    // Of 7 values in blocks of 3 the first is left out: sums 6 and 0, around their mean of 3.
    let (variance, freedom) = block_variance(&[9.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0], 3);
    assert_eq!((variance, freedom), (18.0 / 3.0, 1.0));
}

#[test]
fn blocks_grow_with_the_correlation_of_neighbours() {
    let mut random = Rng::with_seed(1);
    let mut mean_length = |correlation: f64| {
        let lengths = (0..50).map(|_| {
            let values = regression(&mut random, correlation, 200);
            let mean = values.iter().sum::<f64>() / 200.0;
            let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
            Correlations::of(&centred).unwrap().block_length() as f64
        });
        lengths.sum::<f64>() / 50.0
    };
    // By the formula with the true correlations 2 and 10.2 values, for 0.3 and 0.7.
    let (none, some, much) = (mean_length(0.0), mean_length(0.3), mean_length(0.7));
    assert!(none < 3.0 && (2.5..6.0).contains(&some) && (8.0..14.0).contains(&much), "{none} {some} {much}");
}

/// Of two sums whose expectations are the same, the interval of the difference leaves out 0 in 5 % of cases. With
/// values taken for independent it would in 15 % for a correlation of 0.3, in 41 % for 0.7 and in 67 % for 0.9.
#[test]
fn intervals_of_sums_of_values_that_are_alike_err_in_at_most_five_percent() {
    for (correlation, count) in [(0.0, 20), (0.0, 60), (0.3, 60), (0.7, 60), (0.7, 20), (0.9, 60), (0.9, 180)] {
        let mut random = Rng::with_seed(2);
        let (runs, mut missed) = (600, 0);
        for _ in 0..runs {
            let pair = [(); 2].map(|()| regression(&mut random, correlation, count));
            let spreads = [&pair[0], &pair[1]].map(|values| spread_of_sum(values).unwrap());
            let (variance, freedom) = pooled(&spreads.map(|spread| (spread.variance, spread.freedom)));
            let [first, second] = pair.map(|values| values.iter().sum::<f64>());
            missed += u32::from((first - second).abs() > two_sided_quantile(0.95, freedom) * variance.sqrt());
        }
        // Two standard errors of 5 % in 600 runs are 1.8 %.
        assert!(missed <= 40, "{correlation} {count}: {missed} of {runs}");
        assert!(missed >= 6, "{correlation} {count}: {missed} of {runs} is far too careful");
    }
}

/// A pause each ten seconds is no autoregression; alternation is worth no more than independence.
#[test]
fn other_kinds_of_dependence_are_not_taken_for_less_than_they_are() {
    let mut random = Rng::with_seed(3);
    let runs = 300;
    let mut missed = 0;
    for _ in 0..runs {
        // Each block of five has a level of its own.
        let values: Vec<f64> = (0..40)
            .flat_map(|_| {
                let level = normal(&mut random);
                (0..5).map(|_| level + 0.3 * normal(&mut random)).collect::<Vec<_>>()
            })
            .collect();
        let spread = spread_of_sum(&values).unwrap();
        let reach = two_sided_quantile(0.95, spread.freedom) * spread.variance.sqrt();
        missed += u32::from(values.iter().sum::<f64>().abs() > reach);
    }
    assert!(missed <= 24, "{missed} of {runs}");
    let alternating: Vec<f64> = (0..60).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 }).collect();
    assert!(spread_of_sum(&alternating).unwrap().variance >= 60.0);
}
