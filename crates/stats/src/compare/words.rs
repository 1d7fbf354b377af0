//! Comparisons as sentences.

use nuncius_schemas::comparison::{ComparedFigure, ComparisonVerdict, DifferenceEstimate, FigureComparison};

use crate::gate::{per_second, percent, time};

/// A figure with its unit.
pub(super) fn value(figure: ComparedFigure, value: f64) -> String {
    match figure {
        ComparedFigure::P50 | ComparedFigure::P95 | ComparedFigure::P99 | ComparedFigure::Mean => time(value),
        ComparedFigure::Failures => percent(value),
        ComparedFigure::Rate => per_second(value),
    }
}

/// A difference as a share, with its sign.
fn change(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

fn signed(figure: ComparedFigure, difference: f64) -> String {
    let sign = if difference < 0.0 { "−" } else { "+" };
    format!("{sign}{}", value(figure, difference.abs()))
}

fn interval(estimate: &DifferenceEstimate, end: impl Fn(f64) -> String) -> String {
    let told = |at: Option<f64>| at.map_or_else(|| "unknown".to_owned(), &end);
    format!("{} ({} to {})", end(estimate.value), told(estimate.lower), told(estimate.upper))
}

/// Why a comparison came out as it did.
pub(super) fn reason(found: &FigureComparison) -> String {
    let figure = found.figure;
    let differ = match (&found.relative, &found.difference) {
        // Of a small share the ratio says less than the difference.
        (Some(relative), _) if figure != ComparedFigure::Failures => interval(relative, change),
        (_, Some(difference)) => interval(difference, |end| signed(figure, end)),
        (_, None) => "unknown".to_owned(),
    };
    let told = |side: Option<f64>| side.map_or_else(|| "unknown".to_owned(), |side| value(figure, side));
    let from_to = format!("{} → {}", told(found.baseline), told(found.candidate));
    let detectable = || match (found.detectable_relative, found.detectable) {
        (Some(share), _) if figure != ComparedFigure::Failures => format!("{:.1} %", share * 100.0),
        (_, Some(least)) => value(figure, least),
        (_, None) => "unknown".to_owned(),
    };
    match found.verdict {
        ComparisonVerdict::Different => format!("{from_to}: {differ}"),
        ComparisonVerdict::NotShownToDiffer => {
            format!("{from_to}: {differ}; from {} on a difference would have been seen", detectable())
        }
        ComparisonVerdict::TooLittleData => format!("{from_to}: too few independent observations to bound either"),
    }
}
