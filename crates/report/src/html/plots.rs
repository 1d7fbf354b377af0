//! Which charts a report has: over time, and the percentiles of each step.

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{Report, StepReport, Summary};

use super::chart::{Axis, Chart, Line, figure};
use super::series;
use crate::text::{is_planned, shown_quantities};

/// Points of a percentile curve.
const CURVE_POINTS: usize = 240;
/// Most percentile charts.
const CURVES_MAX: usize = 24;

/// The sections with all charts; `instead` takes the place of those over time, unless it is empty.
pub(crate) fn section(report: &Report, instead: &str) -> String {
    let (over_time, notes) = series::all(report);
    let several = report.groups.iter().map(|group| group.steps.len()).sum::<usize>();
    let mut curves: Vec<Chart> = Vec::new();
    for group in &report.groups {
        for step in &group.steps {
            if curves.len() < CURVES_MAX {
                curves.extend(curve(&group.name, is_planned(group), step));
            }
        }
    }
    // A study has measured nothing itself: what came of its experiments is drawn in a section of its own.
    let is_study = report.search.is_some() || report.sweep.is_some();
    if over_time.is_empty() && curves.is_empty() && is_study {
        return String::new();
    }
    if over_time.is_empty() && curves.is_empty() {
        return String::from("<section>\n<h2>Charts</h2>\n<p class=\"note\">Nothing was measured.</p>\n</section>\n");
    }
    let mut out = String::new();
    if !over_time.is_empty() {
        let notes: String = notes.iter().map(|note| format!("<p class=\"note\">{note}</p>\n")).collect();
        if instead.is_empty() {
            out.push_str(&format!("<section>\n<h2>Over time</h2>\n{notes}{over_time}</section>\n"));
        } else {
            out.push_str(&format!(
                "{instead}<section>\n<details>\n<summary>Over time, as the report has it</summary>\n\
                 {notes}{over_time}</details>\n</section>\n"
            ));
        }
    }
    if !curves.is_empty() {
        let note = if several > CURVES_MAX {
            format!("<p class=\"note\">Curves are drawn for the first {CURVES_MAX} of {several} steps.</p>\n")
        } else {
            String::new()
        };
        let drawn: String = curves.iter().map(figure).collect();
        out.push_str(&format!(
            "<section>\n<h2>Percentiles</h2>\n{note}<div class=\"charts\">\n{drawn}</div>\n</section>\n"
        ));
    }
    out
}

/// log₁₀ of the odds of a quantile in (0, 1).
fn odds(quantile: f64) -> f64 {
    (quantile / (1.0 - quantile)).log10()
}

/// The percentile curves of a step: response against service, or service alone in the closed model.
fn curve(group: &str, is_planned: bool, step: &StepReport) -> Option<Chart> {
    let drawn: Vec<(Quantity, Vec<(f64, f64)>)> = shown_quantities(is_planned)
        .iter()
        .filter(|quantity| matches!(quantity, Quantity::Response | Quantity::Service))
        .filter_map(|quantity| Some((*quantity, curve_points(step.quantities.get(quantity)?))))
        .filter(|(_, points)| points.len() > 1)
        .collect();
    let ends = drawn.iter().flat_map(|(_, points)| points).map(|(x, _)| *x);
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if high <= low {
        return None;
    }
    let x: Vec<f64> = (0..CURVE_POINTS).map(|i| low + (high - low) * i as f64 / (CURVE_POINTS - 1) as f64).collect();
    let lines = drawn
        .iter()
        .map(|(quantity, points)| Line {
            name: quantity.name().to_owned(),
            class: if *quantity == Quantity::Response { "p99" } else { "service" },
            values: x.iter().map(|x| value_at(points, *x)).collect(),
            ..Line::default()
        })
        .collect();
    Some(Chart {
        title: format!("Percentiles of {group}/{}", step.name),
        x_title: "percentile",
        x_axis: Axis::Odds,
        y_axis: Axis::Time,
        x,
        lines,
        ..Chart::default()
    })
}

/// The curve as (log odds, nanoseconds), rising, from p10 on and never up to p100, which has no odds.
fn curve_points(summary: &Summary) -> Vec<(f64, f64)> {
    let last = 1.0 - 0.5 / (summary.count.max(1) as f64);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (quantile, value_ns) in &summary.curve {
        let x = odds(quantile.clamp(0.1, last.clamp(0.5, 1.0 - 1e-9)));
        let value = *value_ns as f64;
        match points.last_mut() {
            Some(before) if x <= before.0 => before.1 = before.1.max(value),
            _ if x.is_finite() => points.push((x, value)),
            _ => {}
        }
    }
    points
}

/// The value of the curve at `x`, between two points linearly; `None` outside.
fn value_at(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = points.partition_point(|(at, _)| *at < x);
    match (after.checked_sub(1).and_then(|before| points.get(before)), points.get(after)) {
        (Some(before), Some(after)) => Some(before.1 + (after.1 - before.1) * (x - before.0) / (after.0 - before.0)),
        // The first point itself, and the last within rounding.
        (None, Some(first)) if (first.0 - x).abs() < 1e-9 => Some(first.1),
        (Some(last), None) if (last.0 - x).abs() < 1e-9 => Some(last.1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_curves_end_before_p100_and_are_not_extrapolated() {
        let mut summary = crate::fixture::summary(1_000_000, 0);
        summary.count = 1_000;
        summary.curve = vec![(0.0, 1), (0.5, 10), (0.99, 20), (1.0, 30)];
        let points = curve_points(&summary);
        assert_eq!(points.len(), 4);
        assert!((points[3].0 - odds(0.9995)).abs() < 1e-9);
        assert_eq!(value_at(&points, points[1].0), Some(10.0));
        assert_eq!(value_at(&points, 100.0), None);
    }
}
