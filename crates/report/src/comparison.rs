//! Two runs against each other, for a terminal and for programs.

use nuncius_schemas::comparison::{
    ComparedFigure, Comparison, ComparisonVerdict, DifferenceEstimate, FigureComparison, PartComparison, PartName,
};
use nuncius_schemas::run::{RunStatus, Verdict};
use serde::Serialize;

use crate::format::{ABSENT, duration_f64, headline, plain, rate, share};
use crate::text::TextOptions;
use crate::text::table::{Paint, columns, fold};

/// Longest name of a part in the text, in characters.
const NAME_CHARACTERS: usize = 60;

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedSide {
    /// Identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it ended.
    pub status: RunStatus,
    /// How it was judged.
    pub verdict: Option<Verdict>,
}

/// Two runs and how they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRuns {
    /// What is compared with.
    pub baseline: ComparedSide,
    /// What is compared.
    pub candidate: ComparedSide,
    /// What in their specifications differs, as paths with both values.
    pub spec_differences: Vec<String>,
    /// How they differ.
    pub comparison: Comparison,
}

/// The comparison for a terminal.
pub fn text(compared: &ComparedRuns, options: TextOptions) -> String {
    let ComparedRuns { baseline, candidate, spec_differences, comparison } = compared;
    let paint = Paint(options.colour);
    let width = options.width.max(40);
    let verdict = comparison.verdict.name().to_uppercase();
    let mut out = paint.with(colour_of(comparison.verdict), &verdict);
    out.push_str(&format!("  {} → {}\n", plain(&baseline.id, NAME_CHARACTERS), plain(&candidate.id, NAME_CHARACTERS)));
    out.push_str(&fold(&format!("  {}", together(comparison)), width, 2));
    for (side, of) in [("baseline", baseline), ("candidate", candidate)] {
        if of.verdict == Some(Verdict::Invalid) || of.status != RunStatus::Finished {
            let told = headline(of.status, of.verdict);
            let text = format!("  {side} {} is {told}: what it shows of the target is in doubt", plain(&of.id, 64));
            out.push_str(&fold(&text, width, 2));
        }
    }
    if !spec_differences.is_empty() {
        out.push_str("\ntheir specifications differ in\n");
        for difference in spec_differences {
            out.push_str(&fold(&format!("  {}", plain(difference, 400)), width, 4));
        }
    }
    for part in &comparison.parts {
        out.push_str(&part_lines(part, paint, width));
    }
    for (names, whose) in [(&comparison.only_in_baseline, "baseline"), (&comparison.only_in_candidate, "candidate")] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(part_name).collect();
            out.push('\n');
            out.push_str(&fold(&format!("only in the {whose}: {}", names.join(", ")), width, 2));
        }
    }
    out
}

/// What all comparisons have in common, as a sentence.
pub fn together(comparison: &Comparison) -> String {
    let mut text = format!(
        "{} comparisons share a confidence of {}: two runs of the same truth are told to differ in any of them in at \
         most {} of cases",
        comparison.comparisons,
        percent(comparison.confidence),
        percent(1.0 - comparison.confidence),
    );
    if comparison.least_relative > 0.0 {
        text.push_str(&format!("; differences up to {} are none", percent(comparison.least_relative)));
    }
    if comparison.same_schedule {
        text.push_str("; compared second by second, as both followed the same schedule");
    }
    text
}

/// A share that somebody chose, as it was written: `95%`.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e5).round() / 1e3)
}

/// Each figure of a part as cells: its name, both sides, the difference, its interval, how small a one would have been
/// seen, and the verdict.
pub fn rows(part: &PartComparison) -> Vec<Vec<String>> {
    part.figures.iter().map(|figure| row(figure, Paint(false))).collect()
}

