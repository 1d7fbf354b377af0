//! Whether two runs differ, part by part and figure by figure.
//!
//! **Each figure** of each run is estimated with bounds that heed that requests of one run are not independent
//! (modules `blocks` and `arms`). **The difference** of two has the interval that follows from the bounds of both
//! (module `difference`). **The verdicts** are made together (module `holm`): two runs of the same truth are told to
//! differ in any figure of any part in at most 5 % of cases, however many there are.
//!
//! What is compared is these two runs. What differs from one start of a target to the next (where its memory lies, what
//! else its machine does) is in the difference as well: repeat both, in turns, before it is called that of the change.

use nuncius_schemas::comparison::{
    ComparedFigure, Comparison, ComparisonVerdict, FigureComparison, PartComparison, PartName,
};

use crate::encoding::DecodeError;
use crate::student::{two_sided_probability, two_sided_quantile};

mod arms;
mod difference;
mod holm;
mod sample;
mod series;
mod words;

use arms::Arms;
use sample::Part;
pub use series::{ComparedSecond, PartSeries, ROWS_MAX};

/// How often a difference of the detectable size is found.
pub const POWER: f64 = 0.8;

/// Smallest p-value that is told apart from 0.
const P_VALUE_MIN: f64 = 1e-9;

/// Steps of the bisection for a p-value: more digits than it has.
const P_VALUE_STEPS: u32 = 28;

/// How two runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComparisonOptions<'a> {
    /// Confidence of all verdicts together, in (0, 1).
    pub confidence: f64,
    /// Relative differences up to this are none; in 0 … 1.
    pub least_relative: f64,
    /// Both followed the same schedule, with a load that is not the same all the time: they are compared second by
    /// second, so that what the load does to both is no noise.
    pub same_schedule: bool,
    /// What is compared: the fewer, the less the confidence is divided.
    pub figures: &'a [ComparedFigure],
}

impl Default for ComparisonOptions<'_> {
    fn default() -> Self {
        Self { confidence: crate::CONFIDENCE, least_relative: 0.0, same_schedule: false, figures: &ComparedFigure::ALL }
    }
}

/// Why runs cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// No confidence.
    #[error("confidence {0}: give a share above 0 and below 1, as in 0.95")]
    Confidence(f64),
    /// No difference.
    #[error("least relative difference {0}: give a share from 0 to below 1, as in 0.02")]
    LeastRelative(f64),
    /// More than the counters hold.
    #[error(transparent)]
    Counts(#[from] DecodeError),
}

/// A figure whose verdict is still to be made.
struct Pending<'a> {
    found: FigureComparison,
    arms: Option<Arms<'a>>,
}

/// Compares the parts that both runs have.
///
/// # Errors
/// Options outside of their range, or more observations than counters hold.
pub fn compare(
    baseline: &[PartSeries],
    candidate: &[PartSeries],
    options: ComparisonOptions<'_>,
) -> Result<Comparison, CompareError> {
    let ComparisonOptions { confidence, least_relative, same_schedule, figures } = options;
    // Also false for what is not a number.
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(CompareError::Confidence(confidence));
    }
    if !(0.0..1.0).contains(&least_relative) {
        return Err(CompareError::LeastRelative(least_relative));
    }
    let mut read = Vec::new();
    for part in baseline {
        if let Some(other) = candidate.iter().find(|other| other.name() == part.name()) {
            read.push((part, other, Part::read(part)?, Part::read(other)?));
        }
    }
    let mut pending: Vec<(PartName, Vec<Pending>)> = read
        .iter()
        .map(|(part, other, first, second)| {
            let of = |figure| pend(figure, (part, other), (first, second), same_schedule);
            (part.name().clone(), figures.iter().copied().map(of).collect())
        })
        .collect();
    let alpha = 1.0 - confidence;
    let judged = || pending.iter().flat_map(|(_, figures)| figures).filter_map(|one| one.arms.as_ref());
    let p_values: Vec<f64> = judged().map(|arms| p_value(arms, least_relative)).collect();
    let first_level = alpha / p_values.len().max(1) as f64;
    let mut adjusted = p_values.iter().copied().zip(holm::adjust(&p_values, alpha));
    for one in pending.iter_mut().flat_map(|(_, figures)| figures) {
        let Some(arms) = &one.arms else { continue };
        let Some((p_value, outcome)) = adjusted.next() else { continue };
        conclude(&mut one.found, arms, p_value, outcome, (first_level, least_relative));
    }
    let parts = pending
        .into_iter()
        .map(|(name, figures)| PartComparison { name, figures: figures.into_iter().map(|one| one.found).collect() });
    let parts: Vec<PartComparison> = parts.collect();
    Ok(Comparison {
        confidence,
        least_relative,
        same_schedule,
        comparisons: u32::try_from(p_values.len()).unwrap_or(u32::MAX),
        verdict: overall(&parts),
        parts,
        only_in_baseline: missing_from(baseline, candidate),
        only_in_candidate: missing_from(candidate, baseline),
    })
}

