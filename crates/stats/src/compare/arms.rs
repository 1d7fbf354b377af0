//! The two sides of one comparison: what each figure is, and between which bounds at any level.
//!
//! Requests are not independent. By how much the variance of a figure is larger than it were if they were is its design
//! effect (Kish, "Survey Sampling", 1965): that of as many independent requests as there are by the design effect is
//! the same. Their number makes the exact bounds of the binomial distribution those of quantiles and shares (Korn and
//! Graubard, Survey Methodology 24, 1998). That the design effect is itself an estimate is heeded by its degrees of
//! freedom: where a normal variable would have a bound of z, these have Student's of t.

use nuncius_schemas::comparison::ComparedFigure;

use super::difference::{Bounded, Pair};
use super::sample::{Part, Sample};
use crate::Totals;
use crate::blocks::{SumSpread, VALUES_MIN, spread_of_sum};
use crate::buckets::{BUCKETS, bucket_of, lowest_ns};
use crate::interval::{normal_probability, quantile_bounds, share_bounds};
use crate::student::pooled;

/// Fewest degrees of freedom of the variance that anything is said with.
const FREEDOM_MIN: f64 = 3.0;

/// The surest bound that the binomial distribution is asked for; beyond this there is no telling from certainty.
const CONFIDENCE_MAX: f64 = 1.0 - 1e-15;

/// Both sides of a comparison.
#[derive(Debug, Clone)]
pub(super) struct Arms<'a> {
    baseline: Arm<'a>,
    candidate: Arm<'a>,
    /// Degrees of freedom of the variance of their difference.
    pub(super) freedom: f64,
}

/// One figure of one run.
#[derive(Debug, Clone)]
struct Arm<'a> {
    value: f64,
    kind: ArmKind<'a>,
}

/// What its bounds are made of.
#[derive(Debug, Clone)]
enum ArmKind<'a> {
    /// A quantile of latencies.
    Quantile { q: f64, latencies: &'a Totals, independent: f64 },
    /// A share of independent requests.
    Share { seen: f64, others: f64 },
    /// Any with a standard error.
    Normal { error: f64 },
}

impl<'a> Arms<'a> {
    /// Of a figure of two parts. Where they followed the same schedule, what both deviate by in the same row is no
    /// noise.
    ///
    /// # Errors
    /// What is missing, for people.
    pub(super) fn of(
        figure: ComparedFigure,
        (baseline, candidate): (&'a Part, &'a Part),
        same_schedule: bool,
    ) -> Result<Self, String> {
        let first = baseline.sample(figure).map_err(|problem| format!("baseline: {problem}"))?;
        let second = candidate.sample(figure).map_err(|problem| format!("candidate: {problem}"))?;
        let (effects, freedom) = if same_schedule { paired(&first, &second)? } else { apart(&first, &second)? };
        if freedom < FREEDOM_MIN {
            let worth = freedom + 1.0;
            return Err(format!("neighbouring seconds are so alike that they are worth {worth:.1} independent ones"));
        }
        Ok(Self {
            baseline: Arm::of(figure, &first, effects.0, baseline.pooled()),
            candidate: Arm::of(figure, &second, effects.1, candidate.pooled()),
            freedom,
        })
    }

    /// Both with the bounds that are those of the difference together, where its ends are `student` standard errors
    /// away.
    pub(super) fn at(&self, student: f64) -> Pair {
        Pair { baseline: self.baseline.bounded(student), candidate: self.candidate.bounded(student) }
    }
}

/// Each with a design effect of its own, and the degrees of freedom of the difference.
///
/// A short run that happens to have no bad moment is quick and seems to vary little, both at once: the less it tells
/// itself, the more the other one is heeded. No run is taken to vary less than both do on average, weighted by the
/// degrees of freedom of each.
fn apart(baseline: &Sample, candidate: &Sample) -> Result<((f64, f64), f64), String> {
    let spread = |sample: &Sample, whose: &str| {
        let spread = spread_of_sum(&sample.deviations).ok_or_else(|| too_few(sample, whose))?;
        Ok::<_, String>((spread.variance.max(sample.least_variance), spread.freedom))
    };
    let (first, second) = (spread(baseline, "baseline")?, spread(candidate, "candidate")?);
    let ratio = |sample: &Sample, variance: f64| if sample.scale > 0.0 { variance / sample.scale } else { 0.0 };
    let weighted = ratio(baseline, first.0) * first.1 + ratio(candidate, second.0) * second.1;
    let average = weighted / (first.1 + second.1);
    let variance = |sample: &Sample, own: f64| own.max(average * sample.scale);
    let (of_first, of_second) = (variance(baseline, first.0), variance(candidate, second.0));
    let of_figure = |sample: &Sample, variance: f64| variance / (sample.weight * sample.weight);
    let terms = [(of_figure(baseline, of_first), first.1), (of_figure(candidate, of_second), second.1)];
    let (sum, both) = pooled(&terms);
    // Of two shares of 0, for one, nothing varies.
    let freedom = if sum > 0.0 { both } else { first.1.min(second.1) };
    Ok(((effect(of_first, baseline.least_variance), effect(of_second, candidate.least_variance)), freedom))
}

