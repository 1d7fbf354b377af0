//! Main effects: what each value of a factor does by itself, averaged over all combinations of the others.
//!
//! The effect of a value is the mean of the means of all combinations with it, less the mean of all of them: a
//! contrast, whose weights add up to 0 (Montgomery, "Design and Analysis of Experiments", 5.3). Response times vary
//! more where the load is high, so that no variance common to all combinations is assumed:
//!
//! - Where each repeat is a block and all combinations have all repeats, the contrast is taken within each repeat, and
//!   its interval is that of the mean of these (Student's, with repeats less one degrees of freedom). What a repeat
//!   adds to all its runs is in none of them.
//! - Else its variance is the sum of those of the combinations' means by the squares of their weights, with the degrees
//!   of freedom of Welch and Satterthwaite.

use std::collections::BTreeMap;

use nuncius_schemas::sweep::{SweepCell, SweepEffect, SweepEffects, SweepSpec, value_text};
use nuncius_stats::{CONFIDENCE, pooled_variance, student_quantile};

/// A figure of each run by combination and repeat.
type Values = BTreeMap<(u64, u32), f64>;

/// The effects on one figure, of which there are these values.
///
/// # Errors
/// A combination without one, for people.
pub(super) fn effects(
    sweep: &SweepSpec,
    figure: &str,
    cells: &[SweepCell],
    values: &Values,
) -> Result<SweepEffects, String> {
    let samples: Vec<Vec<f64>> = cells.iter().map(|cell| of_combination(values, cell.combination)).collect();
    if let Some((cell, _)) = cells.iter().zip(&samples).find(|(_, sample)| sample.is_empty()) {
        return Err(format!("no run of combination {} tells it", cell.combination));
    }
    let means: Vec<f64> = samples.iter().map(|sample| mean(sample)).collect();
    let repeats: Vec<u32> = (1..=sweep.repeats).collect();
    let is_complete =
        cells.iter().all(|cell| repeats.iter().all(|repeat| values.contains_key(&(cell.combination, *repeat))));
    let by_blocks = sweep.blocks && sweep.repeats > 1 && is_complete;
    let mut found = Vec::new();
    for (name, factor) in &sweep.factors {
        for value in factor.values.iter().map(value_text) {
            let has_it = |cell: &SweepCell| cell.levels.get(name) == Some(&value);
            let weights = contrast(cells, has_it);
            let effect = weighted(&weights, &means);
            let reach = if by_blocks {
                let within = repeats.iter().map(|repeat| {
                    let block = cells.iter().filter_map(|cell| values.get(&(cell.combination, *repeat)).copied());
                    weighted(&weights, &block.collect::<Vec<f64>>())
                });
                reach_of_mean(&within.collect::<Vec<f64>>())
            } else {
                reach_of_sum(&weights, &samples)
            };
            found.push(SweepEffect {
                factor: name.clone(),
                value,
                mean: mean(&means) + effect,
                effect,
                lower: reach.map(|reach| effect - reach),
                upper: reach.map(|reach| effect + reach),
            });
        }
    }
    Ok(SweepEffects { figure: figure.to_owned(), mean: mean(&means), effects: found, by_blocks })
}

fn of_combination(values: &Values, combination: u64) -> Vec<f64> {
    values.range((combination, 0)..=(combination, u32::MAX)).map(|(_, value)| *value).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// The weights of the combinations in the effect of those that have a value.
fn contrast(cells: &[SweepCell], has_it: impl Fn(&SweepCell) -> bool) -> Vec<f64> {
    let (all, with) = (cells.len() as f64, cells.iter().filter(|cell| has_it(cell)).count() as f64);
    cells.iter().map(|cell| if has_it(cell) { 1.0 / with - 1.0 / all } else { -1.0 / all }).collect()
}

fn weighted(weights: &[f64], values: &[f64]) -> f64 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

/// Half the width of the interval of a mean; `None` of one value.
fn reach_of_mean(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    (values.len() > 1).then(|| student_quantile(CONFIDENCE, count - 1.0) * (variance(values) / count).sqrt())
}

/// Half the width of the interval of a weighted sum of means; `None` where one of them is of one value.
fn reach_of_sum(weights: &[f64], samples: &[Vec<f64>]) -> Option<f64> {
    if samples.iter().any(|sample| sample.len() < 2) {
        return None;
    }
    let term = |(weight, sample): (&f64, &Vec<f64>)| {
        let count = sample.len() as f64;
        (weight * weight * variance(sample) / count, count - 1.0)
    };
    let terms: Vec<(f64, f64)> = weights.iter().zip(samples).map(term).collect();
    let (sum, freedom) = pooled_variance(&terms);
    // Where nothing varies there are no degrees of freedom, and none are needed.
    Some(if sum > 0.0 { student_quantile(CONFIDENCE, freedom) * sum.sqrt() } else { 0.0 })
}