fn part_lines(part: &PartComparison, paint: Paint, width: usize) -> String {
    let quantity = part.figures.iter().find_map(|figure| figure.quantity);
    let of = quantity.map_or_else(String::new, |quantity| format!(", {} time", quantity.name()));
    let mut out = format!("\n{}\n", paint.bold(&format!("{}{of}", part_name(&part.name))));
    let rows: Vec<Vec<String>> = part.figures.iter().map(|figure| row(figure, paint)).collect();
    let heading = ["", "baseline", "candidate", "difference", "from … to", "seen from", ""];
    out.push_str(&columns(paint, &heading, &rows, &[6]));
    // Where nothing could be said, why.
    for figure in part.figures.iter().filter(|figure| figure.verdict == ComparisonVerdict::TooLittleData) {
        let reason = plain(&figure.reason, 400);
        out.push_str(&fold(&format!("  {}: {reason}", figure.figure.name()), width, 4));
    }
    out
}

fn row(found: &FigureComparison, paint: Paint) -> Vec<String> {
    let side = |side: Option<f64>| side.map_or_else(|| ABSENT.to_owned(), |side| value(found.figure, side));
    let (difference, interval) = match estimate(found) {
        Some((estimate, told)) => (told(estimate.value), interval(estimate, told)),
        None => (ABSENT.to_owned(), ABSENT.to_owned()),
    };
    let seen = match (is_relative(found), found.detectable_relative, found.detectable) {
        (true, Some(least), _) => share(least),
        (_, _, Some(least)) => value(found.figure, least),
        (_, _, None) => ABSENT.to_owned(),
    };
    let verdict = match found.verdict {
        ComparisonVerdict::Different => paint.with(colour_of(found.verdict), "different"),
        ComparisonVerdict::NotShownToDiffer | ComparisonVerdict::TooLittleData => found.verdict.name().to_owned(),
    };
    vec![
        found.figure.name().to_owned(),
        side(found.baseline),
        side(found.candidate),
        difference,
        interval,
        seen,
        verdict,
    ]
}

/// Of a small share the ratio says less than the difference.
fn is_relative(found: &FigureComparison) -> bool {
    found.figure != ComparedFigure::Failures && found.relative.is_some()
}

/// Words for a value.
type Words = Box<dyn Fn(f64) -> String>;

/// The difference as it is told, and the words for its values.
fn estimate(found: &FigureComparison) -> Option<(&DifferenceEstimate, Words)> {
    if is_relative(found) {
        let relative = found.relative.as_ref()?;
        return Some((relative, Box::new(|share| format!("{:+.1}%", share * 100.0).replace('-', "−"))));
    }
    let figure = found.figure;
    let signed = move |difference: f64| {
        let sign = if difference < 0.0 { "−" } else { "+" };
        format!("{sign}{}", value(figure, difference.abs()))
    };
    Some((found.difference.as_ref()?, Box::new(signed)))
}

fn interval(estimate: &DifferenceEstimate, told: impl Fn(f64) -> String) -> String {
    let end = |at: Option<f64>| at.map_or_else(|| "unknown".to_owned(), &told);
    format!("{} … {}", end(estimate.lower), end(estimate.upper))
}

/// A figure with its unit.
fn value(figure: ComparedFigure, value: f64) -> String {
    match figure {
        ComparedFigure::P50 | ComparedFigure::P95 | ComparedFigure::P99 | ComparedFigure::Mean => duration_f64(value),
        ComparedFigure::Failures => share(value),
        ComparedFigure::Rate => rate(value),
    }
}

/// A part as people read it.
pub fn part_name(name: &PartName) -> String {
    let group = plain(&name.group, NAME_CHARACTERS);
    match &name.step {
        Some(step) if *step != name.group => format!("{group} / {}", plain(step, NAME_CHARACTERS)),
        Some(_) => group,
        None => format!("{group}, whole iterations"),
    }
}

const fn colour_of(verdict: ComparisonVerdict) -> &'static str {
    match verdict {
        ComparisonVerdict::Different => "1;31",
        ComparisonVerdict::NotShownToDiffer => "1;32",
        ComparisonVerdict::TooLittleData => "1;33",
    }
}

#[cfg(test)]
mod tests;