/// Both with the design effect of their difference row by row.
fn paired(baseline: &Sample, candidate: &Sample) -> Result<((f64, f64), f64), String> {
    let rows = (baseline.deviations.len(), candidate.deviations.len());
    if rows.0 != rows.1 {
        return Err(format!("{} seconds against {}: they did not follow the same schedule", rows.0, rows.1));
    }
    let both = baseline.deviations.iter().zip(&candidate.deviations);
    let between: Vec<f64> = both.map(|(a, b)| b / candidate.weight - a / baseline.weight).collect();
    let SumSpread { variance, freedom } = spread_of_sum(&between).ok_or_else(|| too_few(baseline, "either"))?;
    let least = |sample: &Sample| sample.least_variance / (sample.weight * sample.weight);
    let least = least(baseline) + least(candidate);
    let shared = effect(variance.max(least), least);
    Ok(((shared, shared), freedom))
}

/// How often the variance has the least one; 1 where both are 0.
fn effect(variance: f64, least: f64) -> f64 {
    if variance > least { variance / least.max(f64::MIN_POSITIVE) } else { 1.0 }
}

fn too_few(sample: &Sample, whose: &str) -> String {
    format!("{whose}: {} seconds, at least {VALUES_MIN} are needed", sample.deviations.len())
}

impl<'a> Arm<'a> {
    fn of(figure: ComparedFigure, sample: &Sample, effect: f64, latencies: &'a Totals) -> Self {
        let independent = sample.weight / effect;
        let error = (effect * sample.least_variance).sqrt() / sample.weight;
        let kind = match figure {
            ComparedFigure::P50 | ComparedFigure::P95 | ComparedFigure::P99 => {
                ArmKind::Quantile { q: figure.quantile().unwrap_or_default(), latencies, independent }
            }
            ComparedFigure::Failures => {
                let seen = sample.value * independent;
                ArmKind::Share { seen, others: (independent - seen).max(0.0) }
            }
            ComparedFigure::Mean | ComparedFigure::Rate => ArmKind::Normal { error },
        };
        Self { value: sample.value, kind }
    }

    /// With the bounds where a normal variable would be `student` standard errors away.
    fn bounded(&self, student: f64) -> Bounded {
        let confidence = normal_probability(student).min(CONFIDENCE_MAX);
        let (lower, upper) = match self.kind {
            ArmKind::Quantile { q, latencies, independent } => quantile_ends(q, latencies, independent, confidence),
            ArmKind::Share { seen, others } => {
                let (lower, upper) = share_bounds(seen, others, confidence);
                (Some(lower), Some(upper))
            }
            ArmKind::Normal { error } => {
                let reach = student * error;
                let is_bounded = reach.is_finite();
                (is_bounded.then(|| (self.value - reach).max(0.0)), is_bounded.then_some(self.value + reach))
            }
        };
        // What the resolution of histograms and rounding leave may lie on the wrong side.
        Bounded {
            value: self.value,
            lower: lower.map(|lower| lower.min(self.value)),
            upper: upper.map(|upper| upper.max(self.value)),
        }
    }
}

/// Bounds of a quantile: those of `independent` observations, each of which stands for as many of the latencies as
/// there are for it. As with gates, the lower one is the smallest value of its bucket, the upper one the largest.
fn quantile_ends(q: f64, latencies: &Totals, independent: f64, confidence: f64) -> (Option<f64>, Option<f64>) {
    let bounds = quantile_bounds(independent as u64, q, confidence);
    let each = latencies.count() as f64 / (independent as u64).max(1) as f64;
    let lower = bounds.lower_rank.and_then(|rank| {
        let first = (rank.saturating_sub(1)) as f64 * each;
        let value_ns = latencies.value_at_rank((first as u64).saturating_add(1).min(latencies.count()))?;
        Some(lowest_ns(bucket_of(value_ns).unwrap_or(BUCKETS)).max(latencies.min_ns()?) as f64)
    });
    let upper = bounds.upper_rank.and_then(|rank| {
        let last = (rank as f64 * each).ceil() as u64;
        Some(latencies.value_at_rank(last.clamp(1, latencies.count()))? as f64)
    });
    (lower, upper)
}