fn missing_from(parts: &[PartSeries], others: &[PartSeries]) -> Vec<PartName> {
    let is_there = |name: &PartName| others.iter().any(|other| other.name() == name);
    parts.iter().map(PartSeries::name).filter(|name| !is_there(name)).cloned().collect()
}

/// What can be said of a figure before all are looked at.
fn pend<'a>(
    figure: ComparedFigure,
    (series, other): (&PartSeries, &PartSeries),
    (first, second): (&'a Part, &'a Part),
    same_schedule: bool,
) -> Pending<'a> {
    let value = |part: &Part| part.sample(figure).ok().map(|sample| sample.value);
    let mut found = FigureComparison {
        figure,
        quantity: figure.is_latency().then_some(series.quantity()),
        verdict: ComparisonVerdict::TooLittleData,
        baseline: value(first),
        candidate: value(second),
        difference: None,
        relative: None,
        interval_confidence: None,
        p_value: None,
        adjusted_p_value: None,
        detectable: None,
        detectable_relative: None,
        reason: String::new(),
    };
    let arms = if figure.is_latency() && series.quantity() != other.quantity() {
        let (first, second) = (series.quantity().name(), other.quantity().name());
        Err(format!("the baseline tells of {first}, the candidate of {second}"))
    } else if same_schedule && series.row_seconds() != other.row_seconds() {
        Err("the one run is several times as long as the other: they did not follow the same schedule".to_owned())
    } else {
        Arms::of(figure, (first, second), same_schedule)
    };
    match arms {
        Ok(arms) => Pending { found, arms: Some(arms) },
        Err(problem) => {
            found.reason = problem;
            Pending { found, arms: None }
        }
    }
}

/// How far away the ends of an interval are at a two-sided level, in standard errors.
fn student_at(level: f64, freedom: f64) -> f64 {
    two_sided_quantile(1.0 - level, freedom)
}

/// The smallest level at which a difference is found.
fn p_value(arms: &Arms, least_relative: f64) -> f64 {
    let is_found = |student: f64| arms.at(student).is_beyond(least_relative);
    let furthest = student_at(P_VALUE_MIN, arms.freedom);
    if is_found(furthest) {
        return P_VALUE_MIN;
    }
    let (mut found, mut unfound) = (0.0, furthest);
    for _ in 0..P_VALUE_STEPS {
        let middle = f64::midpoint(found, unfound);
        if is_found(middle) {
            found = middle;
        } else {
            unfound = middle;
        }
    }
    (1.0 - two_sided_probability(found, arms.freedom)).max(P_VALUE_MIN)
}

fn conclude(
    found: &mut FigureComparison,
    arms: &Arms,
    p_value: f64,
    outcome: holm::Adjusted,
    (first_level, least_relative): (f64, f64),
) {
    let pair = arms.at(student_at(outcome.level, arms.freedom));
    let student = student_at(first_level, arms.freedom);
    let first = arms.at(student);
    found.difference = Some(pair.difference());
    found.relative = pair.relative();
    found.interval_confidence = Some(1.0 - outcome.level);
    found.p_value = Some(p_value);
    found.adjusted_p_value = Some(outcome.p_value);
    // One-sided: what lies beyond by this much more is found so often.
    let more = two_sided_quantile(2.0 * POWER - 1.0, arms.freedom) / student;
    found.detectable = first.reach().map(|reach| reach * (1.0 + more) + least_relative * pair.baseline.value);
    let share = |detectable: f64| detectable / pair.baseline.value;
    found.detectable_relative = found.detectable.filter(|_| pair.baseline.value > 0.0).map(share);
    found.verdict = if outcome.is_found {
        ComparisonVerdict::Different
    } else if pair.is_bounded() {
        ComparisonVerdict::NotShownToDiffer
    } else {
        ComparisonVerdict::TooLittleData
    };
    found.reason = words::reason(found);
}

fn overall(parts: &[PartComparison]) -> ComparisonVerdict {
    let verdicts = || parts.iter().flat_map(|part| &part.figures).map(|figure| figure.verdict);
    let any = |wanted: ComparisonVerdict| verdicts().any(|verdict| verdict == wanted);
    if any(ComparisonVerdict::Different) {
        ComparisonVerdict::Different
    } else if any(ComparisonVerdict::TooLittleData) || verdicts().next().is_none() {
        ComparisonVerdict::TooLittleData
    } else {
        ComparisonVerdict::NotShownToDiffer
    }
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
